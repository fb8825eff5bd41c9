// Package outcome applies what became of attempts to their payouts and to the books: sends that were answered, lookups,
// takeovers, and people's decisions all end here, so that one attempt state always means one payout state and one set of
// postings.
package outcome

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// Deps are what outcomes are applied with.
type Deps struct {
	Store      *store.Store
	Outbox     *outbox.Outbox
	Clock      clock.Clock
	Tenants    *config.File
	Connectors *connector.Set
	Logger     *slog.Logger
	Registry   prometheus.Registerer // nil: not measured
}

// Outcomes applies them.
type Outcomes struct {
	Deps
	findings *reconcile.Findings
	moved    *prometheus.CounterVec
	alarms   *prometheus.CounterVec
}

// New makes Outcomes.
func New(d Deps) *Outcomes {
	o := &Outcomes{
		Deps: d,
		findings: &reconcile.Findings{
			Service: store.Service, Outbox: d.Outbox, Clock: d.Clock, Epoch: d.Store.Epoch, Registry: d.Registry,
			Account: func(a attempt.Attempt) string { return ledger.Float(a.Provider) },
		},
		moved: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_payouts_attempts_total", Help: "Attempts by the state they went to.",
		}, []string{"tenant", "provider", "state", "code"}),
		alarms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_payouts_alarms_total", Help: "Answers of providers that people must look at.",
		}, []string{"tenant", "provider"}),
	}
	if d.Registry != nil {
		d.Registry.MustRegister(o.moved, o.alarms)
	}
	return o
}

// Apply moves the payouts of attempts that have changed and posts what that means. Attempt and payout always move in one
// transaction, so a payout that is not where its attempt says is a defect, and an error: nothing of the call is kept then.
func (o *Outcomes) Apply(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) ([]payout.Payout, error) {
	if len(moved) == 0 {
		return nil, nil
	}
	held, err := o.hold(ctx, tx, moved)
	if err != nil {
		return nil, err
	}
	before := make(map[uuid.UUID]payout.Payout, len(held))
	for _, p := range held {
		before[p.ID] = p
	}
	changes := make([]store.Change, 0, len(moved))
	for _, m := range moved {
		p, ok := before[m.Attempt.Subject]
		if !ok {
			return nil, fmt.Errorf("attempt %d of payout %s: there is no such payout", m.Attempt.Number, m.Attempt.Subject)
		}
		changes = append(changes, o.change(p, m))
	}
	after, err := o.Store.ApplyTo(ctx, tx, held, changes)
	if err != nil {
		return nil, err
	}
	if len(after) != len(moved) {
		return nil, fmt.Errorf("apply outcomes: %d of %d payouts are not in the state of their attempt", len(moved)-len(after), len(moved))
	}
	if err := o.post(ctx, tx, before, moved); err != nil {
		return nil, err
	}
	o.Count(ctx, moved)
	return after, o.againstStatement(ctx, tx, moved)
}

// hold reads the payouts of attempts and holds their rows, as this transaction holds the attempts' already.
func (o *Outcomes) hold(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) ([]payout.Payout, error) {
	ids := make([]uuid.UUID, len(moved))
	for i, m := range moved {
		ids[i] = m.Attempt.Subject
	}
	return o.Store.Lock(ctx, tx, ids...)
}

// Count counts attempts that have moved, and tells people of what was strange about it. Apply has counted those that went through it.
func (o *Outcomes) Count(ctx context.Context, moved []attempt.Moved) {
	for _, m := range moved {
		o.moved.WithLabelValues(m.Attempt.Tenant, m.Attempt.Provider, string(m.Attempt.State), m.Result.Code).Inc()
		o.Alarm(ctx, m.Attempt, m.Result.Alarm)
	}
}

// Alarm tells people that an answer needs them; "" tells nothing. The alarm is the adapter's word, without personal data.
func (o *Outcomes) Alarm(ctx context.Context, a attempt.Attempt, alarm string) {
	if alarm == "" {
		return
	}
	o.alarms.WithLabelValues(a.Tenant, a.Provider).Inc()
	o.Logger.ErrorContext(ctx, "payouts: an answer of the provider needs people", "tenant", a.Tenant, "provider", a.Provider,
		"payout", a.Subject, "attempt", a.Number, "alarm", alarm)
}
