package attempt

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

var (
	sent     = time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)
	xof24000 = money.Amount{Minor: 24000, Currency: "XOF"}
	errAway  = errors.New("no answer")
)

// policy: lease 62 s, so "not found" counts 6 min 32 s after the send; two reads lie a minute apart.
func policy(deduplicates bool) Policy { return NewPolicy(0, 0, nil, 0, deduplicates) }

func open(state State) Attempt {
	opened := sent.Add(time.Second)
	return Attempt{
		Tenant: "lebenis", Provider: "orange", Reference: "r", Amount: xof24000, Destination: "+2250700000101",
		State: state, Sends: 1, SubmittedAt: sent, OpenedAt: &opened, Accepted: state == Processing, Version: 3,
	}
}

func found(c provider.Class) Answer {
	return Answer{Found: provider.Found{Exists: true, Result: provider.Result{Class: c}}}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	const late = 10 * time.Minute
	absentOnce := func(a Attempt, after time.Duration) Attempt {
		at := sent.Add(after)
		a.AbsentReads, a.FirstAbsentAt = 1, &at
		return a
	}
	with := func(a Attempt, change func(*Attempt)) Attempt { change(&a); return a }
	differing := found(provider.Succeeded)
	differing.Found.Amount = &money.Amount{Minor: 42000, Currency: "XOF"}
	otherPayee := found(provider.Succeeded)
	otherPayee.Found.Destination = "0700000102"
	ours := found(provider.Succeeded)
	ours.Found.Amount, ours.Found.Destination = &xof24000, "0700000101"

	alone := found(provider.Succeeded) // with its amount, and without its payee
	alone.Found.Amount = &xof24000
	restored := func(state State, must MustTell) Attempt {
		return with(open(state), func(a *Attempt) { a.MustTell = must })
	}

	spent := func(state State, sends int, id string) Attempt {
		return with(open(state), func(a *Attempt) { a.Behind, a.Sends, a.ProviderID = Traceless, sends, id })
	}
	refusedAs := func(id string) Answer {
		ans := found(provider.RejectedFinal)
		ans.Found.Result.ProviderID = id
		return ans
	}
	refusedOurs := found(provider.RejectedFinal)
	refusedOurs.Found.Amount, refusedOurs.Found.Destination = ours.Found.Amount, ours.Found.Destination

	for _, c := range []struct {
		name     string
		a        Attempt
		ans      Answer
		dedup    bool
		review   time.Duration // review_after; 0: a day
		after    time.Duration // since the send
		state    State
		code     string
		next     time.Duration // since the send; 0: none
		reads    int
		mismatch string
		moved    int
	}{
		{name: "no answer: ask again by the schedule", a: open(Unknown), ans: Answer{Err: errAway}, after: time.Minute, state: Unknown, next: 2 * time.Minute},
		{name: "no answer after a day: people, and lookups go on", a: open(Unknown), ans: Answer{Err: errAway}, after: 25 * time.Hour, state: ManualReview, code: CodeReviewAfter, next: 48 * time.Hour},
		{name: "no answer after a week in review: daily", a: open(ManualReview), ans: Answer{Err: errAway}, after: 7*24*time.Hour + time.Hour, state: ManualReview, next: 8 * 24 * time.Hour},
		{name: "an answer that the adapter did not understand is none", a: open(Unknown), ans: found(provider.Ambiguous), after: time.Minute, state: Unknown, next: 2 * time.Minute},

		{name: "unknown, paid", a: open(Unknown), ans: found(provider.Succeeded), after: time.Minute, state: Succeeded},
		{name: "unknown, paid, details equal", a: open(Unknown), ans: ours, after: time.Minute, state: Succeeded},
		{name: "unknown, refused", a: open(Unknown), ans: found(provider.RejectedFinal), after: time.Minute, state: Failed},
		{name: "unknown, refused for now", a: open(Unknown), ans: found(provider.RejectedRetryable), after: time.Minute, state: Failed},
		{name: "unknown, pending there", a: open(Unknown), ans: found(provider.Accepted), after: time.Minute, state: Processing, next: 2 * time.Minute},
		{name: "unknown for a day, pending there", a: open(Unknown), ans: found(provider.Accepted), after: 25 * time.Hour, state: ManualReview, code: CodeReviewAfter, next: 48 * time.Hour},
		{name: "processing, paid", a: open(Processing), ans: found(provider.Succeeded), after: 3 * 24 * time.Hour, state: Succeeded},
		{name: "processing, refused", a: open(Processing), ans: found(provider.RejectedFinal), after: time.Minute, state: Failed},
		{name: "processing, still pending", a: open(Processing), ans: found(provider.Accepted), after: time.Minute, state: Processing, next: 2 * time.Minute},
		{name: "processing for a day", a: open(Processing), ans: found(provider.Accepted), after: 25 * time.Hour, state: ManualReview, code: CodeReviewAfter, next: 48 * time.Hour},
		{name: "in review, paid", a: open(ManualReview), ans: found(provider.Succeeded), after: 50 * time.Hour, state: Succeeded},
		{name: "in review, refused", a: open(ManualReview), ans: found(provider.RejectedFinal), after: 50 * time.Hour, state: Failed},
		{name: "in review, pending there", a: open(ManualReview), ans: found(provider.Accepted), after: 50 * time.Hour, state: ManualReview, next: 72 * time.Hour},

		{name: "not found too early proves nothing, and is asked again when it would", a: open(Unknown), after: 3 * time.Minute, state: Unknown, next: 392 * time.Second},
		{name: "not found once is not enough", a: open(Unknown), dedup: true, after: late, state: Unknown, next: late + time.Minute, reads: 1},
		{name: "not found twice in a breath is once", a: absentOnce(open(Unknown), late), dedup: true, after: late + time.Second, state: Unknown, next: late + time.Minute, reads: 1},
		{name: "not found twice, the provider deduplicates: the same reference again", a: absentOnce(open(Unknown), late), dedup: true, after: late + time.Minute, state: NotSent, code: CodeNeverCreated, reads: 2},
		{name: "not found twice within review_after: the same reference again", a: absentOnce(open(Unknown), 22*time.Hour), dedup: true, after: 23 * time.Hour, state: NotSent, code: CodeNeverCreated, reads: 2},
		{name: "not found twice after an outage of a day: people, for the key may be forgotten", a: absentOnce(open(Unknown), 25*time.Hour), dedup: true, after: 26 * time.Hour, state: ManualReview, code: CodeReviewAfter, next: 48 * time.Hour, reads: 2},
		{
			name: "the same where people are asked after three days: at once, for nothing else would help", dedup: true, review: 72 * time.Hour, after: 26 * time.Hour,
			a: absentOnce(open(Unknown), 25*time.Hour), state: ManualReview, code: CodeNotResendable, next: 48 * time.Hour, reads: 2,
		},
		{
			name: "a moment before the day is over, where people are asked after three: the same reference again", dedup: true, review: 72 * time.Hour, after: 24*time.Hour - time.Second,
			a: absentOnce(open(Unknown), 23*time.Hour), state: NotSent, code: CodeNeverCreated, reads: 2,
		},
		{
			name: "not found twice after three days, where people are asked after three: they are asked", dedup: true, review: 72 * time.Hour, after: 73 * time.Hour,
			a: absentOnce(open(Unknown), 25*time.Hour), state: ManualReview, code: CodeReviewAfter, next: 96 * time.Hour, reads: 2,
		},
		{
			name: "taken over a day after its send, and not found twice: people", dedup: true, after: 26 * time.Hour,
			a: absentOnce(with(open(Unknown), func(a *Attempt) { at := sent.Add(25 * time.Hour); a.OpenedAt = &at }), 25*time.Hour), state: ManualReview, code: CodeReviewAfter, next: 48 * time.Hour, reads: 2,
		},
		{
			name: "sent again a moment ago, a day after the first: people", dedup: true, after: 10 * time.Minute,
			a: absentOnce(with(open(Unknown), func(a *Attempt) { at := sent.Add(-25 * time.Hour); a.OpenedAt = &at }), 8*time.Minute), state: ManualReview, code: CodeReviewAfter, next: time.Hour, reads: 2,
		},
		{
			name: "sent again for a day, and never there: people", dedup: true, after: 26 * time.Hour,
			a: absentOnce(with(open(Unknown), func(a *Attempt) { a.Sends = 2 }), 25*time.Hour), state: ManualReview, code: CodeReviewAfter, next: 48 * time.Hour, reads: 2,
		},
		{name: "not found twice, it does not: people at once", a: absentOnce(open(Unknown), late), after: late + time.Minute, state: ManualReview, code: CodeNotResendable, next: time.Hour, reads: 2},
		{
			name: "not found twice, but it had been accepted: it was created, so people", dedup: true, after: late + time.Minute,
			a: absentOnce(with(open(Unknown), func(a *Attempt) { a.Accepted = true }), late), state: ManualReview, code: CodeNotResendable, next: time.Hour, reads: 2,
		},
		{name: "not found in review stays with people", a: absentOnce(open(ManualReview), late), dedup: true, after: 30 * time.Hour, state: ManualReview, next: 48 * time.Hour, reads: 2},
		{name: "processing, not found yet", a: open(Processing), after: time.Minute, state: Processing, next: 2 * time.Minute},
		{name: "processing, no longer known", a: open(Processing), after: late, state: Unknown, code: CodeNoLongerKnown, next: late + time.Minute, reads: 1},
		{name: "found again: the proof of absence begins anew", a: absentOnce(open(Unknown), late), ans: found(provider.Accepted), after: late + time.Minute, state: Processing, next: time.Hour},
		{name: "no answer in between keeps the first read", a: absentOnce(open(Unknown), late), ans: Answer{Err: errAway}, after: late + time.Minute, state: Unknown, next: time.Hour, reads: 1},

		{name: "sent again behind four refusals, refused: by which send is for people", a: spent(Unknown, 2, ""), dedup: true, ans: found(provider.RejectedRetryable), after: time.Minute, state: ManualReview, code: CodeRefusedBefore, next: 2 * time.Minute},
		{name: "the same, accepted meanwhile", a: spent(Processing, 2, ""), ans: found(provider.RejectedFinal), after: time.Minute, state: ManualReview, code: CodeRefusedBefore, next: 2 * time.Minute},
		{name: "the same, the provider's id is another", a: spent(Processing, 2, "MP2"), ans: refusedAs("MP1"), after: time.Minute, state: ManualReview, code: CodeRefusedBefore, next: 2 * time.Minute},
		{name: "the same, the provider's id is that of the newest send", a: spent(Processing, 2, "MP2"), ans: refusedAs("MP2"), after: time.Minute, state: Failed},
		{name: "the same, paid", a: spent(Unknown, 2, ""), ans: found(provider.Succeeded), after: time.Minute, state: Succeeded},
		{name: "the same in review stays there", a: spent(ManualReview, 2, ""), ans: found(provider.RejectedFinal), after: 30 * time.Hour, state: ManualReview, next: 48 * time.Hour},
		{name: "sent once behind four refusals, refused", a: spent(Unknown, 1, ""), ans: found(provider.RejectedRetryable), after: time.Minute, state: Failed},
		{name: "sent again because nothing had come of it, refused", a: with(open(Unknown), func(a *Attempt) { a.Sends = 2 }), ans: found(provider.RejectedFinal), after: time.Minute, state: Failed},
		{name: "lost by a restore, where it may have gone again, refused", a: with(restored(Processing, MustTellPayee), func(a *Attempt) { a.Number = Traceless + 1 }), ans: refusedOurs, after: time.Minute, state: ManualReview, code: CodeRefusedBefore, next: 2 * time.Minute},
		{name: "lost by a restore, where it has not, refused", a: with(restored(Processing, MustTellPayee), func(a *Attempt) { a.Number = Traceless }), ans: refusedOurs, after: time.Minute, state: Failed},

		{name: "another amount under our reference", a: open(Unknown), ans: differing, after: time.Minute, state: ManualReview, code: CodeAmountDiffers, next: 2 * time.Minute, mismatch: CodeAmountDiffers},
		{name: "another payee under our reference", a: open(Processing), ans: otherPayee, after: time.Minute, state: ManualReview, code: CodePayeeDiffers, next: 2 * time.Minute, mismatch: CodePayeeDiffers},
		{name: "lost by a restore, paid, details equal", a: restored(Processing, MustTellPayee), ans: ours, after: time.Minute, state: Succeeded},
		{name: "lost by a restore, paid, to whom is not told", a: restored(Processing, MustTellPayee), ans: alone, after: time.Minute, state: ManualReview, code: CodeNotTold, next: 2 * time.Minute},
		{name: "lost by a restore, paid, a gateway tells no payee", a: restored(Processing, MustTellAmount), ans: alone, after: time.Minute, state: Succeeded},
		{name: "lost by a restore, refused, nothing is told", a: restored(Processing, MustTellAmount), ans: found(provider.RejectedFinal), after: time.Minute, state: ManualReview, code: CodeNotTold, next: 2 * time.Minute},
		{name: "lost by a restore, what is told differs", a: restored(Processing, MustTellPayee), ans: differing, after: time.Minute, state: ManualReview, code: CodeAmountDiffers, next: 2 * time.Minute, mismatch: CodeAmountDiffers},
		{name: "lost by a restore, in review, paid, still not told", a: restored(ManualReview, MustTellPayee), ans: alone, after: 50 * time.Hour, state: ManualReview, next: 72 * time.Hour},
		{name: "lost by a restore, in review, told at last", a: restored(ManualReview, MustTellPayee), ans: ours, after: 50 * time.Hour, state: Succeeded},
		{name: "lost by a restore, in doubt, the answer is not understood and tells nothing", a: restored(Unknown, MustTellPayee), ans: found(provider.Ambiguous), after: time.Minute, state: ManualReview, code: CodeNotTold, next: 2 * time.Minute},
		{name: "in review, another amount that was refused: nothing moved, and people say so", a: open(ManualReview), ans: of(differing, provider.RejectedFinal), after: 50 * time.Hour, state: ManualReview, next: 72 * time.Hour, mismatch: CodeAmountDiffers},

		{name: "failed here, paid there", a: open(Failed), ans: found(provider.Succeeded), after: time.Hour, state: Failed, mismatch: MismatchPaid, moved: 1},
		{name: "not sent here, paid there", a: open(NotSent), ans: found(provider.Succeeded), after: time.Hour, state: NotSent, mismatch: MismatchPaid, moved: 1},
		{name: "succeeded here, refused there", a: open(Succeeded), ans: found(provider.RejectedFinal), after: time.Hour, state: Succeeded, mismatch: MismatchNotPaid, moved: -1},
		{name: "succeeded here, not found there too early: nothing is said", a: open(Succeeded), after: time.Second, state: Succeeded, next: 392 * time.Second},
		{name: "succeeded here, not found there once: nothing is said yet", a: open(Succeeded), after: time.Hour, state: Succeeded, next: time.Hour + time.Minute, reads: 1},
		{name: "succeeded here, not found there twice in a breath is once", a: absentOnce(open(Succeeded), time.Hour), after: time.Hour + time.Second, state: Succeeded, next: time.Hour + time.Minute, reads: 1},
		{name: "succeeded here, not found there twice", a: absentOnce(open(Succeeded), time.Hour), after: time.Hour + time.Minute, state: Succeeded, mismatch: MismatchAbsent, reads: 2},
		{name: "failed here, pending there: asked again", a: open(Failed), ans: found(provider.Accepted), after: time.Hour, state: Failed, mismatch: MismatchPending, next: time.Hour + 30*time.Second},
		{name: "failed on both sides", a: open(Failed), ans: found(provider.RejectedFinal), after: time.Hour, state: Failed},
		{name: "failed here, unknown there too early: the question stays open", a: open(Failed), after: time.Second, state: Failed, next: 392 * time.Second},
		{name: "failed here, unknown there once: the question stays open", a: open(Failed), after: time.Hour, state: Failed, next: time.Hour + time.Minute, reads: 1},
		{name: "failed here, unknown there twice", a: absentOnce(open(Failed), time.Hour), after: time.Hour + time.Minute, state: Failed, reads: 2},
		{name: "not sent here, unknown there twice", a: absentOnce(open(NotSent), time.Hour), after: time.Hour + time.Minute, state: NotSent, reads: 2},
		{name: "failed here, pending there after an empty read: the reads begin anew", a: absentOnce(open(Failed), time.Hour), ans: found(provider.Accepted), after: 2 * time.Hour, state: Failed, mismatch: MismatchPending, next: 2*time.Hour + 30*time.Second},
		{name: "succeeded on both sides", a: open(Succeeded), ans: ours, after: time.Hour, state: Succeeded},
		{name: "closed, and forgotten there: nobody waits for an answer that never comes", a: open(Failed), ans: Answer{Err: fmt.Errorf("lookup: %w", provider.ErrForgotten)}, after: time.Hour, state: Failed},
		{name: "open, and forgotten there: asked on, and people", a: open(Unknown), ans: Answer{Err: provider.ErrForgotten}, after: 25 * time.Hour, state: ManualReview, code: CodeReviewAfter, next: 48 * time.Hour},
		{name: "closed, no answer: asked again", a: open(Succeeded), ans: Answer{Err: errAway}, after: time.Hour, state: Succeeded, next: time.Hour + 30*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(c.a, c.ans, NewPolicy(0, 0, nil, c.review, c.dedup), sent.Add(c.after))
			var next time.Duration
			if d.NextLookup != nil {
				next = d.NextLookup.Sub(sent)
			}
			type summary struct {
				State    State
				Code     string
				Next     time.Duration
				Reads    int
				Mismatch string
				Moved    int
			}
			got := summary{d.State, d.Result.Code, next, d.AbsentReads, d.Mismatch, d.Moved}
			want := summary{c.state, c.code, c.next, c.reads, c.mismatch, c.moved}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if (d.Said != "") != (c.mismatch != "" || d.Exact) || d.Said == c.mismatch && c.mismatch != "" {
				t.Errorf("mismatch %q, and the provider said %q", c.mismatch, d.Said)
			}
			forPeople := c.code == CodeNotTold || twice(c.a, c.ans.Found) && refused(c.ans.Found.Result.Class) || c.a.MustTell != "" && d.State == ManualReview || c.mismatch == CodeAmountDiffers || c.mismatch == CodePayeeDiffers
			if want := c.ans.Found.Result.Class; forPeople && d.Ended != want || !forPeople && d.Ended != "" {
				t.Errorf("the provider said %q, from which nothing else follows, people hear %q", want, d.Ended)
			}
			if told := c.mismatch == CodeAmountDiffers; told != (d.Amount != nil) {
				t.Errorf("the amount that people hear is %v", d.Amount)
			}
			if needsPeople := d.State == ManualReview && c.a.State != ManualReview || c.mismatch != ""; needsPeople && d.Alarm == "" {
				t.Error("nobody is told")
			}
		})
	}
}

