package reconcile_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/webhook"
)

// What lost its sender becomes unknown, is asked about, and is never sent.
func TestTakeover(t *testing.T) {
	t.Parallel()
	l := newLost(t)
	gone, alive := l.begin(3, "orange", true), l.begin(1, "orange", false)
	l.pass()
	if len(l.applied) != 3 || len(l.asked) != 3 {
		t.Fatalf("%d were taken over, %d asked about, want 3", len(l.applied), len(l.asked))
	}
	for _, m := range l.applied {
		if m.Attempt.State != attempt.Unknown || m.Result.Class != provider.Ambiguous || m.Result.Code != attempt.CodeLeaseExpired {
			t.Errorf("moved %+v", m)
		}
	}
	for _, id := range gone {
		if a := l.get(id); a.State != attempt.Succeeded {
			t.Errorf("after the lookup it is %s", a.State)
		}
	}
	if a := l.get(alive[0]); a.State != attempt.Submitting {
		t.Errorf("one whose lease is good is %s", a.State)
	}
}

// A row that is not where its attempt says costs itself: people are told, its attempt is in doubt and asked about all the
// same, and the others are taken over.
func TestADefectiveRowIsTakenOverAlone(t *testing.T) {
	t.Parallel()
	l := newLost(t)
	ids := l.begin(4, "orange", true)
	l.answer = func(provider.Transfer) (provider.Found, error) { return provider.Found{}, errors.New("no answer") }
	l.bad[ids[1]] = errors.New("it is elsewhere")
	l.pass()
	if len(l.applied) != 3 || !l.alarmed("taken over, but its umbrella is not where the attempt says: it is elsewhere") {
		t.Errorf("%d applied, alarms %v", len(l.applied), l.alarms)
	}
	if n := l.count("SELECT count(*) FROM attempts WHERE state = 'unknown'"); n != 4 {
		t.Errorf("%d of 4 are in doubt", n)
	}
}

// A failure that time cures undoes the whole page, which comes again.
func TestATakeoverThatFailsForAWhile(t *testing.T) {
	t.Parallel()
	l := newLost(t)
	ids := l.begin(2, "orange", true)
	l.bad[ids[0]] = &pgconn.PgError{Code: "57P01"} // the server shuts down
	if _, err := l.worker.Pass(t.Context()); err == nil {
		t.Error("a takeover that failed was taken for done")
	}
	if n := l.count("SELECT count(*) FROM attempts WHERE state = 'submitting'"); n != 2 || len(l.alarms) != 0 {
		t.Errorf("%d are as they were, alarms %v", n, l.alarms)
	}
	delete(l.bad, ids[0])
	l.pass()
	if len(l.applied) != 2 {
		t.Errorf("%d were taken over", len(l.applied))
	}
}

// A panic of the adapter, silence and a provider that is gone are no answers; each is asked about again.
func TestNoAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		through string
		answer  func(provider.Transfer) (provider.Found, error)
		alarm   string
	}{
		"silence": {"orange", func(provider.Transfer) (provider.Found, error) { return provider.Found{}, errors.New("no answer") }, ""},
		"a panic": {"orange", func(provider.Transfer) (provider.Found, error) { panic("a defect") }, "panicked"},
		"gone":    {"wave", nil, "no such provider"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLost(t)
			id := l.open(1, c.through)[0]
			l.answer = c.answer
			l.pass()
			a := l.get(id)
			if a.State != attempt.Unknown || a.NextLookupAt == nil || !a.NextLookupAt.After(l.clock.Now()) {
				t.Errorf("it is %s, asked again %v", a.State, a.NextLookupAt)
			}
			if c.alarm == "" && len(l.alarms) != 0 || c.alarm != "" && !l.alarmed(c.alarm) {
				t.Errorf("alarms %v", l.alarms)
			}
			if len(l.decided) != 1 || l.decided[0].Decision.Answered {
				t.Errorf("decided %+v", l.decided)
			}
		})
	}
}

// An answer that cannot be applied costs itself, alone in its batch or not: the others are, and it is asked about again.
func TestADefectiveAnswerCostsItself(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"among others": 5, "alone": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLost(t)
			ids := l.open(n, "orange")
			l.bad[ids[0]] = errors.New("a defect")
			l.pass()
			if len(l.decided) != n-1 {
				t.Errorf("%d answers of %d were applied", len(l.decided), n)
			}
			if a := l.get(ids[0]); a.State != attempt.Unknown {
				t.Errorf("the defective one is %s", a.State)
			}
		})
	}
}

// What is due is asked about in pages, each attempt once.
func TestLookupsGoByPages(t *testing.T) {
	t.Parallel()
	l := newLost(t)
	l.worker.Page = 7
	l.open(20, "orange")
	l.pass()
	seen := map[string]bool{}
	for _, r := range l.asked {
		if seen[r] {
			t.Errorf("%s was asked about twice", r)
		}
		seen[r] = true
	}
	if len(seen) != 20 || l.count("SELECT count(*) FROM attempts WHERE state = 'succeeded'") != 20 {
		t.Errorf("%d of 20 were asked about", len(seen))
	}
}

