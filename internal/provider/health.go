package provider

import (
	"time"

	"github.com/agogopay/agogo/internal/provider/db"
)

// The states of a connector; event.Provider is the table of their transitions.
const (
	Open     = "open"
	Degraded = "degraded" // consecutive faults: one transfer at a time, with rests, until an answer comes
	Stopped  = "stopped"  // nothing is sent until a person says so
)

// The states of a connector's float; event.Float is the table.
const (
	FloatOK           = "ok"
	FloatLow          = "low"          // the balance does not cover what tonight is forecast to need
	FloatInsufficient = "insufficient" // nor what is due now
)

// The codes of rests for want of float: the provider has refused a transfer for it, or its balance does not cover the next one.
const (
	CodeFloat = "insufficient_float"
	CodeShort = "balance_short"
)

func floatCodes() []string { return []string{CodeFloat, CodeShort} }

// Status is what all replicas share about a connector.
type Status struct {
	Connector
	State     string
	Reason    Reason
	Faults    int       // in a row, up to now
	Rests     int       // in a row, without an answer between them: each is longer than the one before
	RestUntil time.Time // nothing is sent before
	RestCode  string
	Float     string
	Version   int64
	Stops     int64 // how often it was stopped so far
	ChangedAt time.Time

	FloatVersion int64
	Needed       int64 // of the float, when its state was last judged
	Funds        Funds
}

// Reason says why a connector is in its state.
type Reason struct {
	Class        string
	Scope        string
	Code         string
	ProviderCode string
}

// Resting reports whether nothing may be sent at a time.
func (n Status) Resting(now time.Time) bool { return now.Before(n.RestUntil) }

// WantsFloat reports whether nothing may be sent at a time for want of float.
func (n Status) WantsFloat(now time.Time) bool {
	return n.Resting(now) && (n.RestCode == CodeFloat || n.RestCode == CodeShort)
}

// Health are the rules by which results move a connector. Zero values are the defaults.
type Health struct {
	DegradeAfter int           // faults in a row; 5
	LongestRest  time.Duration // of a degraded connector, or of one that asks to slow down; 1 min
	FloatRest    time.Duration // before a connector without float is tried again; 10 min
}

// After is what a connector becomes after results: one that asks to stop stops it; faults in a row degrade it and make it
// rest for ever longer; any answer of the provider ends both. A request to slow down and a lack of float make it rest, for
// what else is sent would fare likewise.
func (h Health) After(n Status, results []Result, now time.Time) Status {
	for _, r := range results {
		why := Reason{Class: string(r.Class), Scope: string(r.Scope), Code: r.Code, ProviderCode: r.ProviderCode}
		switch {
		case n.State == Stopped:
			// Answers to calls that were under way do not open what must stay stopped.
		case r.Stop:
			n.State, n.Reason, n.Faults = Stopped, why, n.Faults+1
		case r.Fault():
			n = h.fault(n, r, why, now)
		case r.SlowDown:
			n = h.pause(n, r, CodeRateLimited, now)
		case r.Scope == ScopeFloat:
			n.Float = FloatInsufficient
			n.Funds.ReadAt = time.Time{} // whatever it said, there is less
			n = n.rest(CodeFloat, h.floatRest(), now)
		case r.Class != NotSent:
			n = answered(n, r, why, now)
		}
	}
	return n
}

func (h Health) fault(n Status, r Result, why Reason, now time.Time) Status {
	n.Faults++
	many := n.Faults >= h.degradeAfter()
	if many && n.State == Open {
		n.State, n.Reason = Degraded, why
	}
	if many || r.RetryAfter > 0 {
		n = h.pause(n, r, r.Code, now)
	}
	return n
}

// pause makes a connector rest for as long as the provider asks, or else for twice as long as the last time. What comes
// while it rests already was sent before and is no news.
func (h Health) pause(n Status, r Result, code string, now time.Time) Status {
	d := r.RetryAfter
	if !n.Resting(now) {
		n.Rests++
		if d == 0 {
			d = h.rest(n.Rests - 1)
		}
	}
	return n.rest(code, d, now)
}

// answered takes in an answer that is about a payment. It ends the rests that faults brought about; those that the provider
// asked for, or that a lack of float needs, last as long as they were meant to: the answer may belong to an earlier call.
func answered(n Status, r Result, why Reason, now time.Time) Status {
	n.Faults = 0
	over, refused := !n.Resting(now), n.RestCode == CodeFloat
	if n.State == Degraded {
		n.State, n.Reason = Open, why
	}
	if over || (n.RestCode != CodeRateLimited && n.RestCode != CodeFloat && n.RestCode != CodeShort) {
		n.Rests, n.RestUntil, n.RestCode = 0, time.Time{}, ""
	}
	// Where the balance is known, it says when there is enough: one payment that went through does not.
	if over && r.Class == Succeeded && n.Float == FloatInsufficient && (refused || !n.Funds.Known(now)) {
		n.Float = FloatOK
	}
	return n
}

// rest extends a rest; a shorter one changes nothing.
func (n Status) rest(code string, d time.Duration, now time.Time) Status {
	// Postgres keeps microseconds: what was written and read again must equal what was decided.
	if until := now.Add(d).Truncate(time.Microsecond).UTC(); until.After(n.RestUntil) {
		n.RestUntil, n.RestCode = until, code
	}
	return n
}

// rest is 1 s, doubled with each step, up to the longest.
func (h Health) rest(step int) time.Duration {
	longest := h.LongestRest
	if longest <= 0 {
		longest = time.Minute
	}
	return min(longest, time.Second<<min(step, 20))
}

func (h Health) degradeAfter() int {
	if h.DegradeAfter > 0 {
		return h.DegradeAfter
	}
	return 5
}

func (h Health) floatRest() time.Duration {
	if h.FloatRest > 0 {
		return h.FloatRest
	}
	return 10 * time.Minute
}

func status(r db.ProviderState) Status {
	n := Status{
		Connector: Connector{Tenant: r.Tenant, Provider: r.Provider, Kind: r.Kind},
		State:     r.State,
		Reason:    Reason{Class: r.ReasonClass, Scope: r.ReasonScope, Code: r.ReasonCode, ProviderCode: r.ProviderCode},
		Faults:    int(r.Faults), Rests: int(r.Rests), RestCode: r.RestCode, Float: r.FloatState,
		Version: r.Version, Stops: r.Stops, ChangedAt: r.ChangedAt.UTC(), FloatVersion: r.FloatVersion, Needed: r.FloatNeeded,
		Funds: funds(r),
	}
	if r.RestUntil != nil {
		n.RestUntil = r.RestUntil.UTC()
	}
	return n
}

func (n Status) params() db.SetStateParams {
	p := db.SetStateParams{
		Tenant: n.Tenant, Provider: n.Provider, State: n.State, ReasonClass: n.Reason.Class, ReasonScope: n.Reason.Scope,
		ReasonCode: n.Reason.Code, ProviderCode: n.Reason.ProviderCode, Faults: int32(n.Faults), Rests: int32(n.Rests),
		RestCode: n.RestCode, FloatState: n.Float, FloatVersion: n.FloatVersion, FloatNeeded: n.Needed, Version: n.Version,
		ChangedAt: n.ChangedAt,
	}
	if !n.Funds.ReadAt.IsZero() {
		p.FloatReadAt = &n.Funds.ReadAt
	}
	if !n.RestUntil.IsZero() {
		p.RestUntil = &n.RestUntil
	}
	return p
}