func TestAlarmOfTheProvidersWordsIsKept(t *testing.T) {
	t.Parallel()
	ans := found(provider.Accepted)
	ans.Found.Result.Alarm = `unknown status "WEIRD"`
	if d := Decide(open(Unknown), ans, policy(false), sent.Add(time.Minute)); d.Alarm == "" || d.State != Processing {
		t.Errorf("got %s, alarm %q", d.State, d.Alarm)
	}
}

// A success that the provider affirms and has something to say about: nothing changes, and people hear of it.
func TestAlarmOfARepeatedSuccessIsKept(t *testing.T) {
	t.Parallel()
	a := open(Succeeded)
	d := Decide(a, Answer{Found: provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded, Alarm: "disputed"}}}, policy(false), sent.Add(time.Hour))
	if d.State != Succeeded || d.Mismatch != "" || d.Alarm != "disputed" {
		t.Errorf("got %+v", d)
	}
}

func TestLookupsHaveNoEnd(t *testing.T) {
	t.Parallel()
	p := policy(false)
	now, steps := sent, 0
	for now.Before(sent.Add(365 * 24 * time.Hour)) {
		next := p.NextLookup(sent, now)
		if !next.After(now) || next.Sub(now) > 24*time.Hour {
			t.Fatalf("after %s the next lookup is in %s", now.Sub(sent), next.Sub(now))
		}
		now, steps = next, steps+1
	}
	if steps < 365 || steps > 375 {
		t.Errorf("%d lookups in a year", steps)
	}
}

