package webhook

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/webhook/db"
)

// Patience of the worker: a webhook may be faster than the commit it is about, but not by a day.
const (
	poll      = time.Second
	gather    = 200 * time.Millisecond // most are faster than our own commit, and cheaper to match together
	busy      = 200 * time.Millisecond
	batchSize = 500
	slowest   = time.Hour
	giveUp    = 24 * time.Hour
	keepFor   = 30 * 24 * time.Hour
)

// Run matches stored webhooks until ctx ends.
func (r *Receiver) Run(ctx context.Context) error {
	for {
		more, err := r.Step(ctx)
		if err != nil && ctx.Err() == nil {
			r.Logger.ErrorContext(ctx, "webhook: matching failed, trying again", "error", err)
		}
		if more && err == nil {
			continue
		}
		if !r.wait(ctx) {
			return ctx.Err()
		}
	}
}

// wait returns true when there may be work: one was stored a moment ago, or the poll interval passed.
func (r *Receiver) wait(ctx context.Context) bool {
	nap, cancel := context.WithCancel(ctx)
	defer cancel()
	slept := make(chan struct{})
	go func() {
		defer close(slept)
		_ = r.Clock.Sleep(nap, poll)
	}()
	arrived := false
	select {
	case <-r.stored:
		arrived = true
	case <-slept:
	}
	cancel()
	<-slept
	if arrived {
		_ = r.Clock.Sleep(ctx, gather)
	}
	return ctx.Err() == nil
}

// The states of webhooks; see the view webhook_states.
const (
	received  = "received"
	matched   = "matched"
	unmatched = "unmatched" // given up
)

// Step matches one batch and reports whether there may be more.
func (r *Receiver) Step(ctx context.Context) (more bool, err error) {
	asked := false
	err = pg.InTx(ctx, r.Pool, func(tx pgx.Tx) error {
		asked = false
		due, err := db.New(tx).ClaimWebhooks(ctx, db.ClaimWebhooksParams{Now: r.Clock.Now(), BatchSize: batchSize})
		if err != nil {
			return err
		}
		more = len(due) == batchSize
		for source, hooks := range bySource(due) {
			hit, err := r.match(ctx, tx, source, hooks)
			if err != nil {
				return err
			}
			asked = asked || hit
		}
		return nil
	})
	if err == nil && asked && r.Matched != nil {
		r.Matched()
	}
	return more, err
}

func bySource(hooks []db.ClaimWebhooksRow) map[[2]string][]db.ClaimWebhooksRow {
	m := map[[2]string][]db.ClaimWebhooksRow{}
	for _, h := range hooks {
		k := [2]string{h.Tenant, h.Provider}
		m[k] = append(m[k], h)
	}
	return m
}

// match hands what the webhooks of one source say over together, and records per webhook what became of it. It reports
// whether something is read again.
func (r *Receiver) match(ctx context.Context, tx pgx.Tx, source [2]string, hooks []db.ClaimWebhooksRow) (bool, error) {
	reader, _ := r.sources[source].(provider.WebhookReader)
	notices := make([]Notice, 0, len(hooks))
	for _, h := range hooks {
		var said map[string]provider.Found
		if reader != nil {
			said = reader.Read(h.Body)
		}
		for _, ref := range h.Refs {
			notices = append(notices, Notice{Reference: ref, Says: said[ref]})
		}
	}
	fates, err := r.Match(ctx, tx, source[0], source[1], notices)
	if err != nil {
		return false, err
	}
	asked := false
	for _, f := range fates {
		asked = asked || f == Asked
	}
	return asked, r.settle(ctx, tx, hooks, fates)
}

// settle writes what became of webhooks: matched and given up, they leave the queue; the others are tried again.
func (r *Receiver) settle(ctx context.Context, tx pgx.Tx, hooks []db.ClaimWebhooksRow, fates map[string]Fate) error {
	now, q := r.Clock.Now(), db.New(tx)
	var done, given []int64
	var later db.PostponeWebhooksParams
	var lost []Lost
	for _, h := range hooks {
		switch state, next := r.judge(ctx, h, fates, now); state {
		case received:
			later.Ids, later.NextTries = append(later.Ids, h.ID), append(later.NextTries, next)
			for _, ref := range missing(h.Refs, fates) {
				later.Missing, later.Places = append(later.Missing, ref), append(later.Places, int32(len(later.Ids)))
			}
		case unmatched:
			lost = append(lost, Lost{h.Tenant, h.Provider, fmt.Sprintf("%d@%d", h.ID, h.ReceivedAt.Unix())})
			given, done = append(given, h.ID), append(done, h.ID)
		default:
			done = append(done, h.ID)
		}
	}
	if len(lost) > 0 {
		if r.GivenUp != nil {
			if err := r.GivenUp(ctx, tx, lost); err != nil {
				return err
			}
		}
		if err := q.GiveUpWebhooks(ctx, given); err != nil {
			return err
		}
	}
	if len(later.Ids) > 0 {
		if err := q.PostponeWebhooks(ctx, later); err != nil {
			return err
		}
	}
	if len(done) == 0 {
		return nil
	}
	return q.SettleWebhooks(ctx, done)
}

// missing is what a webhook waits for: nothing that is new while all of it is known or only busy.
func missing(refs []string, fates map[string]Fate) []string {
	if !slices.ContainsFunc(refs, func(ref string) bool { return fates[ref] == Unknown }) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(refs), func(ref string) bool { return fates[ref] > Busy })
}

// judge says what becomes of a webhook: matched when all it names is known, tried again for a day, then given up aloud.
func (r *Receiver) judge(ctx context.Context, h db.ClaimWebhooksRow, fates map[string]Fate, now time.Time) (state string, next time.Time) {
	worst := Asked
	for _, ref := range h.Refs {
		worst = min(worst, fates[ref])
	}
	age := now.Sub(h.ReceivedAt)
	switch {
	case worst == Busy:
		return received, now.Add(busy)
	case worst > Busy:
		r.counted.WithLabelValues(h.Provider, "matched").Inc()
		return matched, now
	case age < giveUp:
		return received, nextTry(now, age)
	default:
		r.counted.WithLabelValues(h.Provider, unmatched).Inc()
		r.Logger.ErrorContext(ctx, "webhook: nothing here has its references", "tenant", h.Tenant, "provider", h.Provider, "webhook", h.ID)
		return unmatched, now
	}
}

// nextTry is when a webhook of an age is tried again that nothing here knows the references of.
func nextTry(now time.Time, age time.Duration) time.Time {
	return now.Add(min(max(age, poll), slowest))
}

// Recall makes webhooks due that wait because nothing here had one of these references when they were tried, and tells which of them those are.
// A reference that has become known since is left out only when its webhook was tried again.
func Recall(ctx context.Context, tx pgx.Tx, now time.Time, tenant, name string, references []string) (map[string]bool, error) {
	waits, err := db.New(tx).RecallWebhooks(ctx, db.RecallWebhooksParams{Refs: references, Tenant: tenant, Provider: name, Now: now})
	if err != nil {
		return nil, fmt.Errorf("recall webhooks: %w", err)
	}
	waiting := map[string]bool{}
	for _, refs := range waits {
		for _, reference := range refs {
			waiting[reference] = true
		}
	}
	return waiting, nil
}
