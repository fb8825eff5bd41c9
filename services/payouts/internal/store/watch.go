package store

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// minFailures is how many failures a batch must have before their share of it means anything.
const minFailures = 5

// payeeKey names a payee.
type payeeKey struct{ tenant, id string }

func comparePayees(a, b payeeKey) int {
	return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.id, b.id))
}

// watchPayees counts failures in a row that are the payee's (a closed wallet, a wrong number), and pauses who has too many:
// trying every evening costs fees and tells nobody. A success ends the row.
func (s *Store) watchPayees(ctx context.Context, tx pgx.Tx, q *db.Queries, moved []move) error {
	failures, successes := map[payeeKey]refusals{}, map[payeeKey]bool{}
	for _, m := range moved {
		k := payeeKey{m.Tenant, m.PayeeID}
		switch {
		case m.State == payout.Succeeded:
			successes[k] = true
		case m.State == payout.Failed && m.Reason.Scope == payout.ScopePayee:
			failures[k] = refusals{n: failures[k].n + 1, last: m.Reason}
		}
	}
	maps.DeleteFunc(failures, func(k payeeKey, _ refusals) bool { return successes[k] })
	if err := s.resetFailures(ctx, q, successes); err != nil {
		return err
	}
	return s.countFailures(ctx, tx, q, failures)
}

func (s *Store) resetFailures(ctx context.Context, q *db.Queries, payees map[payeeKey]bool) error {
	if len(payees) == 0 {
		return nil
	}
	p := db.ResetPayeeFailuresParams{Now: s.Clock.Now()}
	for _, k := range slices.SortedFunc(maps.Keys(payees), comparePayees) {
		p.Tenants, p.PayeeIds = append(p.Tenants, k.tenant), append(p.PayeeIds, k.id)
	}
	if err := q.ResetPayeeFailures(ctx, p); err != nil {
		return fmt.Errorf("reset payee failures: %w", err)
	}
	return nil
}

func (s *Store) countFailures(ctx context.Context, tx pgx.Tx, q *db.Queries, failures map[payeeKey]refusals) error {
	if len(failures) == 0 {
		return nil
	}
	p := db.CountPayeeFailuresParams{Now: s.Clock.Now()}
	for _, k := range slices.SortedFunc(maps.Keys(failures), comparePayees) {
		p.Tenants, p.PayeeIds, p.Failures = append(p.Tenants, k.tenant), append(p.PayeeIds, k.id), append(p.Failures, failures[k].n)
	}
	rows, err := q.CountPayeeFailures(ctx, p)
	if err != nil {
		return fmt.Errorf("count payee failures: %w", err)
	}
	pause := db.PausePayeesParams{Reason: payout.CodeRepeatedFailures, Actor: Actor, Now: s.Clock.Now()}
	for _, r := range rows {
		limit := s.rules(r.Tenant).PausePayeeAfter
		if limit > 0 && int(r.Failures) >= limit && r.State == "active" {
			pause.Tenants, pause.PayeeIds = append(pause.Tenants, r.Tenant), append(pause.PayeeIds, r.PayeeID)
			pause.Details = append(pause.Details, failures[payeeKey{r.Tenant, r.PayeeID}].detail(r.Failures))
		}
	}
	if len(pause.Tenants) == 0 {
		return nil
	}
	_, err = s.pausePayees(ctx, tx, q, pause)
	return err
}

// refusals are how often a payee was refused at once, and why the last time.
type refusals struct {
	n    int32
	last payout.Reason
}

// detail says what failed, in codes: the provider's text may name somebody.
func (r refusals) detail(inARow int32) string {
	code := r.last.Code
	if r.last.ProviderCode != "" {
		code += " (provider code " + r.last.ProviderCode + ")"
	}
	return fmt.Sprintf("%d payouts in a row were refused, the last as %s", inARow, code)
}