func TestSamePayee(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		theirs string
		want   bool
	}{
		{"0700000101", true},
		{"2250700000101", true},
		{"+225 07 00 00 01 01", true},
		{"07****0101", true},
		{"0101", true},
		{"0700000102", false},
		{"0102", false},
		{"******02", false},
		{"hidden", true},
	} {
		if got := samePayee("+2250700000101", c.theirs); got != c.want {
			t.Errorf("%q: %v", c.theirs, got)
		}
	}
}

// payoutState is what an attempt's state makes of its payout.
func payoutState(s State) string {
	if s == NotSent {
		return "approved"
	}
	return string(s)
}

// What was sent first before this does not go again: a lease before the provider may have forgotten it, however late people are asked, and sooner
// where they are asked sooner.
func TestNothingGoesAgainThatAProviderMayHaveForgotten(t *testing.T) {
	t.Parallel()
	for review, want := range map[time.Duration]time.Duration{0: KeyMemory, time.Hour: time.Hour, 72 * time.Hour: KeyMemory, 8760 * time.Hour: KeyMemory} {
		p := NewPolicy(0, 0, nil, review, true)
		if got := sent.Sub(p.ResendsSince(sent)); got != want-p.Lease {
			t.Errorf("with review_after %s what was sent %s ago goes again, want %s", review, got, want-p.Lease)
		}
	}
}

