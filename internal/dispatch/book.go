package dispatch

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
)

// DBTX is what is read through: the pool or a transaction.
type DBTX interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Lane is the part of a page that goes through one connector.
type Lane struct {
	Run       run.Run
	Page      int
	Provider  string
	Connector *connector.Connector // nil where the tenants file has none of the name; only Book.Unserved sees such a lane
}

// Gate is what stands before a lane's rows as a whole. The zero value is open.
type Gate struct {
	Code string // why nothing goes now
	Stay bool   // the rows stay where they are and count as waiting; otherwise Book.Hold puts them aside
	// Ask is set with Stay where nothing goes any more: what may have been sent before a restore is asked about and taken over all the same.
	Ask bool
}

// Claim is what one transaction is about to send.
type Claim struct {
	Starts      []attempt.Start
	Held        int    // rows that may not go and were put aside: the next look finds others
	Description string // what the provider is told that the transfers are for
	// Begun is called in the same transaction with the attempts as they were written, if there are any: it moves their rows
	// to submitting and posts what is under way now.
	Begun func(ctx context.Context, tx pgx.Tx, begun []attempt.Attempt) error
	// Doubt is called likewise with those of the starts that have lapsed, instead of beginning them: their providers are asked anew. A book
	// that marks none needs none.
	Doubt func(ctx context.Context, tx pgx.Tx, lapsed []attempt.Start) error
}

// Book is what a service knows of the rows that it sends. Whatever it is called with belongs to the transaction it is given.
type Book interface {
	// Providers lists the providers of what there is to send of a page.
	Providers(ctx context.Context, q DBTX, at run.Place) ([]string, error)
	// Gate reads what every replica looks at before it sends; st is the connector's state. It is called before a claim and
	// again right before the first byte. Connectors that rest or are degraded are the dispatcher's concern.
	Gate(ctx context.Context, q DBTX, l Lane, st provider.Status) (Gate, error)
	// Hold puts up to most of the lane's rows aside for a code of Gate, settles their run, and returns how many there were.
	Hold(ctx context.Context, tx pgx.Tx, l Lane, code string, most int) (int, error)
	// Unserved sees to rows for a provider that the tenants file does not have (any more): left as they are, they would keep
	// their run, and with it the schedule's next ones, waiting for ever.
	Unserved(ctx context.Context, tx pgx.Tx, l Lane) error
	// Claim locks up to most of the lane's rows that may go now, passing over locked ones and those that rest. A row may go
	// when all its attempts are proven over and none of them is about to be asked about.
	Claim(ctx context.Context, tx pgx.Tx, l Lane, most int, resting []uuid.UUID) (Claim, error)
	// Apply moves the rows of attempts that have changed, and posts what that means.
	Apply(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) error
	// Late takes in answers to sends that somebody else has taken over meanwhile: hints, not outcomes.
	Late(ctx context.Context, tx pgx.Tx, answers []attempt.Outcome) error
	// Watch is told how many faults in a row a batch of answers ended in, and whether any answer was none.
	Watch(ctx context.Context, tx pgx.Tx, l Lane, faults int, answered bool) error
	// Settle completes the runs of which that was the last.
	Settle(ctx context.Context, tx pgx.Tx, runs ...uuid.UUID) error
}

// Funds says how much of what a lane is about to send its connector's balance covers. Services whose sends draw on none have no
// Funds.
type Funds interface {
	// Look reads the balance, unless somebody has within a time, and returns before long whatever the provider does. It is called
	// outside any transaction, and reports whether there is something new to know.
	Look(ctx context.Context, c *connector.Connector, within time.Duration) bool
	// Fit says how many of the starts are covered, from the first one, and takes what they need in their transaction.
	Fit(ctx context.Context, tx pgx.Tx, c *connector.Connector, st provider.Status, starts []attempt.Start) (Cover, error)
	// Still reports, right before the first byte, whether what was covered still is: st is newer than the one that Fit saw.
	Still(ctx context.Context, c *connector.Connector, st provider.Status, had Cover) (bool, error)
}

// Cover is what a balance covers of a claim.
type Cover struct {
	Starts int   // how many, from the first; the others stay where they are, in their order
	Sum    int64 // what these take from the balance
	Asked  int64 // the question whose answer covers them
	Free   bool  // nothing is known of the balance, and so nothing is taken
	Short  bool  // none is covered, for certain: the connector was put to rest for it
	// Look is set when the balance must be read before anything more is sent, unless it was asked for within this.
	Look time.Duration
	// Kept is called once the transaction is committed; nil does nothing.
	Kept func()
}