// The job asks about everything that is open, by pages, however far off its next lookup is.
func TestAskPage(t *testing.T) {
	t.Parallel()
	l := newLost(t)
	l.open(250, "orange")
	l.sql("UPDATE attempts SET next_lookup_at = $1", l.clock.Now().Add(24*time.Hour))
	l.pass()
	if len(l.asked) != 0 {
		t.Fatalf("%d were asked about before they were due", len(l.asked))
	}
	r, pages := run.Run{Tenant: tenant}, 0
	for last := false; !last; pages++ {
		l.inTx(func(ctx context.Context, tx pgx.Tx) error {
			p, err := l.worker.AskPage(ctx, tx, r)
			if (p.After != nil) != (p.Done > 0) {
				t.Error("the worker is woken when there is something to ask")
			}
			r.Cursor, r.Done, last = p.Cursor, r.Done+int64(p.Done), p.Last
			return err
		})
	}
	l.pass()
	if r.Done != 250 || pages != 3 || len(l.asked) != 250 {
		t.Errorf("%d of 250 on %d pages, %d were asked about", r.Done, pages, len(l.asked))
	}
	l.inTx(func(ctx context.Context, tx pgx.Tx) error {
		if _, err := l.worker.AskPage(ctx, tx, run.Run{Tenant: tenant, Cursor: "forged"}); err == nil {
			t.Error("a forged cursor was taken")
		}
		return nil
	})
}

// A webhook makes due what it brings news of; what repeats a proven success and what is not ours is left alone.
func TestMatch(t *testing.T) {
	t.Parallel()
	l := newLost(t)
	l.open(1, "orange")
	l.sql("UPDATE attempts SET next_lookup_at = $1", l.clock.Now().Add(time.Hour))
	done := l.closed(attempt.Succeeded)
	l.sql("UPDATE attempts SET provider_id = 'there', destination = 'me' WHERE reference = $1", done.Reference)
	again := provider.Found{
		Exists: true, Result: provider.Result{Class: provider.Succeeded, ProviderID: "there"},
		Amount: &money.Amount{Minor: 700, Currency: "XOF"}, Destination: "me",
	}
	var fates map[string]webhook.Fate
	l.inTx(func(ctx context.Context, tx pgx.Tx) (err error) {
		fates, err = l.worker.Match(ctx, tx, tenant, "orange", []webhook.Notice{
			{Reference: "ref-001"}, {Reference: done.Reference, Says: again}, {Reference: "nobody's"},
		})
		return err
	})
	if fates["ref-001"] != webhook.Asked || fates[done.Reference] != webhook.Known || fates["nobody's"] != webhook.Unknown {
		t.Errorf("fates %v", fates)
	}
	l.pass()
	if len(l.asked) != 1 || l.asked[0] != "ref-001" {
		t.Errorf("asked about %v", l.asked)
	}
}

// A webhook that overtakes the answer to its send waits for it, and no longer than answers take.
func TestMatchWaitsForAnAnswer(t *testing.T) {
	t.Parallel()
	l := newLost(t)
	id := l.begin(1, "orange", false)[0]
	match := func() (fate webhook.Fate) {
		l.inTx(func(ctx context.Context, tx pgx.Tx) error {
			fates, err := l.worker.Match(ctx, tx, tenant, "orange", []webhook.Notice{{Reference: "ref-001"}})
			fate = fates["ref-001"]
			return err
		})
		return fate
	}
	if got := match(); got != webhook.Busy || l.get(id).NextLookupAt != nil {
		t.Errorf("at once: fate %v, asked about at %v", got, l.get(id).NextLookupAt)
	}
	l.clock.Advance(5 * time.Second)
	if got := match(); got != webhook.Asked || l.get(id).NextLookupAt == nil {
		t.Errorf("later: fate %v, asked about at %v", got, l.get(id).NextLookupAt)
	}
}

// The worker looks when it is woken, and ends with its context. A provider that does not answer holds up no takeover.
func TestRun(t *testing.T) {
	t.Parallel()
	l := newLost(t)
	l.worker.Every = 10 * time.Millisecond
	hanging, release := make(chan struct{}), make(chan struct{})
	l.answer = func(provider.Transfer) (provider.Found, error) {
		select {
		case hanging <- struct{}{}:
		default:
		}
		<-release
		return provider.Found{}, errors.New("no answer")
	}
	l.open(1, "orange")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.worker.Run(ctx) }()
	<-hanging
	l.begin(1, "orange", true)
	deadline := time.Now().Add(20 * time.Second)
	for l.count("SELECT count(*) FROM attempts WHERE state = 'submitting'") != 0 {
		if time.Now().After(deadline) {
			t.Fatal("a provider that hangs holds up takeovers")
		}
	}
	close(release)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A decision on a row that has changed since is none.