// Whatever a provider answers and whenever it does, money that may have moved is never sent again and never given up.
func TestDecideNeverGuesses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := policy(rapid.Bool().Draw(t, "deduplicates"))
		p.ReviewAfter = time.Duration(rapid.IntRange(1, 100).Draw(t, "review_after")) * time.Hour
		a := open(rapid.SampledFrom([]State{Unknown, Processing}).Draw(t, "from"))
		a.Behind, a.Sends = rapid.IntRange(0, Traceless).Draw(t, "behind"), rapid.IntRange(1, 2).Draw(t, "sends")
		now := sent.Add(time.Second)
		var absences []time.Time // since anything else was heard
		for range 40 {
			now = now.Add(time.Duration(rapid.Int64Range(1, int64(30*time.Hour)).Draw(t, "later")))
			ans := drawAnswer(t)
			d := Decide(a, ans, p, now)
			if ans.Err == nil && !ans.Found.Exists && !now.Before(p.AbsentCounts(sent)) {
				absences = append(absences, now)
			}
			check(t, a, ans, d, p, now, absences)
			if ans.Found.Exists && ans.Err == nil && ans.Found.Result.Class != provider.Ambiguous {
				absences = nil
			}
			if d.State.Closed() {
				return
			}
			a.State, a.AbsentReads, a.FirstAbsentAt, a.Accepted = d.State, d.AbsentReads, d.FirstAbsent, a.Accepted || d.Accepted
		}
	})
}

