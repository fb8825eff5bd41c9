package stream

import (
	"errors"
	"time"
)

// Errors that callers may ask for with errors.Is.
var (
	// ErrRefused says that provisioning would lose messages or change what cannot be changed.
	ErrRefused = errors.New("refused")
	// ErrNotFound says that there is no such dead letter (any more).
	ErrNotFound = errors.New("dead letter not found")
)

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks an error that no repetition can cure.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type afterError struct {
	err   error
	delay time.Duration
}

func (e *afterError) Error() string { return e.err.Error() }
func (e *afterError) Unwrap() error { return e.err }

// After asks for redelivery after d without counting it as a failure to alarm about. It is meant for waits that end within
// a few deliveries: JetStream counts each of them, and the limit of the consumer stays. What waits longer belongs in the
// database, from where the sweeper emits it again.
func After(err error, d time.Duration) error {
	if err == nil {
		err = errors.New("not yet")
	}
	return &afterError{err, d}
}
