// Package store keeps devices, notifications, the queue of pushes and alerts in Postgres. Every write is set-based, and
// every change of state writes its event beside it.
package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/services/notifier/internal/notice"
	"github.com/agogopay/agogo/services/notifier/internal/store/db"
	"github.com/agogopay/agogo/services/notifier/internal/text"
)

// Service is the name under which events are published.
const Service = "notifier"

// Store reads and writes the notifier's schema.
type Store struct {
	Pool   *pgxpool.Pool
	Outbox *outbox.Outbox
	Clock  clock.Clock
	Epoch  *event.Epoch
}

// States of a notification; event.Notification says which follows which.
const (
	created    = "created"
	delivered  = "delivered"
	suppressed = "suppressed"
	failed     = "failed"
)

// Reasons why nothing was pushed.
const (
	NoDevice  = "no_device"  // the recipient has none: the row is the message
	Overtaken = "overtaken"  // something newer about the same subject was told already
	Gone      = "gone"       // the device was removed while its push waited
	TakenOver = "taken_over" // the device belongs to somebody else by now
	Expired   = "expired"    // the push waited too long to be of use
)

// Stale is the age beyond which a state that was overtaken is not pushed any more. What happens in quick succession is all
// told; but nobody shall read "on its way" long after "received", because an event or a push was held up.
const Stale = time.Minute

// Origin is what led to a notification, so that its events continue the chain and the trace.
type Origin struct {
	Cause       event.Cause
	Traceparent string
}

// Entry is a notice in words, with the devices that shall show it.
type Entry struct {
	Notice  notice.Notice
	Text    text.Text
	Devices []uuid.UUID
	At      time.Time // of the event
	Origin  Origin
	// Quiet entries only bring the words of a row up to date that an earlier, loud one made.
	Quiet bool
}

// Told counts what Tell wrote, by kind and state.
type Told map[ToldKey]int

// ToldKey is a kind of notification and the state in which it began.
type ToldKey struct{ Kind, State string }

// Tell writes notifications with their pushes and events in the caller's transaction. One that is there already, because
// its cause was told before, is left alone: that is what makes a redelivered event harmless.
func (s *Store) Tell(ctx context.Context, tx pgx.Tx, entries []Entry) (Told, error) {
	now := s.Clock.Now()
	q := db.New(tx)
	var loud, quiet []Entry
	for _, e := range entries {
		if e.Quiet {
			quiet = append(quiet, e)
		} else {
			loud = append(loud, e)
		}
	}
	rows, err := s.rows(ctx, q, loud, now)
	if err != nil {
		return nil, err
	}
	told, err := s.insert(ctx, tx, q, rows, now)
	if err != nil {
		return nil, err
	}
	return told, refresh(ctx, q, quiet, now)
}

// row is an entry with the state in which it begins.
type row struct {
	Entry
	id     uuid.UUID
	state  string
	reason string
	data   string
}