func drawAnswer(t *rapid.T) Answer {
	switch rapid.IntRange(0, 9).Draw(t, "answer") {
	case 0, 1:
		return Answer{Err: errAway}
	case 2, 3, 4, 5, 6:
		return Answer{}
	case 7:
		return found(provider.Accepted)
	case 8:
		return found(provider.Ambiguous)
	default:
		return found(rapid.SampledFrom([]provider.Class{provider.Succeeded, provider.RejectedFinal, provider.RejectedRetryable}).Draw(t, "class"))
	}
}

func check(t *rapid.T, a Attempt, ans Answer, d Decision, p Policy, now time.Time, absences []time.Time) {
	class := ans.Found.Result.Class
	said := ans.Err == nil && ans.Found.Exists
	if d.State != a.State {
		if _, ok := event.Payout.Event(payoutState(a.State), payoutState(d.State)); !ok {
			t.Fatalf("%s → %s is not in the state table", a.State, d.State)
		}
	}
	switch d.State {
	case Succeeded:
		if !said || class != provider.Succeeded {
			t.Fatalf("succeeded by %+v", ans)
		}
	case Failed:
		if !said || (class != provider.RejectedFinal && class != provider.RejectedRetryable) {
			t.Fatalf("failed by %+v", ans)
		}
		if a.Behind == Traceless && a.Sends > 1 {
			t.Fatal("failed by what may be the refusal of an earlier send")
		}
	case NotSent:
		if now.Sub(sent) >= KeyMemory {
			t.Fatalf("sent again %s after the first time", now.Sub(sent))
		}
		if !p.Deduplicates || a.Accepted || a.State != Unknown || len(absences) < 2 || now.Sub(absences[0]) < p.absentGap() {
			t.Fatalf("sent again: deduplicates=%v accepted=%v from %s after absences %v", p.Deduplicates, a.Accepted, a.State, absences)
		}
	case ManualReview:
		older := said && refused(class) && a.Behind == Traceless && a.Sends > 1
		if a.State != ManualReview && now.Sub(*a.OpenedAt) < p.ReviewAfter && len(absences) < 2 && !older {
			t.Fatalf("review after %s without proof of absence", now.Sub(*a.OpenedAt))
		}
	}
	if d.State.Open() && (d.NextLookup == nil || !d.NextLookup.After(now)) {
		t.Fatalf("open as %s and never asked about again", d.State)
	}
	if d.State.Open() && d.State != ManualReview && now.Sub(*a.OpenedAt) >= p.ReviewAfter && a.State == Unknown {
		t.Fatalf("unknown for %s and not in review", now.Sub(*a.OpenedAt))
	}
}

