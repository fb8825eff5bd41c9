package attempt

import (
	"time"

	"github.com/agogopay/agogo/internal/provider"
)

// Moved is an attempt that has just changed its state, in the caller's transaction, and why.
type Moved struct {
	Attempt Attempt
	Result  provider.Result
	// NotBefore is, for an attempt that was not sent, when its reference may go again; nil is now.
	NotBefore *time.Time
	// Again is set when people decided that what the attempt failed to move is to be moved by the next one at once.
	Again bool
	// Earlier is how many attempts before it were taken over with it after a restore. They have failed, each of them or the next one would not
	// have been made: they count as tries.
	Earlier int
}
