package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store/db"
)

// Codes of the reasons for a schedule's change.
const (
	byFile   = "tenants_file"
	byPerson = "operator"
)

// Sync makes the stored schedules those of the tenants file and returns what it changed. Ticks that fell due under a rule
// that is now replaced are settled by that rule first; those of a schedule that is gone become missed.
func (s *Store) Sync(ctx context.Context, want map[schedule.Key]schedule.Rule) ([]schedule.Change, error) {
	if err := s.settleReplaced(ctx, want); err != nil {
		return nil, err
	}
	var written []schedule.Change
	var settled []Settled
	err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		now := s.now()
		changes, replaced, err := s.plan(ctx, tx, want, now)
		if err != nil {
			return err
		}
		var all bool
		if settled, all, err = s.settle(ctx, tx, replaced, now); err != nil {
			return err
		}
		if !all {
			return ErrBacklog
		}
		written, err = s.put(ctx, tx, changes, byFile, now)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bring schedules to what the tenants file says: %w", err)
	}
	s.Committed(ctx, settled)
	return written, nil
}

// settleReplaced settles the backlog of schedules that are about to change, in transactions of bounded size.
func (s *Store) settleReplaced(ctx context.Context, want map[schedule.Key]schedule.Rule) error {
	var replaced []schedule.Schedule
	err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) (err error) {
		_, replaced, err = s.plan(ctx, tx, want, s.now())
		return err
	})
	if err != nil {
		return err
	}
	for _, sch := range replaced {
		err := s.settleAll(ctx, sch.Key, func(stored *schedule.Schedule) error {
			if sch.State == schedule.Deleted {
				stored.State = schedule.Deleted
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// plan locks all schedules and returns what must change, and the schedules whose times it replaces: as they are stored,
// but deleted where they are gone.
func (s *Store) plan(ctx context.Context, tx pgx.Tx, want map[schedule.Key]schedule.Rule, now time.Time) (changes []schedule.Change, replaced []schedule.Schedule, err error) {
	rows, err := db.New(tx).Schedules(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read schedules: %w", err)
	}
	have := make([]schedule.Schedule, 0, len(rows))
	for _, row := range rows {
		sch, err := scheduleOf(row)
		if err != nil {
			return nil, nil, err
		}
		have = append(have, sch)
		rule, wanted := want[sch.Key]
		switch {
		case sch.State == schedule.Deleted || wanted && sch.SameTimes(rule):
			continue
		case !wanted:
			sch.State = schedule.Deleted
		}
		replaced = append(replaced, sch)
	}
	changes, err = schedule.Reconcile(have, want, now)
	return changes, replaced, err
}

// put writes changes and their events. A change that another replica made meanwhile is left out of the result.
func (s *Store) put(ctx context.Context, tx pgx.Tx, changes []schedule.Change, code string, now time.Time) ([]schedule.Change, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	keys, err := db.New(tx).PutSchedules(ctx, putParams(changes, now))
	if err != nil {
		return nil, fmt.Errorf("write schedules: %w", err)
	}
	wrote := make(map[schedule.Key]bool, len(keys))
	for _, k := range keys {
		wrote[schedule.Key{Tenant: k.Tenant, Service: k.Service, Name: k.Name}] = true
	}
	var written []schedule.Change
	var msgs []outbox.Message
	for _, c := range changes {
		if !wrote[c.Key] {
			continue
		}
		m, err := s.scheduleMessage(ctx, c, code, now)
		if err != nil {
			return nil, err
		}
		written, msgs = append(written, c), append(msgs, m)
	}
	if len(msgs) == 0 {
		return nil, nil
	}
	return written, s.Outbox.Append(ctx, tx, msgs...)
}

func putParams(changes []schedule.Change, now time.Time) db.PutSchedulesParams {
	p := db.PutSchedulesParams{Now: now}
	for _, c := range changes {
		next := c.Next()
		p.Tenants, p.Services, p.Names = append(p.Tenants, c.Tenant), append(p.Services, c.Service), append(p.Names, c.Name)
		p.Jobs, p.Crons, p.Timezones = append(p.Jobs, c.Job), append(p.Crons, c.Cron.String()), append(p.Timezones, c.Zone.String())
		p.CatchUps, p.Windows = append(p.CatchUps, string(c.CatchUp.Mode)), append(p.Windows, int64(c.CatchUp.Window))
		p.Caps, p.States = append(p.Caps, int32(c.CatchUp.Cap)), append(p.States, string(c.State))
		p.PauseReasons, p.Versions = append(p.PauseReasons, c.PauseReason), append(p.Versions, c.Version)
		p.Cursors, p.Nexts, p.HasNext = append(p.Cursors, c.Cursor), append(p.Nexts, next), append(p.HasNext, !next.IsZero())
	}
	return p
}

// Pause stops a schedule from firing, with a reason. What was due before still fires. Pausing again only replaces the
// reason. Settle a backlog with [Store.SettleAll] first; call [Store.Committed] after commit.
func (s *Store) Pause(ctx context.Context, tx pgx.Tx, key schedule.Key, reason string) ([]Settled, error) {
	return s.turn(ctx, tx, key, schedule.Paused, reason)
}

// Resume lets a schedule fire again, from now on: what fell due while it was paused is skipped.
func (s *Store) Resume(ctx context.Context, tx pgx.Tx, key schedule.Key) ([]Settled, error) {
	return s.turn(ctx, tx, key, schedule.Active, "")
}

func (s *Store) turn(ctx context.Context, tx pgx.Tx, key schedule.Key, to schedule.State, reason string) ([]Settled, error) {
	sch, err := s.lock(ctx, tx, key)
	if err != nil {
		return nil, err
	}
	if sch.State == schedule.Deleted {
		return nil, fmt.Errorf("schedule %s: %w", key, ErrNotFound)
	}
	if sch.State == to && sch.PauseReason == reason {
		return nil, nil
	}
	now := s.now()
	settled, all, err := s.settle(ctx, tx, []schedule.Schedule{sch}, now)
	if err != nil {
		return nil, err
	}
	if !all {
		return nil, fmt.Errorf("schedule %s: %w", key, ErrBacklog)
	}
	if now.After(sch.Cursor) {
		sch.Cursor = now
	}
	c, err := sch.To(to)
	if err != nil {
		return nil, err
	}
	c.PauseReason = reason
	written, err := s.put(ctx, tx, []schedule.Change{c}, byPerson, now)
	if err == nil && len(written) != 1 {
		err = errors.New("the row changed although it is locked") // would be a defect of PutSchedules
	}
	return settled, err
}