// Only the exact repetition of a proven success needs no second read.
func TestNews(t *testing.T) {
	t.Parallel()
	success := func() (Attempt, provider.Found) {
		amount := money.Amount{Minor: 24000, Currency: "XOF"}
		return Attempt{State: Succeeded, Amount: amount, Destination: "+2250700000101", ProviderID: "MP1"},
			provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded, ProviderID: "MP1"}, Amount: &amount, Destination: "0700000101"}
	}
	if a, said := success(); News(a, said) {
		t.Error("the same again is news")
	}
	for name, change := range map[string]func(*Attempt, *provider.Found){
		"nothing understood":    func(_ *Attempt, f *provider.Found) { *f = provider.Found{} },
		"failed":                func(_ *Attempt, f *provider.Found) { f.Result.Class = provider.RejectedFinal },
		"pending":               func(_ *Attempt, f *provider.Found) { f.Result.Class = provider.Accepted },
		"an alarm":              func(_ *Attempt, f *provider.Found) { f.Result.Alarm = "unknown word" },
		"no amount":             func(_ *Attempt, f *provider.Found) { f.Amount = nil },
		"another amount":        func(_ *Attempt, f *provider.Found) { f.Amount = &money.Amount{Minor: 1, Currency: "XOF"} },
		"another currency":      func(_ *Attempt, f *provider.Found) { f.Amount = &money.Amount{Minor: 24000, Currency: "XAF"} },
		"no payee":              func(_ *Attempt, f *provider.Found) { f.Destination = "" },
		"another payee":         func(_ *Attempt, f *provider.Found) { f.Destination = "0700000102" },
		"another transfer":      func(_ *Attempt, f *provider.Found) { f.Result.ProviderID = "MP2" },
		"a transfer unknown":    func(a *Attempt, _ *provider.Found) { a.ProviderID = "" },
		"asked about already":   func(a *Attempt, _ *provider.Found) { a.NextLookupAt = &a.SubmittedAt },
		"closed as failed":      func(a *Attempt, _ *provider.Found) { a.State = Failed },
		"closed as never sent":  func(a *Attempt, _ *provider.Found) { a.State = NotSent },
		"under way":             func(a *Attempt, _ *provider.Found) { a.State = Submitting },
		"pending here":          func(a *Attempt, _ *provider.Found) { a.State = Processing },
		"unknown here":          func(a *Attempt, _ *provider.Found) { a.State = Unknown },
		"in review here":        func(a *Attempt, _ *provider.Found) { a.State = ManualReview },
		"failed on both sides":  func(a *Attempt, f *provider.Found) { a.State, f.Result.Class = Failed, provider.RejectedFinal },
		"pending on both sides": func(a *Attempt, f *provider.Found) { a.State, f.Result.Class = Processing, provider.Accepted },
	} {
		a, said := success()
		if change(&a, &said); !News(a, said) {
			t.Errorf("%s: not read again", name)
		}
	}
}

