package outcome

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
)

// Book is the reconciling worker's view of payouts.
type Book struct {
	Outcomes *Outcomes
	States   *provider.States // of the connectors; nil: they hear nothing of what lookups find
}

var _ reconcile.Book = (*Book)(nil)

// Apply moves the payouts of attempts that were taken over.
func (b *Book) Apply(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) error {
	payouts, err := b.Outcomes.Apply(ctx, tx, moved)
	if err != nil {
		return err
	}
	return b.Outcomes.Store.Settle(ctx, tx, runsOf(payouts)...)
}

// Decided applies what lookups proved. What is proven never to have been created goes again under its reference; failed ones
// wait for their retry. A refusal for want of float has the connector rest.
func (b *Book) Decided(ctx context.Context, tx pgx.Tx, updates []attempt.Update) error {
	payouts, moved, err := b.Outcomes.decided(ctx, tx, updates)
	if err != nil {
		return err
	}
	nonce := "l" + strconv.FormatInt(b.Outcomes.Clock.Now().UnixMilli(), 36)
	if err := b.Outcomes.Store.WakeDispatch(ctx, tx, nonce, payouts...); err != nil {
		return err
	}
	if err := b.Outcomes.Store.Settle(ctx, tx, runsOf(payouts)...); err != nil {
		return err
	}
	return b.wanting(ctx, tx, moved)
}

// telling is how long after a send its refusal for want of float says anything of the balance: a refusal that is found out later than
// that may be older than what was sent to the provider since.
const telling = 15 * time.Minute

// wanting has connectors rest whose provider took a payout and then refused it for want of float. It comes last, as in the transactions
// that record sends. A claim that these make with their outcomes may still wait for a run or a batch that is held here, when it puts payouts
// aside: that is a deadlock, which Postgres ends and its transaction is made again.
func (b *Book) wanting(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) error {
	if b.States == nil {
		return nil
	}
	now, refused := b.Outcomes.Clock.Now(), map[provider.Connector][]provider.Result{}
	for _, m := range moved {
		if m.Attempt.State != attempt.Failed || m.Result.Scope != provider.ScopeFloat || now.Sub(m.Attempt.SubmittedAt) > telling {
			continue
		}
		if c, ok := b.Outcomes.Connectors.Get(m.Attempt.Tenant, m.Attempt.Provider); ok {
			refused[c.Connector] = append(refused[c.Connector], m.Result)
		}
	}
	order := func(a, b provider.Connector) int {
		return strings.Compare(a.Tenant+"/"+a.Provider, b.Tenant+"/"+b.Provider)
	}
	for _, c := range slices.SortedFunc(maps.Keys(refused), order) {
		if _, err := b.States.Observe(ctx, tx, c, refused[c]); err != nil {
			return err
		}
	}
	return nil
}

// Alarm tells people that an answer needs them.
func (b *Book) Alarm(ctx context.Context, a attempt.Attempt, alarm string) {
	b.Outcomes.Alarm(ctx, a, alarm)
}

func runsOf(payouts []payout.Payout) []uuid.UUID {
	var ids []uuid.UUID
	for _, p := range payouts {
		if !slices.Contains(ids, p.RunID) {
			ids = append(ids, p.RunID)
		}
	}
	return ids
}
