// Package store keeps recurrences, charges and cards in Postgres. The Apply methods are the only way one of them changes its
// state: they check each transition against the state table, move the rows set-based, and write one event per transition
// beside them.
//
// Whoever locks rows of several kinds does it in this order: attempts, charges, cards, recurrences, runs.
package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
)

// Service is the name of the service, its schema and its events' source.
const Service = "recurrences"

// Store reads and moves them.
type Store struct {
	Pool    *pgxpool.Pool
	Outbox  *outbox.Outbox
	Clock   clock.Clock
	Epoch   *event.Epoch
	Tenants *config.File // for the tenants' time zones; nil: UTC
	// Done names, by job, what a run counts that is no charge.
	Done map[string]string
	// Stopped lists the connectors that nothing goes through now, as "<tenant>/<gateway>". nil means that none ever stops.
	Stopped func(ctx context.Context, tx pgx.Tx) ([]string, error)
}

// Reason says why something is in its state.
type Reason struct {
	Class        string
	Scope        string
	Code         string
	ProviderCode string
}

// Key names a recurrence.
type Key struct{ Tenant, ID string }

// Recurrence is an agreement to charge a customer cycle after cycle.
type Recurrence struct {
	Key
	CustomerID   string
	CustomerName string // never leaves the service but in answers to people
	SellerID     string
	Amount       money.Amount
	Description  string
	Terms        recurrence.Terms
	At           recurrence.Position // Next is zero once there is no next cycle; the last charge may still be unpaid
	CardID       uuid.UUID
	State        recurrence.State
	Previous     recurrence.State
	Reason       Reason
	HeldBy       *time.Time // nominal time of the tick that put it on hold; nil: imported so, or by a person
	EndedAt      *time.Time
	Imported     []byte // JSON of the fields as first imported; only InsertRecurrences looks at it
	Version      int64
}

// Charge takes the amount of one cycle.
type Charge struct {
	ID           uuid.UUID
	Tenant       string
	RecurrenceID string
	Cycle        recurrence.Cycle
	CustomerID   string
	SellerID     string
	CardID       uuid.UUID // of the newest attempt, or of the first to come
	Gateway      string
	Amount       money.Amount
	State        charge.State
	Previous     charge.State
	Reason       Reason
	Fee          *money.Amount
	TakenBack    charge.TakenBack
	Attempt      int
	Reference    string
	Tries        int             // declined attempts
	TriedAttempt int             // number of the one that was counted last
	FirstAttempt recurrence.Date // D of the retry rule
	LastAttempt  recurrence.Date
	RetryOn      recurrence.Date
	Send         Send
	NotBefore    *time.Time
	Contradicted bool
	RunID        uuid.UUID // that made it
	NominalTime  time.Time
	Version      int64
}

// Key is the charge's recurrence.
func (c Charge) Key() Key { return Key{c.Tenant, c.RecurrenceID} }

// Send is who wants a charge sent: a page of a run, on a local date. Without a run nothing sends it; Cause is then that of
// the newest send.
type Send struct {
	Run   uuid.UUID
	Page  int
	Date  recurrence.Date // the tick's local date, or a person's day, when it was wanted
	Cause string
	At    time.Time // when that was, by the service's clock; set by the store
}

// Wanted reports whether the charge is to be sent, or is being sent.
func (s Send) Wanted() bool { return s.Run != uuid.Nil }

// Causes of sends. What people want is sent although its recurrence is on hold.
const (
	ByRun    = "run"
	ByPerson = "person"
	ByCard   = "card" // a new card was set
)

// Card is a tokenised card.
type Card struct {
	ID       uuid.UUID
	Tenant   string
	Token    string
	Brand    string
	State    string
	Previous string
	Reason   Reason
	Failures int // declined charges in a row, over all its recurrences
	Network  NetworkWord
	Version  int64
}

// NetworkWord is what a card's network said with a decline about further attempts, for whatever recurrence.
type NetworkWord struct {
	Forbidden bool       // none with this card, ever
	WaitUntil *time.Time // none before
}

// The states of a card.
const (
	CardValid   = "valid"
	CardInvalid = "invalid"
)

// CardID is the identity of a token. It tells nothing of it.
func CardID(tenant, token string) uuid.UUID { return event.UUID("card", tenant, token) }

// Destination is what an attempt says of the card that it charges: "<brand>/<token>".
func (c Card) Destination() string { return c.Brand + "/" + c.Token }

// Today is the tenant's local date by the service's clock, for what people do. What a tick leads to has the tick's date.
func (s *Store) Today(tenant string) recurrence.Date { return s.DateAt(tenant, s.Clock.Now()) }

// Day is the local date that a send belongs to if it goes now: its own, and as many days later as have gone by since it was
// wanted. A tick that is handled late, or anew, keeps its date by that; what a stop kept for days does not.
func (s *Store) Day(tenant string, send Send) recurrence.Date {
	return s.Since(tenant, send.Date, send.At)
}

// DayAt is Day for a later moment.
func (s *Store) DayAt(tenant string, send Send, when time.Time) recurrence.Date {
	return s.Day(tenant, send) + max(0, s.DateAt(tenant, when)-s.Today(tenant))
}

// Since is a date of a tick moved on by the days that have gone by, by the service's clock, since a time at which it was true.
func (s *Store) Since(tenant string, date recurrence.Date, at time.Time) recurrence.Date {
	if at.IsZero() {
		return date
	}
	return date + max(0, s.Today(tenant)-s.DateAt(tenant, at))
}

// DateAt is the tenant's local date at a time.
func (s *Store) DateAt(tenant string, now time.Time) recurrence.Date {
	now = now.UTC()
	if s.Tenants != nil {
		if t, ok := s.Tenants.Tenant(tenant); ok && t.Location != nil {
			now = now.In(t.Location)
		}
	}
	return recurrence.DateAt(now)
}

// Rules are a tenant's rules; ok is false when it charges nobody.
func (s *Store) Rules(tenant string) (rules config.Recurrences, ok bool) {
	if s.Tenants == nil {
		return config.Recurrences{}, false
	}
	t, ok := s.Tenants.Tenant(tenant)
	if !ok || t.Recurrences == nil {
		return config.Recurrences{}, false
	}
	return *t.Recurrences, true
}

// Event makes the outbox message of an aggregate's change.
func (s *Store) Event(ctx context.Context, tenant string, t event.Type, id string, version int64, body proto.Message) (outbox.Message, error) {
	data, err := event.Encode(body)
	if err != nil {
		return outbox.Message{}, fmt.Errorf("encode %s of %s: %w", t, id, err)
	}
	return outbox.FromEvent(ctx, event.New(ctx, Service, tenant, t, id, version, s.Epoch.Now(), s.Clock.Now()), data), nil
}

// next is the event of a transition: the one that the change names, or the table's.
func next(m event.Machine, from, to string, named event.Type) (event.Type, error) {
	if named != "" {
		if !m.Has(from, to, named) {
			return "", fmt.Errorf("the state table of %s has no %s from %q to %q", m.Aggregate, named, from, to)
		}
		return named, nil
	}
	t, ok := m.Event(from, to)
	if !ok {
		return "", fmt.Errorf("the state table of %s has no way from %q to %q", m.Aggregate, from, to)
	}
	return t, nil
}

// timeOrZero is the zero time for NULL: arrays of a driver's nullable elements are clumsy.
func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