// pausePayees also holds what else is approved for them, so that a paused payee's money waits in a state that says why.
func (s *Store) pausePayees(ctx context.Context, tx pgx.Tx, q *db.Queries, p db.PausePayeesParams) (int, error) {
	paused, err := q.PausePayees(ctx, p)
	if err != nil {
		return 0, fmt.Errorf("pause payees: %w", err)
	}
	msgs := make([]outbox.Message, 0, len(paused))
	for _, y := range paused {
		body := &eventsv1.Payee{
			PayeeId: y.PayeeID, Tenant: y.Tenant, State: "paused", PreviousState: "active",
			Reason: &eventsv1.Reason{Scope: payout.ScopePayee, Code: y.PauseReason}, Provider: y.Provider, Locale: y.Locale,
		}
		msg, err := s.Event(ctx, y.Tenant, "payee.paused", y.PayeeID, y.Version, body)
		if err != nil {
			return 0, err
		}
		msgs = append(msgs, msg)
	}
	if err := s.Outbox.Append(ctx, tx, msgs...); err != nil {
		return 0, err
	}
	ids, err := q.ApprovedOfPayees(ctx, db.ApprovedOfPayeesParams{Tenants: p.Tenants, PayeeIds: p.PayeeIds})
	if err != nil {
		return 0, fmt.Errorf("read approved payouts of paused payees: %w", err)
	}
	changes := make([]Change, len(ids))
	for i, id := range ids {
		changes[i] = Change{PayoutID: id, From: []payout.State{payout.Approved}, To: payout.Held, Reason: payout.HeldBy(payout.CodePayeePaused)}
	}
	_, err = s.Apply(ctx, tx, changes)
	return len(paused), err
}

// watchBatches pauses a batch whose failures pass the tenant's limit: whatever is wrong, sending the rest will not mend it.
func (s *Store) watchBatches(ctx context.Context, tx pgx.Tx, q *db.Queries, moved []move) error {
	if err := unseeFailures(ctx, q, moved); err != nil {
		return err
	}
	p := db.BatchFailuresParams{MinFailures: minFailures}
	for _, m := range moved {
		rules := s.rules(m.Tenant)
		if rate := rules.PauseAboveFailureRate; m.State == payout.Failed && rate > 0 && rules.OnFailures != config.OnFailuresContinue && !slices.Contains(p.Ids, m.BatchID) {
			p.Ids, p.Rates = append(p.Ids, m.BatchID), append(p.Rates, rate)
		}
	}
	if len(p.Ids) == 0 {
		return nil
	}
	rows, err := q.BatchFailures(ctx, p)
	if err != nil {
		return fmt.Errorf("count failures of batches: %w", err)
	}
	for _, r := range rows {
		unseen := r.Failed - r.FailuresSeen
		if unseen < minFailures || float64(unseen) <= s.rules(r.Tenant).PauseAboveFailureRate*float64(r.Wanted) {
			continue
		}
		if _, err := s.PauseBatch(ctx, tx, r.BatchID, payout.Reason{Scope: payout.ScopeBatch, Code: payout.CodeFailureRate}); err != nil {
			return err
		}
	}
	return nil
}

// unseeFailures has failures that are tried again count as accepted no longer: what fails in their place is news.
func unseeFailures(ctx context.Context, q *db.Queries, moved []move) error {
	var ids []uuid.UUID
	for _, m := range moved {
		if m.Previous == payout.Failed {
			ids = append(ids, m.BatchID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	if err := q.UnseeFailures(ctx, slices.Compact(ids)); err != nil {
		return fmt.Errorf("count failures that are tried again: %w", err)
	}
	return nil
}

// eventOf is the table's event, for transitions that the code itself chooses: a missing one is a defect of the code.
func eventOf(m event.Machine, from, to string) (event.Type, error) {
	t, ok := m.Event(from, to)
	if !ok {
		return "", fmt.Errorf("%s: the state table has no way from %q to %q", m.Aggregate, from, to)
	}
	return t, nil
}
