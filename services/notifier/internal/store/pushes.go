package store

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/notifier/internal/channel"
	"github.com/agogopay/agogo/services/notifier/internal/store/db"
)

// States of a push.
const (
	Pending = "pending"
	Sent    = "sent"
	Failed  = "failed"
	Dropped = "dropped"
)

// Push is a claimed row of the queue with what its message needs.
type Push struct {
	NotificationID uuid.UUID
	DeviceID       uuid.UUID
	DeviceVersion  int64
	Message        channel.Message
	Tries          int
	QueuedAt       time.Time
	Siblings       int  // pushes of the same notification, this one included
	Registered     bool // the device still is
	TakenOver      bool // by another user
	Overtaken      bool // by newer word about the same subject
}

// Claim takes up to n due pushes under a new lease.
func (s *Store) Claim(ctx context.Context, n int, lease time.Duration) (uuid.UUID, []Push, error) {
	id := uuid.New()
	rows, err := db.New(s.Pool).ClaimPushes(ctx, db.ClaimPushesParams{
		At: s.Clock.Now(), PageSize: int32(n), HeldBy: id, Seconds: int32(lease.Seconds()),
	})
	if err != nil {
		return id, nil, fmt.Errorf("claim pushes: %w", err)
	}
	pushes := make([]Push, 0, len(rows))
	for _, r := range rows {
		var data map[string]string
		if err := json.Unmarshal(r.Data, &data); err != nil {
			return id, nil, fmt.Errorf("data of notification %s: %w", r.NotificationID, err)
		}
		pushes = append(pushes, Push{
			NotificationID: r.NotificationID, DeviceID: r.DeviceID, DeviceVersion: r.DeviceVersion,
			Message: channel.Message{
				NotificationID: r.NotificationID.String(), Token: r.Token, Kind: r.Kind, SubjectID: r.SubjectID,
				Title: r.Title, Body: r.Body, Data: data,
			},
			Tries: int(r.Tries), QueuedAt: r.CreatedAt, Siblings: int(r.Pushes),
			Registered: r.Registered, TakenOver: r.TakenOver, Overtaken: r.Overtaken,
		})
	}
	// Oldest first, which RETURNING does not promise.
	slices.SortFunc(pushes, func(a, b Push) int {
		return cmp.Or(a.QueuedAt.Compare(b.QueuedAt), slices.Compare(a.NotificationID[:], b.NotificationID[:]))
	})
	return id, pushes, nil
}

// Verdict is what became of a claimed push.
type Verdict struct {
	Push  Push
	State string
	Code  string
	// RemoveDevice is set when the token is known to be dead.
	RemoveDevice bool
	NextTryAt    time.Time // Pending
}

// Finished counts notifications that ended, by state, and devices that went.
type Finished struct {
	Notifications  map[string]int
	DevicesRemoved int
}

// invalidCode is the service's word for a message or a token that it does not understand; see [Store.Record].
const invalidCode = "INVALID_ARGUMENT"

// Record writes verdicts in one transaction: pushes, dead devices, and the notifications whose last push this was, with
// their events. A device whose push was called invalid is removed only once another device took the same message: until
// then the fault may be ours.
func (s *Store) Record(ctx context.Context, lease uuid.UUID, verdicts []Verdict) (Finished, error) {
	var f Finished
	if len(verdicts) == 0 {
		return f, nil
	}
	err := pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		var err error
		f, err = s.record(ctx, tx, lease, verdicts)
		return err
	})
	if err != nil {
		return Finished{}, fmt.Errorf("record %d pushes: %w", len(verdicts), err)
	}
	s.Outbox.Nudge()
	return f, nil
}