// What was taken back of a success is no contradiction of it; of what did not succeed nothing can be taken back, but that it was paid and
// came back, all of it, is told.
func TestWhatWasTakenBackDoesNotContradict(t *testing.T) {
	t.Parallel()
	back := &provider.Reversed{Refunded: xof24000}
	for _, c := range []struct {
		state    State
		class    provider.Class
		becomes  State
		mismatch string
		told     bool
		whole    bool
	}{
		{Succeeded, provider.RejectedFinal, Succeeded, "", true, false},
		{Succeeded, provider.Succeeded, Succeeded, "", true, false},
		{Unknown, provider.Succeeded, Succeeded, "", true, false},
		{Unknown, provider.RejectedFinal, Failed, "", false, false},
		{Failed, provider.RejectedFinal, Failed, "", false, true},
		{Failed, provider.Succeeded, Failed, MismatchPaid, false, false},
	} {
		ans := found(c.class)
		ans.Found.Reversed, ans.Found.Result.Alarm = back, "refunded"
		d := Decide(open(c.state), ans, policy(false), sent.Add(10*time.Minute))
		if d.State != c.becomes || d.Mismatch != c.mismatch || (d.Reversed == back) != c.told || d.TakenBack != c.whole {
			t.Errorf("%s, told %s: %+v", c.state, c.class, d)
		}
		if c.state == Succeeded && c.class == provider.RejectedFinal && d.Alarm != "" {
			t.Errorf("a refund that is booked is an alarm: %q", d.Alarm)
		}
	}
	for name, part := range map[string]money.Amount{"a part": {Minor: xof24000.Minor - 1, Currency: "XOF"}, "other money": {Minor: xof24000.Minor, Currency: "BRL"}} {
		ans := found(provider.RejectedFinal)
		ans.Found.Reversed = &provider.Reversed{Refunded: part}
		if d := Decide(open(Failed), ans, policy(false), sent.Add(10*time.Minute)); d.TakenBack {
			t.Errorf("%s is all of it: %+v", name, d)
		}
	}
	xof20000, xof42000 := money.Amount{Minor: 20000, Currency: "XOF"}, money.Amount{Minor: 42000, Currency: "XOF"}
	brl24000 := money.Amount{Minor: 24000, Currency: "BRL"}
	for name, c := range map[string]struct {
		state State
		class provider.Class
		there money.Amount
		back  *money.Amount
		told  bool // what was taken back of it
		exact bool
		whole bool
	}{
		"paid as it was asked for":                     {Succeeded, provider.Succeeded, xof24000, nil, false, true, false},
		"paid as it was asked for, and a part is back": {Succeeded, provider.Succeeded, xof24000, &xof20000, true, true, false},
		"denied over what was asked for":               {Succeeded, provider.RejectedFinal, xof24000, nil, false, false, false},
		"under way over what was asked for":            {Succeeded, provider.Accepted, xof24000, nil, false, false, false},
		"more, and a part is back":                     {Succeeded, provider.Succeeded, xof42000, &xof20000, true, false, false},
		"less, and all of it is back":                  {Succeeded, provider.RejectedFinal, xof20000, &xof20000, true, false, false},
		"other money, and it is back":                  {Succeeded, provider.Succeeded, brl24000, &brl24000, false, false, false},
		"closed, less, and all of it is back":          {Failed, provider.RejectedFinal, xof20000, &xof20000, false, false, true},
		"closed, more, and a part is back":             {Failed, provider.RejectedFinal, xof42000, &xof24000, false, false, false},
	} {
		ans := found(c.class)
		ans.Found.Amount = &c.there
		if c.back != nil {
			ans.Found.Reversed = &provider.Reversed{Refunded: *c.back}
		}
		d := Decide(open(c.state), ans, policy(false), sent.Add(10*time.Minute))
		if (d.Reversed != nil) != c.told || d.Exact != c.exact || d.TakenBack != c.whole {
			t.Errorf("%s: %+v", name, d)
		}
	}
	again := open(Succeeded)
	again.Behind, again.Sends = Traceless, 2
	if d := Decide(again, found(provider.RejectedFinal), policy(false), sent.Add(10*time.Minute)); d.Mismatch != "" || d.Moved != 0 || d.Alarm == "" {
		t.Errorf("a success of a reference that went again, whose older refusal is shown: %+v", d)
	}
	reversed := found(provider.RejectedFinal)
	reversed.Found.Result.Code = provider.CodeReversed
	if d := Decide(again, reversed, policy(false), sent.Add(10*time.Minute)); d.Returned == nil || d.Mismatch != MismatchNotPaid || d.Moved != -1 {
		t.Errorf("a success of a reference that went again has come back: %+v", d)
	}
	plain := Decide(open(Succeeded), found(provider.RejectedFinal), policy(false), sent.Add(10*time.Minute))
	if plain.Mismatch != MismatchNotPaid || plain.Moved != -1 {
		t.Errorf("a success that is denied: %+v", plain)
	}
}

// of is an answer that ended otherwise.
func of(ans Answer, class provider.Class) Answer {
	ans.Found.Result.Class = class
	return ans
}

