package fault

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"
)

// Latency is how long a provider takes for every call of an operation.
type Latency struct {
	Provider  string
	Operation string // "" for all
	Fixed     time.Duration
	Jitter    time.Duration // up to so much more, decided by the reference
}

type latencyDocument struct {
	Provider  string `json:"provider"`
	Operation string `json:"operation,omitempty"`
	Fixed     string `json:"fixed"`
	Jitter    string `json:"jitter,omitempty"`
}

// UnmarshalJSON reads {"provider":"orange_omr","operation":"cashin","fixed":"50ms","jitter":"20ms"}.
func (l *Latency) UnmarshalJSON(b []byte) error {
	var d latencyDocument
	if err := Strict(b, &d); err != nil {
		return err
	}
	*l = Latency{Provider: d.Provider, Operation: d.Operation}
	for _, f := range []struct {
		name, text string
		to         *time.Duration
	}{{"fixed", d.Fixed, &l.Fixed}, {"jitter", d.Jitter, &l.Jitter}} {
		if f.text == "" {
			continue
		}
		v, err := time.ParseDuration(f.text)
		if err != nil || v < 0 {
			return fmt.Errorf("%s: %q is not a duration such as \"50ms\"", f.name, f.text)
		}
		*f.to = v
	}
	return nil
}

// MarshalJSON is the inverse of UnmarshalJSON.
func (l Latency) MarshalJSON() ([]byte, error) {
	return json.Marshal(latencyDocument{l.Provider, l.Operation, l.Fixed.String(), span(l.Jitter)})
}

// Latencies holds at most one latency per provider and operation.
type Latencies struct {
	current atomic.Pointer[map[operation]Latency]
}

// Set replaces the latency of an operation, or of all operations of a provider.
func (ls *Latencies) Set(l Latency) {
	for {
		old := ls.current.Load()
		next := map[operation]Latency{}
		if old != nil {
			for k, v := range *old {
				next[k] = v
			}
		}
		next[operation{l.Provider, l.Operation}] = l
		if ls.current.CompareAndSwap(old, &next) {
			return
		}
	}
}

// Clear takes every latency away.
func (ls *Latencies) Clear() { ls.current.Store(nil) }

// Of is how long this call takes.
func (ls *Latencies) Of(c Call) time.Duration {
	all := ls.current.Load()
	if all == nil {
		return 0
	}
	l, ok := (*all)[operation{c.Provider, c.Operation}]
	if !ok {
		l = (*all)[operation{c.Provider, ""}]
	}
	if l.Jitter == 0 {
		return l.Fixed
	}
	return l.Fixed + time.Duration(Fraction(0, 0, c.Reference+c.Token)*float64(l.Jitter))
}