func (s *Store) record(ctx context.Context, tx pgx.Tx, lease uuid.UUID, verdicts []Verdict) (Finished, error) {
	q, now := db.New(tx), s.Clock.Now()
	ids := notificationsOf(verdicts)
	if err := q.LockNotifications(ctx, ids); err != nil {
		return Finished{}, err
	}
	if err := q.RecordPushes(ctx, recordParams(lease, verdicts, now)); err != nil {
		return Finished{}, err
	}
	removed, err := s.removeDead(ctx, tx, q, verdicts, now)
	if err != nil {
		return Finished{}, err
	}
	rows, err := q.FinishNotifications(ctx, db.FinishNotificationsParams{At: now, Ids: ids})
	if err != nil {
		return Finished{}, err
	}
	msgs, err := s.finishedEvents(ctx, rows, now)
	if err != nil {
		return Finished{}, err
	}
	f := Finished{Notifications: map[string]int{}, DevicesRemoved: removed}
	for _, r := range rows {
		f.Notifications[r.State]++
	}
	return f, s.Outbox.Append(ctx, tx, msgs...)
}

func notificationsOf(verdicts []Verdict) []uuid.UUID {
	ids := make([]uuid.UUID, 0, len(verdicts))
	for _, v := range verdicts {
		ids = append(ids, v.Push.NotificationID)
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(ids)
}

func recordParams(lease uuid.UUID, verdicts []Verdict, now time.Time) db.RecordPushesParams {
	p := db.RecordPushesParams{At: now, HeldBy: lease}
	for _, v := range verdicts {
		p.NotificationIds = append(p.NotificationIds, v.Push.NotificationID)
		p.DeviceIds = append(p.DeviceIds, v.Push.DeviceID)
		p.States = append(p.States, v.State)
		p.Codes = append(p.Codes, v.Code)
		p.NextTryAts = append(p.NextTryAts, cmp.Or(v.NextTryAt, now))
	}
	return p
}

// removeDead removes devices with dead tokens and tells so.
func (s *Store) removeDead(ctx context.Context, tx pgx.Tx, q *db.Queries, verdicts []Verdict, now time.Time) (int, error) {
	p := db.RemoveDevicesParams{At: now}
	add := func(id uuid.UUID, version int64, reason string) {
		if !slices.Contains(p.DeviceIds, id) {
			p.DeviceIds = append(p.DeviceIds, id)
			p.Versions = append(p.Versions, version)
			p.Reasons = append(p.Reasons, reason)
		}
	}
	var shared []uuid.UUID
	for _, v := range verdicts {
		if v.RemoveDevice {
			add(v.Push.DeviceID, v.Push.DeviceVersion, v.Code)
		}
		if v.Push.Siblings > 1 && (v.State == Sent || v.Code == invalidCode) {
			shared = append(shared, v.Push.NotificationID)
		}
	}
	if len(shared) > 0 {
		proven, err := q.ProvenInvalid(ctx, db.ProvenInvalidParams{NotificationIds: shared, Code: invalidCode})
		if err != nil {
			return 0, err
		}
		for _, r := range proven {
			add(r.DeviceID, r.Version, invalidCode)
		}
	}
	if len(p.DeviceIds) == 0 {
		return 0, nil
	}
	rows, err := q.RemoveDevices(ctx, p)
	if err != nil {
		return 0, err
	}
	devices := make([]device, len(rows))
	for i, r := range rows {
		devices[i] = device{
			id: r.DeviceID, tenant: r.Tenant, userID: r.UserID, platform: r.Platform,
			from: "registered", to: "removed", reason: r.RemovedReason, version: r.Version,
		}
	}
	msgs, err := s.deviceEvents(ctx, devices, now)
	if err != nil {
		return 0, err
	}
	return len(rows), s.Outbox.Append(ctx, tx, msgs...)
}

// Backlog is what waits to be pushed.
type Backlog struct {
	Pending int64
	Oldest  time.Duration // age of the oldest
}

// Backlog measures the queue.
func (s *Store) Backlog(ctx context.Context) (Backlog, error) {
	now := s.Clock.Now()
	r, err := db.New(s.Pool).PushBacklog(ctx, now)
	if err != nil {
		return Backlog{}, fmt.Errorf("measure the push queue: %w", err)
	}
	return Backlog{Pending: r.Pending, Oldest: max(0, now.Sub(r.Oldest))}, nil
}
