// Package closing closes days: for a tenant's connector and local day it compares what the books say moved on the float with the
// provider's own statement and balance, names what does not agree, and signs a report of it that is a link of a chain.
//
// A close is a row, asked for by the schedule's job or by a person, and worked on by one replica at a time: the statement is
// read into a table outside of any transaction, then judged, told and signed in one. Nothing here moves money. A line about an
// attempt in doubt only makes its lookup due; see docs/adr/0013-daily-close.md.
package closing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/daybook"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/telemetry"
	"github.com/agogopay/agogo/services/payouts/internal/closing/db"
)

// The states of a close.
const (
	Open      = "open"
	Completed = "completed"
)

// The kinds of items. All but the last three are exceptions.
const (
	MissingThere   = "missing_there"
	MissingHere    = "missing_here"
	AmountDiffers  = "amount_differs"
	StateDiffers   = "state_differs"
	Unknown        = "unknown"
	Duplicate      = "duplicate"
	BalanceDiffers = "balance_differs"
	NotCompared    = "not_compared" // two people had the day closed without its statement
	Awaited        = "awaited"      // booked so near to midnight that its line may be the next day's
	Timing         = "timing"       // the two sides have it on different days
	Resolved       = "resolved"     // people have said whose the money in suspense is, since the last report
)

// Findings takes in what a statement says against the books.
type Findings interface {
	// Stated records findings, and contradictions of closed attempts as lookups would have found them.
	Stated(ctx context.Context, tx pgx.Tx, findings []reconcile.Finding, contradicted []attempt.Update) error
}

// Deps are what days are closed with.
type Deps struct {
	Service    string
	Pool       *pgxpool.Pool
	Outbox     *outbox.Outbox
	Clock      clock.Clock
	Epoch      *event.Epoch
	Tenants    *config.File
	Connectors *connector.Set
	Findings   Findings
	// Settle completes runs that were kept open by their closes.
	Settle func(ctx context.Context, tx pgx.Tx, runs ...uuid.UUID) error
	// Asked wakes who looks up: attempts were made due.
	Asked  func()
	Key    *daybook.Key // nil: nothing can be closed
	Logger *slog.Logger
	// Registry takes the age of the oldest close that waits; nil: not measured.
	Registry prometheus.Registerer
}

// Config tunes it; zero values are the defaults.
type Config struct {
	Owner string        // of leases: another one after each start
	Every time.Duration // between looks at what is due; 2 s
	Lease time.Duration // of a close, renewed while its statement is read; 5 min
	// Pause is before the second reading of a statement, doubled up to MaxPause for those after it; 2 s and 30 s. Readings are
	// how many there are before the close waits for its next try; 4.
	Pause, MaxPause time.Duration
	Readings        int
	// MostLines are of one reading, and Longest is how long it may take: a statement that does not end keeps no disk and no connector.
	MostLines int64         // 5,000,000
	Longest   time.Duration // 2 h
	Chunk     int           // lines that are stored at once; 5000
	PageSize  int           // items that are told at once; 1000
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.Every, 2*time.Second)
	def(&c.Lease, 5*time.Minute)
	def(&c.Pause, 2*time.Second)
	def(&c.MaxPause, 30*time.Second)
	def(&c.Longest, 2*time.Hour)
	if c.MostLines <= 0 {
		c.MostLines = 5_000_000
	}
	for n, v := range map[*int]int{&c.Readings: 4, &c.Chunk: 5000, &c.PageSize: 1000} {
		if *n <= 0 {
			*n = v
		}
	}
	return c
}

// Closer closes days.
type Closer struct {
	Config
	Deps
	wake   chan struct{}
	oldest prometheus.Gauge
}

// New makes one.
func New(c Config, d Deps) *Closer {
	oldest := telemetry.Shared(d.Registry, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "agogo_" + d.Service + "_oldest_open_close_seconds", Help: "How long ago the day ended whose close has been waiting longest.",
	}))
	return &Closer{Config: c.withDefaults(), Deps: d, wake: make(chan struct{}, 1), oldest: oldest}
}

// ID is the identity of a close.
func ID(tenant, provider, date string, revision int) uuid.UUID {
	return event.UUID("close", tenant, provider, date, fmt.Sprint(revision))
}

// day is a local date with its bounds.
type day struct {
	date       time.Time // midnight UTC of the date
	start, end time.Time
}

// dayOf gives the bounds of a local date. Where clocks shift at midnight a day is what lies between two first moments.
func dayOf(date time.Time, loc *time.Location) day {
	y, m, d := date.Date()
	return day{
		date:  time.Date(y, m, d, 0, 0, 0, 0, time.UTC),
		start: time.Date(y, m, d, 0, 0, 0, 0, loc), end: time.Date(y, m, d+1, 0, 0, 0, 0, loc),
	}
}

func (d day) String() string { return d.date.Format(time.DateOnly) }

func pgDate(t time.Time) pgtype.Date { return pgtype.Date{Time: t, Valid: true} }

func dateOf(d pgtype.Date) string { return d.Time.Format(time.DateOnly) }

// cause is the context of what closing does on its own.
func (c *Closer) cause(ctx context.Context) context.Context {
	return event.WithCause(ctx, event.Cause{Actor: "service:" + c.Service, CorrelationID: "close"})
}

// float is the account of a close.
func float(k db.Close) string { return "float:" + k.Provider }
