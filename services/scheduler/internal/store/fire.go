package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store/db"
)

// Fire settles everything that is due, in transactions of bounded size: it inserts the ticks, advances the cursors and
// writes orders and events. Any number of replicas may call it at once. A schedule that this binary cannot read does not
// stop the others; it is part of the error.
func (s *Store) Fire(ctx context.Context) error {
	var broken []string
	var problems []error
	for ctx.Err() == nil {
		done, bad, err := s.fireBatch(ctx, broken)
		if err != nil {
			return errors.Join(append(problems, err)...)
		}
		for key, err := range bad {
			broken, problems = append(broken, key.String()), append(problems, err)
		}
		if done == 0 {
			break
		}
	}
	return errors.Join(append(problems, ctx.Err())...)
}

// fireBatch is one transaction of Fire; done is how many schedules it took.
func (s *Store) fireBatch(ctx context.Context, broken []string) (done int, bad map[schedule.Key]error, err error) {
	var settled []Settled
	err = pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		done, bad, settled = 0, map[schedule.Key]error{}, nil // InTx may repeat
		now := s.now()
		rows, err := db.New(tx).LockDue(ctx, db.LockDueParams{Now: &now, Broken: broken, MaxRows: schedulesPerTx})
		if err != nil {
			return fmt.Errorf("take due schedules: %w", err)
		}
		done = len(rows)
		var due []schedule.Schedule
		for _, row := range rows {
			sch, err := scheduleOf(row)
			if err != nil {
				bad[sch.Key] = err
				continue
			}
			due = append(due, sch)
		}
		settled, _, err = s.settle(ctx, tx, due, now)
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	if len(settled) > 0 {
		s.Committed(ctx, settled)
	}
	return done, bad, nil
}

// settle decides about what is due of schedules whose rows the transaction holds. It returns the ticks that are new and
// whether everything fitted into one transaction.
func (s *Store) settle(ctx context.Context, tx pgx.Tx, due []schedule.Schedule, now time.Time) (fresh []Settled, all bool, err error) {
	if len(due) == 0 {
		return nil, true, nil
	}
	budget, all := ticksPerTx, true
	var ticks []Settled
	var moves moves
	rules := make(map[schedule.Key]schedule.Rule, len(due))
	for _, sch := range due {
		if budget == 0 {
			all = false
			break
		}
		decided, cursor := sch.Due(now, budget)
		budget -= len(decided)
		all = all && !cursor.Before(now)
		for _, t := range decided {
			ticks = append(ticks, Settled{Key: sch.Key, Tick: t, At: now})
		}
		sch.Cursor, rules[sch.Key] = cursor, sch.Rule
		moves.add(sch, lastFired(decided))
	}
	if fresh, err = s.insertTicks(ctx, tx, ticks, rules, ""); err != nil {
		return nil, false, err
	}
	if err := db.New(tx).Advance(ctx, moves.params); err != nil {
		return nil, false, fmt.Errorf("advance cursors: %w", err)
	}
	return fresh, all, s.publishTicks(ctx, tx, fresh, rules, nil)
}

func lastFired(ticks []schedule.Tick) string {
	for i := len(ticks) - 1; i >= 0; i-- {
		if ticks[i].State == schedule.Fired {
			return ticks[i].ID
		}
	}
	return ""
}

// moves collects the new cursors of a transaction.
type moves struct{ params db.AdvanceParams }

func (m *moves) add(s schedule.Schedule, lastTick string) {
	p, next := &m.params, s.Next()
	p.Tenants, p.Services, p.Names = append(p.Tenants, s.Tenant), append(p.Services, s.Service), append(p.Names, s.Name)
	p.Cursors, p.Nexts = append(p.Cursors, s.Cursor), append(p.Nexts, next)
	p.HasNext, p.LastTicks = append(p.HasNext, !next.IsZero()), append(p.LastTicks, lastTick)
}

