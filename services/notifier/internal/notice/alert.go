package notice

import (
	"strconv"
	"time"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
)

// Key is the cause of an alert. A thousand payouts of one run with an unknown outcome have one key, and so one alert.
type Key struct {
	Tenant string
	Kind   event.Type
	Scope  string // run, provider, local date: what the events have in common
}

// Change raises, counts down or resolves an alert.
type Change struct {
	Key       Key
	SubjectID string
	Count     int64 // +1: one more needs attention, -1: one less
	Resolve   bool  // the cause is gone, whatever was counted
	// Order is set where one aggregate alone moves the alert: an event older than the last one seen is ignored, so that
	// "stopped" arriving after "recovered" raises nothing. 0 where many aggregates count together.
	Order  int64
	Amount money.Amount // added up, with the sign of Count; zero where an alert sums nothing
	Params Params       // of the newest event
}

// Alert is the state of a key: how many need attention now, and how loudly that was told.
type Alert struct {
	Key
	Generation int64 // rises when a state comes back after the quiet time: a new outage is news, a flapping line is not
	Open       int64 // how many need attention now; below 0 while an "entered" event is later than its "left"
	Total      int64 // how often it was raised in this generation
	Told       int64 // Total when it last spoke aloud, 0: never
	Amount     money.Amount
	Order      int64
	OpenedAt   time.Time

	subject string
	params  Params
}

// quiet is how long a state that comes back within it stays the same alert.
const quiet = time.Hour

// Apply counts a change in, at the time of its event, and reports whether it counted.
func (a *Alert) Apply(c Change, at time.Time) bool {
	if c.Order != 0 && c.Order <= a.Order {
		return false
	}
	a.Order = max(a.Order, c.Order)
	a.subject, a.params = c.SubjectID, c.Params
	if c.Resolve {
		a.Open, a.Amount.Minor = 0, 0
		return true
	}
	if c.Count > 0 {
		a.raise(c, at)
	}
	a.Open += c.Count
	a.Amount.Minor += c.Amount.Minor
	if c.Amount.Currency != "" {
		a.Amount.Currency = c.Amount.Currency
	}
	return true
}

// raise begins a generation where the alert is new. Counting alerts have one only: their scope, a run or a day, ends by
// itself, and payouts that go in and out of doubt one by one must not be an alert each.
func (a *Alert) raise(c Change, at time.Time) {
	if a.Generation == 0 || a.Open == 0 && c.Order != 0 && at.Sub(a.OpenedAt) >= quiet {
		a.Generation++
		a.Total, a.Told, a.OpenedAt = 0, 0, at
	}
	a.Total += c.Count
}

// Message is what an alert says after its changes: loud ones are new notifications with pushes, the others bring the
// words of the last loud one up to date. An alert speaks at 1, 10, 100, …: a storm of ten thousand failures is five
// pushes, each louder than the one before. ok is false when there is nothing to say.
func (a *Alert) Message() (n Notice, loud, ok bool) {
	if a.Open > 0 && magnitude(a.Total) > magnitude(a.Told) {
		a.Told, loud = a.Total, true
	}
	if a.Told == 0 {
		return Notice{}, false, false // opened and closed before anybody heard of it
	}
	params := a.params
	params.Count = a.Open
	if a.Amount.Currency != "" {
		params.Amount = a.Amount
	}
	return Notice{
		Tenant:    a.Tenant,
		Recipient: Recipient{Kind: ToOperator, ID: Operators},
		Kind:      a.Kind,
		Text:      a.text(),
		SubjectID: a.subject,
		Cause: string(a.Kind) + "/" + a.Scope + "#" + strconv.FormatInt(a.Generation, 10) +
			"." + strconv.Itoa(magnitude(a.Told)),
		Params:   params,
		Resolved: a.Open <= 0,
	}, loud, true
}

// text is the key of the alert's words. A provider that refuses for want of float does not say how much there is.
func (a *Alert) text() string {
	if a.Kind == "float.insufficient" && a.params.Needed.Currency == "" {
		return "float.insufficient.refused"
	}
	return string(a.Kind)
}

// magnitude is the number of digits: 1 to 9 is 1, 10 to 99 is 2; nothing open is 0.
func magnitude(n int64) int {
	digits := 0
	for ; n > 0; n /= 10 {
		digits++
	}
	return digits
}