func TestDecideOnWhatHasChanged(t *testing.T) {
	t.Parallel()
	l := newLost(t)
	ids := l.open(3, "orange")
	var updates []attempt.Update
	for _, id := range ids {
		a := l.get(id)
		u := attempt.Update{Attempt: a, Lookup: true, Decision: attempt.Decision{State: attempt.Failed, Answered: true, Result: provider.Result{Class: provider.RejectedFinal, Alarm: "look"}}}
		if id == ids[1] {
			u.Decision.State, u.Decision.NextLookup = attempt.Unknown, a.NextLookupAt
		}
		updates = append(updates, u)
	}
	l.sql("UPDATE attempts SET version = version + 1 WHERE subject_id = $1", ids[2])
	l.inTx(func(ctx context.Context, tx pgx.Tx) error {
		moved, valid, err := reconcile.Decide(ctx, tx, l.clock.Now(), updates)
		if len(moved) != 1 || moved[0].Attempt.Subject != ids[0] || moved[0].Attempt.State != attempt.Failed || moved[0].Result.Alarm != "" {
			t.Errorf("moved %+v", moved)
		}
		if len(valid) != 2 {
			t.Errorf("%d are valid, want those of rows as they were", len(valid))
		}
		return err
	})
}

// A lookup began before something happened to its attempt, another one after it, and both are recorded together: only the one
// that was made on the row as it is counts.
func TestDecideOnAnOldAndANewRowTogether(t *testing.T) {
	t.Parallel()
	l := newLost(t)
	id := l.open(1, "orange")[0]
	decided := func(state attempt.State, next bool) attempt.Update {
		a := l.get(id)
		u := attempt.Update{Attempt: a, Lookup: true, Decision: attempt.Decision{State: state, Absent: true, Answered: true}}
		if next {
			u.Decision.NextLookup = a.NextLookupAt
		}
		return u
	}
	for _, freshFirst := range []bool{false, true} {
		old := decided(attempt.Failed, false)
		l.sql("UPDATE attempts SET version = version + 1 WHERE subject_id = $1", id)
		fresh := decided(attempt.Unknown, true)
		updates := []attempt.Update{old, fresh, fresh}
		if freshFirst {
			updates = []attempt.Update{fresh, old, fresh}
		}
		l.inTx(func(ctx context.Context, tx pgx.Tx) error {
			moved, valid, err := reconcile.Decide(ctx, tx, l.clock.Now(), updates)
			if len(moved) != 0 || len(valid) != 1 || valid[0].Attempt.Version != fresh.Attempt.Version {
				t.Errorf("moved %+v, valid %+v", moved, valid)
			}
			return err
		})
	}
}

// A late answer counts for what it proves about the send that is the newest now, and for no more.
func TestLate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		class provider.Class
		sends int // of the answer; the attempt has 2
		want  attempt.State
	}{
		"a success":                        {provider.Succeeded, 2, attempt.Succeeded},
		"a success of an earlier send":     {provider.Succeeded, 1, attempt.Succeeded},
		"a rejection":                      {provider.RejectedFinal, 2, attempt.Failed},
		"one that may be tried again":      {provider.RejectedRetryable, 2, attempt.Failed},
		"a rejection of an earlier send":   {provider.RejectedFinal, 1, ""},
		"accepted":                         {provider.Accepted, 2, attempt.Processing},
		"accepted of an earlier send":      {provider.Accepted, 1, ""},
		"doubt":                            {provider.Ambiguous, 2, ""},
		"never sent, which proves nothing": {provider.NotSent, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLost(t)
			id := l.open(1, "orange")[0]
			l.sql("UPDATE attempts SET sends = 2")
			l.inTx(func(ctx context.Context, tx pgx.Tx) error {
				updates, err := reconcile.Late(ctx, tx, l.connectors, l.clock.Now(), []attempt.Outcome{
					{Key: attempt.Key{Subject: id, Number: 1}, Sends: c.sends, Result: provider.Result{Class: c.class}},
				})
				switch {
				case c.want == "" && len(updates) != 0:
					t.Errorf("decided %+v", updates[0].Decision)
				case c.want != "" && (len(updates) != 1 || updates[0].Decision.State != c.want || updates[0].Lookup):
					t.Errorf("decided %+v, want %s", updates, c.want)
				}
				return err
			})
		})
	}
}

// Nobody decides about a send that is under way again, or through a provider that is gone.
func TestLateAnswersThatNobodyReads(t *testing.T) {
	t.Parallel()
	l := newLost(t)
	sending, gone := l.begin(1, "orange", false)[0], l.open(1, "wave")[0]
	l.inTx(func(ctx context.Context, tx pgx.Tx) error {
		var answers []attempt.Outcome
		for _, a := range []attempt.Attempt{l.get(sending), l.get(gone)} {
			answers = append(answers, attempt.Outcome{Key: a.Key, Sends: 1, Result: provider.Result{Class: provider.Succeeded}})
		}
		updates, err := reconcile.Late(ctx, tx, l.connectors, l.clock.Now(), answers)
		if len(updates) != 0 {
			t.Errorf("decided %+v", updates)
		}
		return err
	})
}