// insertTicks returns the ticks that were not there before, in order.
func (s *Store) insertTicks(ctx context.Context, tx pgx.Tx, ticks []Settled, rules map[schedule.Key]schedule.Rule, requestID string) ([]Settled, error) {
	if len(ticks) == 0 {
		return nil, nil
	}
	p := db.InsertTicksParams{Now: ticks[0].At}
	for _, t := range ticks {
		rule := rules[t.Key]
		p.TickIds, p.Tenants, p.Services = append(p.TickIds, t.ID), append(p.Tenants, t.Tenant), append(p.Services, t.Service)
		p.Schedules, p.Jobs, p.Timezones = append(p.Schedules, t.Name), append(p.Jobs, rule.Job), append(p.Timezones, rule.Zone.String())
		p.NominalTimes, p.LocalDates = append(p.NominalTimes, t.Nominal), append(p.LocalDates, t.LocalDate)
		p.WindowStarts, p.Triggers = append(p.WindowStarts, t.WindowStart), append(p.Triggers, string(t.Trigger))
		p.States, p.Reasons, p.RequestIds = append(p.States, string(t.State)), append(p.Reasons, t.Reason), append(p.RequestIds, requestID)
	}
	ids, err := db.New(tx).InsertTicks(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("insert ticks: %w", err)
	}
	isNew := make(map[string]bool, len(ids))
	for _, id := range ids {
		isNew[id] = true
	}
	fresh := make([]Settled, 0, len(ids))
	for _, t := range ticks {
		if isNew[t.ID] {
			fresh = append(fresh, t)
		}
	}
	return fresh, nil
}

// publishTicks writes the event of each tick, and the order of each that fired. previous holds the version and state of
// ticks that were there before.
func (s *Store) publishTicks(ctx context.Context, tx pgx.Tx, ticks []Settled, rules map[schedule.Key]schedule.Rule, previous map[string]db.LockTickRow) error {
	var msgs []outbox.Message
	for _, t := range ticks {
		m, err := s.tickMessages(ctx, t, rules[t.Key], previous[t.ID])
		if err != nil {
			return err
		}
		msgs = append(msgs, m...)
	}
	if len(msgs) == 0 {
		return nil
	}
	if err := s.Outbox.Append(ctx, tx, msgs...); err != nil {
		return fmt.Errorf("write ticks to the outbox: %w", err)
	}
	return nil
}

// SettleAll settles what is due of one schedule in transactions of its own: ahead of a change that must not decide about a
// long outage in one transaction.
func (s *Store) SettleAll(ctx context.Context, key schedule.Key) error {
	return s.settleAll(ctx, key, func(sch *schedule.Schedule) error {
		if sch.State == schedule.Deleted {
			return fmt.Errorf("schedule %s: %w", key, ErrNotFound)
		}
		return nil
	})
}

// settleAll lets edit look at the locked schedule, and change it, before each transaction settles what is due of it.
func (s *Store) settleAll(ctx context.Context, key schedule.Key, edit func(*schedule.Schedule) error) error {
	for {
		var settled []Settled
		var all bool
		err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
			sch, err := s.lock(ctx, tx, key)
			if err != nil {
				return err
			}
			if err := edit(&sch); err != nil {
				return err
			}
			settled, all, err = s.settle(ctx, tx, []schedule.Schedule{sch}, s.now())
			return err
		})
		if err != nil {
			return err
		}
		s.Committed(ctx, settled)
		if all {
			return nil
		}
		s.Logger.InfoContext(ctx, "settling a long backlog", slog.String("schedule", key.String()), slog.Int("ticks", len(settled)))
	}
}

// lock takes a schedule's row, deleted or not.
func (s *Store) lock(ctx context.Context, tx pgx.Tx, key schedule.Key) (schedule.Schedule, error) {
	row, err := db.New(tx).LockSchedule(ctx, db.LockScheduleParams{Tenant: key.Tenant, Service: key.Service, Name: key.Name})
	if err != nil {
		return schedule.Schedule{}, notFound(err, "schedule", key.String())
	}
	return scheduleOf(row)
}
