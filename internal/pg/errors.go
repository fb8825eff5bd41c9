package pg

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Kind is what a database error means to the caller.
type Kind int

// Kinds of errors.
const (
	Other       Kind = iota // a defect of the statement, or no database error at all
	NotFound                // no row
	Unique                  // a unique constraint or index holds such a row already
	ForeignKey              // the row referred to does not exist, or is still referred to
	Invalid                 // check, not-null or exclusion constraint, value out of range
	Conflict                // serialization failure or deadlock: the transaction may be repeated
	Unavailable             // connection lost, shutdown, too many connections, lock or statement timeout
	Denied                  // wrong password or missing privilege
)

const (
	lockNotAvailable = "55P03" // also lock_timeout
	queryCanceled    = "57014" // also statement_timeout
)

// KindOf classifies err by its SQLSTATE. A canceled context is Other: nobody waits for the answer any more.
func KindOf(err error) Kind {
	if err == nil {
		return Other
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return kindOfState(pe.Code)
	}
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return NotFound
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Other
	case connectionLost(err):
		return Unavailable
	}
	return Other
}

func kindOfState(state string) Kind {
	switch state {
	case "23505":
		return Unique
	case "23503", "23001":
		return ForeignKey
	case "40001", "40P01":
		return Conflict
	case lockNotAvailable, queryCanceled,
		"57P01", "57P02", "57P03", "57P05", // shutdown, crash, starting up, idle session ended
		"25P03", // idle in transaction for too long
		"53300": // too many connections
		return Unavailable
	case "42501":
		return Denied
	}
	switch state[:min(2, len(state))] {
	case "08", "53", "58": // connection, insufficient resources, system error
		return Unavailable
	case "22", "23":
		return Invalid
	case "28":
		return Denied
	}
	return Other
}

func connectionLost(err error) bool {
	var ce *pgconn.ConnectError
	var ne net.Error
	return errors.As(err, &ce) || errors.As(err, &ne) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// Transient reports whether the same statement may succeed later: connection loss, shutdown, deadlock, serialization,
// too many connections, lock timeout.
func Transient(err error) bool {
	k := KindOf(err)
	return k == Conflict || k == Unavailable
}

// LockTimedOut reports whether a statement waited in vain for a lock. It is [Transient]; but the row that it was about may be why, and others
// need not wait for that.
func LockTimedOut(err error) bool { return hasState(err, lockNotAvailable) }

// TimedOut likewise reports whether a statement ran out of time at its work.
func TimedOut(err error) bool { return hasState(err, queryCanceled) }

func hasState(err error, state string) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == state
}
