package dispatch

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
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

// The answer of a claim whose commit was lost comes in one batch with that of the claim that was made instead: only the latter is an outcome.
func TestALostClaimsAnswerBesideTheRealOne(t *testing.T) {
	t.Parallel()
	l := newLane(&Dispatcher{}, Lane{Connector: &connector.Connector{Throttle: provider.NewThrottle(0, 1)}})
	a := attempt.Attempt{Key: attempt.Key{Subject: uuid.New(), Number: 1}, Sends: 1}
	batch := []answer{
		{attempt: a, lost: true, result: provider.Result{Class: provider.NotSent, Code: codeLost}},
		{attempt: a, result: provider.Result{Class: provider.Succeeded}},
	}
	outcomes := []attempt.Outcome{l.outcome(batch[0], time.Time{}), l.outcome(batch[1], time.Time{})}
	moved, late := l.split(batch, outcomes, []attempt.Attempt{a})
	if len(moved) != 1 || moved[0].Result.Class != provider.Succeeded || len(late) != 1 || !batch[0].late || batch[1].late {
		t.Errorf("%d outcomes, %d late", len(moved), len(late))
	}
	// Alone it is one: its commit may have happened.
	if moved, _ = l.split(batch[:1], outcomes[:1], []attempt.Attempt{a}); len(moved) != 1 {
		t.Error("what a commit without an answer has begun is not closed")
	}
}
