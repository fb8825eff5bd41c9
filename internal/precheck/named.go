package precheck

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/precheck/db"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/webhook"
)

// awaited is how long after a mark webhooks come that nothing is proven beside while it is not known whose they are: for as long as one is tried. Later ones
// are asked about too, but the provider has had a day then to show what it did before.
const awaited = 24 * time.Hour

// never is when webhooks come that there are none of.
var never = time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)

// said is what a provider said of ids: what they are of, and those of which it did not tell.
type said struct {
	told   map[string]string
	missed []string
	why    error // of one of these
}

// name asks a provider whose webhooks name transfers by its own ids about those that nothing here knows: the tables that did may be lost. What
// they turn out to be of is heard as if the webhook had named it. While nothing is asked or believed since a restore, which is idle, nobody is asked.
// unasked says that there may be more ids than were asked about.
func (w *Worker) name(ctx context.Context, c *connector.Connector) (unasked, idle bool, err error) {
	if c.Namer == nil {
		return false, false, nil
	}
	var ids []string
	var known map[string]string
	err = pg.InTx(ctx, w.Pool, func(tx pgx.Tx) (err error) {
		now := w.Clock.Now()
		since, until := attempt.Believed(now)
		listens, err := db.New(tx).Listens(ctx, db.ListensParams{Tenant: c.Tenant, Provider: c.Provider, Since: &since, Until: &until})
		if idle = !listens; err != nil || idle {
			return err
		}
		if ids, err = webhook.Askable(ctx, tx, now, c.Tenant, c.Provider, page); err != nil || len(ids) == 0 {
			return err
		}
		known, err = attempt.OfProviderIDs(ctx, tx, c.Tenant, c.Provider, ids) // since its webhook was tried
		return err
	})
	if err != nil || len(ids) == 0 {
		return false, idle, err
	}
	n := w.askNames(ctx, c, ids, known)
	if len(n.missed) > 0 && ctx.Err() == nil {
		w.Logger.WarnContext(ctx, w.Service+": not told what webhooks are about, so nothing is proven absent for now; asking again", "tenant", c.Tenant,
			"provider", c.Provider, "ids", len(n.missed), "one", n.missed[0], "error", n.why)
	}
	return len(ids) == page, false, pg.InTx(ctx, w.Pool, func(tx pgx.Tx) error { return w.hear(ctx, tx, c, n) })
}

// askNames asks about ids, as many at once as about questions.
func (w *Worker) askNames(ctx context.Context, c *connector.Connector, ids []string, known map[string]string) said {
	n := said{told: maps.Clone(known)}
	var mu sync.Mutex
	slots := make(chan struct{}, parallel)
	var asked sync.WaitGroup
	for _, id := range ids {
		if _, ok := known[id]; ok {
			continue
		}
		slots <- struct{}{}
		asked.Go(func() {
			defer func() { <-slots }()
			reference, err := w.reference(ctx, c, id)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				n.missed, n.why = append(n.missed, id), err
				return
			}
			n.told[id] = reference
		})
	}
	asked.Wait()
	return n
}

// reference asks about one id, within the provider's rate.
func (w *Worker) reference(ctx context.Context, c *connector.Connector, id string) (reference string, err error) {
	defer func() {
		if p := recover(); p != nil { // a defect of an adapter is no answer
			w.Logger.ErrorContext(ctx, w.Service+": the adapter panicked while asking whose an id is", "provider", c.Provider, "panic", provider.Panic(p))
			err = errors.New("the adapter panicked")
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, questionLease/2)
	defer cancel()
	if err := c.Throttle.One(ctx); err != nil {
		return "", err
	}
	return c.Namer.ReferenceOf(ctx, id)
}

// hear has asked anew what ids turned out to be of, and keeps what was said of them. One whose question somebody holds is asked about again.
func (w *Worker) hear(ctx context.Context, tx pgx.Tx, c *connector.Connector, n said) error {
	references := slices.Collect(maps.Values(n.told))
	known, err := attempt.OfReferences(ctx, tx, c.Tenant, c.Provider, references)
	if err != nil {
		return err
	}
	heard, err := Heard(ctx, tx, w.Clock.Now(), c.Tenant, c.Provider, Unsent(references, known))
	if err != nil {
		return err
	}
	told, missed := make(map[string]string, len(n.told)), n.missed
	for id, reference := range n.told {
		if done, spoken := heard[reference]; spoken && !done {
			missed = append(missed, id)
		} else {
			told[id] = reference
		}
	}
	return webhook.Answered(ctx, tx, c.Tenant, c.Provider, told, missed)
}

// named reports whether a provider has told of an id that it is of a reference: it has that one then, whether or not it shows it.
func (w *Worker) named(ctx context.Context, c *connector.Connector, reference string) (bool, error) {
	if c.Namer == nil {
		return false, nil
	}
	return webhook.Named(ctx, w.Pool, c.Tenant, c.Provider, reference)
}

// unnamed is when the first webhook came of which it is not known whose it is; never, when there is none.
func unnamed(ctx context.Context, tx pgx.Tx, c *connector.Connector, unasked bool) (time.Time, error) {
	switch {
	case c.Namer == nil:
		return never, nil
	case unasked:
		return time.Time{}, nil
	}
	oldest, err := webhook.Unnamed(ctx, tx, c.Tenant, c.Provider, false)
	if err == nil && oldest.IsZero() {
		oldest = never
	}
	return oldest, err
}

// withholds reports whether absence is not believed for a webhook that came at a time and of which it is not known whose it is.
func withholds(came, sentUntil time.Time) bool { return came.Before(sentUntil.Add(awaited)) }

// withheld takes proofs back beside which a webhook waits of which it is not known whose it is. They are read again when that is known, or when the
// webhook is given up.
func withheld(answered []db.ClaimRow, oldest, now time.Time) []db.ClaimRow {
	for i := range answered {
		if q := &answered[i]; q.State == absent && withholds(oldest, q.SentUntil) {
			q.State, q.ProvenAt, q.NextAt = asking, nil, now
			q.AbsentReads--
		}
	}
	return answered
}
