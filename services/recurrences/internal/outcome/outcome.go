// Package outcome applies what became of attempts to their charges, recurrences and cards, and to the books: sends that were
// answered, lookups, takeovers, and people's decisions all end here, so that one attempt state always means one charge state,
// one standing of its recurrence and one set of postings.
package outcome

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// Deps are what outcomes are applied with.
type Deps struct {
	Store      *store.Store
	Runs       *run.Store
	Clock      clock.Clock
	Tenants    *config.File
	Connectors *connector.Set
	Findings   *reconcile.Findings
	Logger     *slog.Logger
	Registry   prometheus.Registerer // nil: not measured
}

// Outcomes applies them.
type Outcomes struct {
	Deps
	retries map[string]charge.Retries // by tenant
	moved   *prometheus.CounterVec
	alarms  *prometheus.CounterVec
}

// New makes Outcomes. It fails on a tenant whose calendar cannot be read.
func New(d Deps) (*Outcomes, error) {
	rules, err := Rules(d.Tenants)
	if err != nil {
		return nil, err
	}
	o := &Outcomes{
		Deps: d, retries: rules,
		moved: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_recurrences_attempts_total", Help: "Attempts by the state they went to.",
		}, []string{"tenant", "provider", "state", "code"}),
		alarms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_recurrences_alarms_total", Help: "Answers of gateways that people must look at.",
		}, []string{"tenant", "provider"}),
	}
	if d.Registry != nil {
		d.Registry.MustRegister(o.moved, o.alarms)
	}
	return o, nil
}

// Rules are the tenants' rules for declined charges. It fails on a calendar that cannot be read.
func Rules(file *config.File) (map[string]charge.Retries, error) {
	rules := map[string]charge.Retries{}
	for _, t := range file.Tenants {
		if r := t.Recurrences; r != nil {
			calendar, err := recurrence.NewCalendar(r.BusinessDay, r.Holidays)
			if err != nil {
				return nil, fmt.Errorf("tenant %s: %w", t.ID, err)
			}
			rules[t.ID] = charge.Retries{Calendar: calendar, Days: r.RetryDays, Max: r.MaxRetries, CatchUp: r.CatchUpDays}
		}
	}
	return rules, nil
}

// Retries is a tenant's rule for declined charges.
func (o *Outcomes) Retries(tenant string) charge.Retries { return o.retries[tenant] }

// Apply moves the charges of attempts that have changed, and completes runs that waited for no other; see [Outcomes.Move].
func (o *Outcomes) Apply(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) error {
	sentBy, err := o.Move(ctx, tx, moved)
	if err != nil {
		return err
	}
	return o.Runs.Settle(ctx, tx, sentBy...)
}

// Move moves the charges of attempts that have changed, and with them their recurrences, their cards and the books. Attempt
// and charge always move in one transaction, so a charge that is not where its attempt says is a defect, and an error:
// nothing of the call is kept then. It returns the runs whose sends are over.
func (o *Outcomes) Move(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) (sentBy []uuid.UUID, err error) {
	if len(moved) == 0 {
		return nil, nil
	}
	all, err := o.judge(ctx, tx, moved)
	if err != nil {
		return nil, err
	}
	var changes []store.ChargeChange
	for _, n := range all {
		changes = append(changes, n.changes(o.Clock.Now())...)
	}
	after, err := o.Store.ApplyCharges(ctx, tx, changes)
	if err != nil {
		return nil, err
	}
	if len(after) != len(moved) {
		return nil, fmt.Errorf("apply outcomes: %d of %d charges are not in the state of their attempt", len(moved)-len(after), len(moved))
	}
	if err := o.post(ctx, tx, all); err != nil {
		return nil, err
	}
	if err := o.note(ctx, tx, all); err != nil {
		return nil, err
	}
	invalid, err := o.cards(ctx, tx, all)
	if err != nil {
		return nil, err
	}
	if err := o.recurrences(ctx, tx, all, invalid); err != nil {
		return nil, err
	}
	if err := review.Drop(ctx, tx, left(all)...); err != nil {
		return nil, err
	}
	o.count(ctx, moved)
	return senders(all), nil
}

// senders lists the runs that had charges sent.
func senders(all []news) []uuid.UUID {
	var ids []uuid.UUID
	for _, n := range all {
		if id := n.before.Send.Run; id != uuid.Nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// left lists the charges that left review: the next review of one is about something else.
func left(all []news) []uuid.UUID {
	var ids []uuid.UUID
	for _, n := range all {
		if n.before.State == charge.ManualReview && n.outcome.State != charge.ManualReview {
			ids = append(ids, n.before.ID)
		}
	}
	return ids
}

func (o *Outcomes) count(ctx context.Context, moved []attempt.Moved) {
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
	o.Logger.ErrorContext(ctx, "recurrences: an answer of the gateway needs people", "tenant", a.Tenant, "gateway", a.Provider,
		"charge", a.Subject, "attempt", a.Number, "alarm", alarm)
}
