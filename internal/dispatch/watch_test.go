package dispatch

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/provider"
)

// watcher is a book that only watches.
type watcher struct {
	Book
	told string
}

func (w *watcher) Watch(_ context.Context, _ pgx.Tx, _ Lane, faults int, answered bool) error {
	w.told = fmt.Sprint(faults, answered)
	return nil
}

// What counts is the row of faults that a batch ends in. Sends that never left are neither a fault nor an answer.
func TestFaultsInARow(t *testing.T) {
	t.Parallel()
	fault, ok, unsent := provider.Ambiguous, provider.Succeeded, provider.NotSent
	for want, classes := range map[string][]provider.Class{
		"2 false": {fault, unsent, fault},
		"1 true":  {fault, fault, ok, unsent, fault},
		"0 true":  {fault, ok},
		"0 false": {unsent},
	} {
		w := &watcher{}
		l := newLane(&Dispatcher{Deps: Deps{Book: w}}, Lane{Connector: &connector.Connector{Throttle: provider.NewThrottle(0, 1)}})
		var results []provider.Result
		for _, c := range classes {
			results = append(results, provider.Result{Class: c, Scope: provider.ScopeProvider})
		}
		if err := l.watch(t.Context(), nil, results); err != nil || w.told != want {
			t.Errorf("%v: told %q, want %q (%v)", classes, w.told, want, err)
		}
	}
}