func (s *Store) rows(ctx context.Context, q *db.Queries, entries []Entry, now time.Time) ([]row, error) {
	overtaken, err := overtaken(ctx, q, entries, now)
	if err != nil {
		return nil, err
	}
	rows := make([]row, 0, len(entries))
	for _, e := range entries {
		r := row{Entry: e, id: uuid.MustParse(e.Notice.ID()), state: created}
		switch {
		case overtaken[r.id]:
			r.state, r.reason, r.Devices = suppressed, Overtaken, nil
		case len(e.Devices) == 0:
			r.state, r.reason = suppressed, NoDevice
		}
		if r.data, err = dataOf(e.Notice); err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// overtaken finds stale entries that tell an older state than one that was told, in the table or in this batch.
func overtaken(ctx context.Context, q *db.Queries, entries []Entry, now time.Time) (map[uuid.UUID]bool, error) {
	type subject struct{ tenant, recipient, id string }
	of := func(n notice.Notice) subject { return subject{n.Tenant, n.Recipient.ID, n.SubjectID} }
	newest := map[subject]int64{}
	for _, e := range entries {
		newest[of(e.Notice)] = max(newest[of(e.Notice)], e.Notice.Order)
	}
	late := map[uuid.UUID]bool{}
	var p db.OvertakenNotificationsParams
	for _, e := range entries {
		n := e.Notice
		if now.Sub(e.At) <= Stale {
			continue
		}
		id := uuid.MustParse(n.ID())
		late[id] = n.Order < newest[of(n)]
		p.Ids = append(p.Ids, id)
		p.Tenants = append(p.Tenants, n.Tenant)
		p.RecipientIds = append(p.RecipientIds, n.Recipient.ID)
		p.SubjectIds = append(p.SubjectIds, n.SubjectID)
		p.SubjectOrders = append(p.SubjectOrders, n.Order)
	}
	if len(p.Ids) == 0 {
		return nil, nil
	}
	ids, err := q.OvertakenNotifications(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("look for newer notifications: %w", err)
	}
	for _, id := range ids {
		late[id] = true
	}
	return late, nil
}

// insert writes the rows that are new, and their pushes and events.
func (s *Store) insert(ctx context.Context, tx pgx.Tx, q *db.Queries, rows []row, now time.Time) (Told, error) {
	told := Told{}
	if len(rows) == 0 {
		return told, nil
	}
	ids, err := q.InsertNotifications(ctx, insertParams(rows, now))
	if err != nil {
		return nil, fmt.Errorf("write %d notifications: %w", len(rows), err)
	}
	fresh := make(map[uuid.UUID]bool, len(ids))
	for _, id := range ids {
		fresh[id] = true
	}
	pushes := db.InsertPushesParams{At: now}
	var msgs []outbox.Message
	for _, r := range rows {
		if !fresh[r.id] {
			continue
		}
		delete(fresh, r.id) // a cause that comes twice in one batch is one notification
		told[ToldKey{string(r.Notice.Kind), r.state}]++
		for _, device := range r.Devices {
			pushes.NotificationIds = append(pushes.NotificationIds, r.id)
			pushes.DeviceIds = append(pushes.DeviceIds, device)
		}
		if msgs, err = s.writtenEvent(ctx, msgs, r, now); err != nil {
			return nil, err
		}
	}
	if len(pushes.DeviceIds) > 0 {
		if err := q.InsertPushes(ctx, pushes); err != nil {
			return nil, fmt.Errorf("queue %d pushes: %w", len(pushes.DeviceIds), err)
		}
	}
	return told, s.Outbox.Append(ctx, tx, msgs...)
}

// insertParams has the rows inserted in the order of their ids, in which two replicas with some of the same ones wait for each other once.
func insertParams(rows []row, now time.Time) db.InsertNotificationsParams {
	p := db.InsertNotificationsParams{At: now}
	for _, r := range slices.SortedStableFunc(slices.Values(rows), func(a, b row) int { return bytes.Compare(a.id[:], b.id[:]) }) {
		n := r.Notice
		p.Ids = append(p.Ids, r.id)
		p.Tenants = append(p.Tenants, n.Tenant)
		p.RecipientKinds = append(p.RecipientKinds, string(n.Recipient.Kind))
		p.RecipientIds = append(p.RecipientIds, n.Recipient.ID)
		p.Kinds = append(p.Kinds, string(n.Kind))
		p.SubjectIds = append(p.SubjectIds, n.SubjectID)
		p.SubjectOrders = append(p.SubjectOrders, n.Order)
		p.Locales = append(p.Locales, r.Text.Locale)
		p.Titles = append(p.Titles, r.Text.Title)
		p.Bodies = append(p.Bodies, r.Text.Body)
		p.Data = append(p.Data, r.data)
		p.States = append(p.States, r.state)
		p.Reasons = append(p.Reasons, r.reason)
		p.Pushes = append(p.Pushes, int32(len(r.Devices)))
		p.Correlations = append(p.Correlations, r.Origin.Cause.CorrelationID)
		p.Versions = append(p.Versions, 1)
	}
	return p
}

// refresh brings rows of open alerts up to date.
func refresh(ctx context.Context, q *db.Queries, entries []Entry, now time.Time) error {
	if len(entries) == 0 {
		return nil
	}
	p := db.RefreshNotificationsParams{At: now}
	for _, e := range entries {
		data, err := dataOf(e.Notice)
		if err != nil {
			return err
		}
		p.Ids = append(p.Ids, uuid.MustParse(e.Notice.ID()))
		p.Titles = append(p.Titles, e.Text.Title)
		p.Bodies = append(p.Bodies, e.Text.Body)
		p.Data = append(p.Data, data)
	}
	if err := q.RefreshNotifications(ctx, p); err != nil {
		return fmt.Errorf("refresh %d alerts: %w", len(entries), err)
	}
	return nil
}

// dataOf are the facts of a notice as an app may want to show them in its own way.
func dataOf(n notice.Notice) (string, error) {
	p := n.Params
	data := map[string]string{}
	set := func(key, value string, present bool) {
		if present {
			data[key] = value
		}
	}
	set("amount_minor", fmt.Sprint(p.Amount.Minor), p.Amount.Currency != "")
	set("currency", string(p.Amount.Currency), p.Amount.Currency != "")
	set("period_date", p.Period, p.Period != "")
	set("count", fmt.Sprint(p.Count), p.Count != 0)
	set("where", p.Where, p.Where != "")
	set("retry_at", p.RetryAt.UTC().Format(time.RFC3339), !p.RetryAt.IsZero())
	set("tenant", n.Tenant, true)
	raw, err := json.Marshal(data)
	if err != nil {
		return "", fmt.Errorf("data of a %s notification: %w", n.Kind, err)
	}
	return string(raw), nil
}