// The adapter's own words are not lost beside ours where too little is told.
func TestAlarmOfTheProvidersWordsIsKeptWhereItTellsTooLittle(t *testing.T) {
	t.Parallel()
	ans := found(provider.Accepted)
	ans.Found.Result.Alarm = "several_transactions"
	a := open(Unknown)
	a.MustTell = MustTellPayee
	d := Decide(a, ans, policy(false), sent.Add(time.Minute))
	if d.Result.Code != CodeNotTold || !strings.HasPrefix(d.Alarm, "several_transactions; ") {
		t.Errorf("%s, alarm %q", d.Result.Code, d.Alarm)
	}
}

// What failed on both sides contradicts nothing, whatever sum is noted there. Of anything else the same follows as if it were ours, and how much
// more or less has moved where it is told in our money.
func TestWhatDiffersOfWhatIsClosed(t *testing.T) {
	t.Parallel()
	one, other := &money.Amount{Minor: 1, Currency: "XOF"}, &money.Amount{Minor: 1, Currency: "GNF"}
	paid, failed, returned := provider.Result{Class: provider.Succeeded}, provider.Result{Class: provider.RejectedFinal}, provider.Result{Class: provider.RejectedFinal, Code: provider.CodeReversed}
	for name, c := range map[string]struct {
		state    State
		result   provider.Result
		amount   *money.Amount
		mismatch string
		moved    int
		beyond   int64
		unmoved  bool
		undone   bool
		asked    bool
	}{
		"failed on both sides":                   {state: Failed, result: failed, amount: one, mismatch: CodeAmountDiffers, unmoved: true},
		"failed here, paid there":                {state: Failed, result: paid, amount: one, mismatch: MismatchPaid, moved: 1, beyond: 1 - xof24000.Minor},
		"failed here, paid there in other money": {state: Failed, result: paid, amount: other, mismatch: MismatchPaid},
		"failed here, paid to somebody else":     {state: Failed, result: paid, mismatch: MismatchPaid, moved: 1},
		"failed here, at work on it there":       {state: Failed, result: provider.Result{Class: provider.Accepted}, amount: one, mismatch: MismatchPending, asked: true},
		"failed here, paid and come back there":  {state: Failed, result: returned, amount: one, unmoved: true, undone: true},
		"paid on both sides":                     {state: Succeeded, result: paid, amount: one, mismatch: CodeAmountDiffers, beyond: 1 - xof24000.Minor},
		"paid here, at work on it there":         {state: Succeeded, result: provider.Result{Class: provider.Accepted}, amount: one, mismatch: MismatchPending, asked: true},
		"paid here, failed there":                {state: Succeeded, result: failed, amount: one, mismatch: MismatchNotPaid, moved: -1, undone: true},
		"paid here, taken back there":            {state: Succeeded, result: returned, amount: one, mismatch: MismatchNotPaid, moved: -1, undone: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := provider.Found{Exists: true, Result: c.result, Amount: c.amount}
			if c.amount == nil {
				f.Destination = "+2250700000999"
			}
			d := Decide(open(c.state), Answer{Found: f}, policy(false), sent.Add(time.Hour))
			if d.State != c.state || d.Mismatch != c.mismatch || d.Moved != c.moved || d.Beyond != c.beyond || d.Said == "" || d.Alarm == "" {
				t.Errorf("got %+v", d)
			}
			if d.Unmoved() != c.unmoved || d.Undone() != c.undone || (d.NextLookup != nil) != c.asked || (d.Returned != nil) != (c.state == Succeeded && c.result == returned) {
				t.Errorf("got %+v", d)
			}
		})
	}
}

// What came in doubt once more days after its send is asked about by the schedule from then on: that of the send is over, and would ask once a day.
func TestADoubtThatCameBackHasAScheduleOfItsOwn(t *testing.T) {
	t.Parallel()
	p := NewPolicy(0, 0, []time.Duration{time.Second, time.Minute, time.Hour}, 0, true)
	doubted := sent.Add(30 * time.Hour)
	a := Attempt{State: Unknown, SubmittedAt: sent, OpenedAt: &sent}
	silent := Answer{Err: errAway}
	if d := Decide(a, silent, p, doubted); d.NextLookup == nil || d.NextLookup.Sub(doubted) < time.Hour {
		t.Errorf("the schedule of the send goes on %v", d.NextLookup)
	}
	a.DoubtedAt = &doubted
	for at, want := range map[time.Duration]time.Duration{0: time.Second, 2 * time.Second: time.Minute, 2 * time.Minute: time.Hour, 2 * time.Hour: 25 * time.Hour} {
		if d := Decide(a, silent, p, doubted.Add(at)); d.NextLookup == nil || !d.NextLookup.Equal(doubted.Add(want)) {
			t.Errorf("%s after it: next at %v, want %v", at, d.NextLookup, doubted.Add(want))
		}
	}
}
