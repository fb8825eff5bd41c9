package attempt

import (
	"fmt"
	"strings"
	"time"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// Answer is what a lookup brought: Err when the question was not answered.
type Answer struct {
	Err   error
	Found provider.Found
}

// Decision is what an answer makes of an attempt.
type Decision struct {
	State      State // the next state; the attempt's own when nothing changes
	Result     provider.Result
	NextLookup *time.Time
	Accepted   bool // the answer shows that the provider has it
	// AbsentReads and FirstAbsent carry the proof of absence on.
	AbsentReads int
	FirstAbsent *time.Time
	// Answered is set when the provider answered at all.
	Answered bool
	// Absent is set when it answered that it knows nothing, late enough for that to count.
	Absent bool
	// Mismatch names a contradiction between the answer and what is booked; Moved says that, by the answer, money moved
	// which the books deny (+1), or did not which they affirm (-1), and Beyond how much more it moved than was asked for.
	Mismatch string
	Moved    int
	Beyond   int64
	// Said is what the provider said in it, where it contradicts: "succeeded", "failed", "pending", "absent".
	Said string
	// Ended is how it ended or stands by an answer from which nothing else follows: what it tells differs from ours, or it does not tell what
	// there is to compare. People may go by it, nothing else does. Amount is the one that it tells, nil: it does not.
	Ended  provider.Class
	Amount *money.Amount
	// Reversed is what the answer tells of a success that was taken back, in part or in full. It does not contradict the success.
	Reversed *provider.Reversed
	// Ours is set when the transfer was found and the answer tells that it is ours, in its amount too.
	Ours bool
	// Affirmed is set when the answer says that what is booked as paid was paid.
	Affirmed bool
	// Exact is set when the answer tells the amount that was asked for, to the unit, of what is booked as paid: nothing moved beyond it, or short of it.
	Exact bool
	// Returned is the answer which says that a transfer booked as paid has come back.
	Returned *provider.Result
	// TakenBack is set when the answer says that a transfer, booked as not paid, was paid and has come back.
	TakenBack bool
	// Alarm is set when people must look.
	Alarm string
}

// denied reports whether the answer proves once more that the provider knows nothing of the attempt.
func (d Decision) denied() bool { return d.Answered && d.AbsentReads >= absentReadsToProve }

// Unmoved reports whether a contradiction is about the particulars of something that has failed on both sides: nothing of it can pay twice.
func (d Decision) Unmoved() bool { return refused(d.Ended) }

// Undone reports whether nothing has moved by the answer, or all of it has come back, of what was booked as moved or is in suspense.
func (d Decision) Undone() bool {
	return d.TakenBack || d.Returned != nil || d.Mismatch == MismatchNotPaid
}

// Codes of decisions.
const (
	CodeReviewAfter    = "review_after"
	CodeNotResendable  = "not_resendable"
	CodeNeverCreated   = "proven_never_created"
	CodeNoLongerKnown  = "no_longer_known"
	CodeAmountDiffers  = "amount_differs"
	CodePayeeDiffers   = "destination_differs"
	CodeNotTold        = "not_told"       // which amount, or to whom
	CodeRefusedBefore  = "refused_before" // its reference, and has gone again since
	CodeLeaseExpired   = "lease_expired"
	MismatchPaid       = "paid_after_closed"
	MismatchNotPaid    = "failed_after_success"
	MismatchNotDenied  = "failed_after_success_undone" // and it turned out to have come back, which is booked by itself
	MismatchPaidAgain  = "paid_after_return"           // what was said to have come back
	MismatchPending    = "pending_after_closed"
	MismatchAbsent     = "absent_after_success"
	MismatchReturned   = "returned_after_closed" // what was paid after it was closed has come back
	MismatchAmount     = "another_amount"        // what it says that it moved is another amount than the books have, by this much
	MismatchUndone     = "another_amount_undone" // and nothing of it has moved, or all of it has come back
	absentReadsToProve = 2
)

// Decide says what an answer makes of an attempt. It is the only place where "we do not know" becomes anything else, and
// it never turns silence, age or a single empty answer into "did not happen".
func Decide(a Attempt, ans Answer, p Policy, now time.Time) Decision {
	d := decide(a, ans, p, now)
	if d.Mismatch != "" || d.Undone() || d.Exact || d.Affirmed {
		d.Said = said(ans.Found)
	}
	return d
}

func decide(a Attempt, ans Answer, p Policy, now time.Time) Decision {
	if a.State.Closed() {
		return recheck(a, ans, p, now)
	}
	d := stay(a, p, now)
	if ans.Err == nil && untold(a, ans.Found) {
		return unclear(a, d, ans.Found.Result)
	}
	switch {
	case ans.Err != nil || (ans.Found.Exists && undecided(ans.Found.Result.Class)):
		return review(a, d, p, now)
	case !ans.Found.Exists:
		return absent(a, d, p, now)
	}
	d.Answered, d.Accepted, d.AbsentReads, d.FirstAbsent = true, true, 0, nil
	d.Alarm = ans.Found.Result.Alarm
	if code := differs(a, ans.Found); code != "" {
		return foreign(a, d, ans.Found, code)
	}
	d.Ours = ans.Found.Amount != nil
	switch ans.Found.Result.Class {
	case provider.Succeeded:
		d.State, d.Result, d.NextLookup, d.Reversed = Succeeded, ans.Found.Result, nil, ans.Found.Reversed
	case provider.RejectedFinal, provider.RejectedRetryable:
		if twice(a, ans.Found) {
			return refusedBefore(a, d, ans.Found.Result)
		}
		d.State, d.Result, d.NextLookup = Failed, ans.Found.Result, nil
	default: // accepted: the provider has it and has not finished
		if a.State == Unknown {
			d.State, d.Result = Processing, ans.Found.Result
		}
		return review(a, d, p, now)
	}
	return d
}

// said is what a provider says of a transfer, in the words of findings; its amount too when that may be what differs.
func said(f provider.Found) string {
	word := "pending"
	switch {
	case !f.Exists:
		return "absent"
	case f.Result.Class == provider.Succeeded:
		word = "succeeded"
	case f.Result.Class == provider.RejectedFinal || f.Result.Class == provider.RejectedRetryable:
		word = "failed"
	}
	if f.Amount != nil {
		word += " " + f.Amount.Decimal() + " " + string(f.Amount.Currency)
	}
	return word
}

// undecided classes are no statement about a transfer that was found: an adapter that returns one has not understood.
func undecided(c provider.Class) bool {
	return c == provider.Ambiguous || c == provider.NotSent || c == ""
}

// stay is the decision to change nothing and to ask again by the schedule.
func stay(a Attempt, p Policy, now time.Time) Decision {
	next := p.NextLookup(a.askedSince(), now)
	return Decision{
		State: a.State, Result: present(a), NextLookup: &next,
		AbsentReads: a.AbsentReads, FirstAbsent: a.FirstAbsentAt,
	}
}

func present(a Attempt) provider.Result {
	return provider.Result{Class: provider.Class(a.Class), Scope: provider.Scope(a.Scope), Code: a.Code, ProviderCode: a.ProviderCode}
}

// review opens the manual review of what has been open for too long. Lookups go on.
func review(a Attempt, d Decision, p Policy, now time.Time) Decision {
	if d.State == ManualReview || a.OpenedAt == nil || now.Sub(*a.OpenedAt) < p.ReviewAfter {
		return d
	}
	return overdue(d)
}

// overdue gives to people what was sent too long ago.
func overdue(d Decision) Decision {
	d.State, d.Result = ManualReview, withCode(d.Result, CodeReviewAfter)
	d.Alarm = join(d.Alarm, "open for longer than review_after")
	return d
}

// askedSince is when the schedule of its lookups begins: with its newest send, or when it came in doubt once more. By then the schedule of the
// send is over, and one lookup that is not answered would leave it alone for a day.
func (a Attempt) askedSince() time.Time {
	if a.DoubtedAt != nil {
		return *a.DoubtedAt
	}
	return a.SubmittedAt
}

// sentSince is when it may have arrived first. A send whose process died is in doubt only once somebody has taken it over, be it a day later.
func (a Attempt) sentSince() time.Time {
	if a.OpenedAt != nil && a.OpenedAt.Before(a.SubmittedAt) {
		return *a.OpenedAt
	}
	return a.SubmittedAt
}

// absent handles "no such transfer".
func absent(a Attempt, d Decision, p Policy, now time.Time) Decision {
	d.Answered = true
	counts := p.AbsentCounts(a.SubmittedAt)
	if now.Before(counts) {
		d.NextLookup = sooner(d.NextLookup, counts)
		return review(a, d, p, now)
	}
	d.Absent = true
	var next time.Time
	if d.AbsentReads, d.FirstAbsent, next = absentRead(a, p, now); next.After(now) {
		d.NextLookup = sooner(d.NextLookup, next)
	}
	if a.State == Processing {
		d.State, d.Result = Unknown, provider.Result{Class: provider.Ambiguous, Code: CodeNoLongerKnown}
		d.Alarm = join(d.Alarm, "the provider no longer knows a transfer that it had accepted")
		return d
	}
	if a.State != Unknown || d.AbsentReads < absentReadsToProve {
		return review(a, d, p, now)
	}
	// Proven absent now. What the provider had accepted was created, whatever it says today; and where a repeated
	// reference may be paid twice, sending it again is for people to decide.
	// A provider may have forgotten the key of what it was slow with, and what was sent again and never arrives will not arrive by being
	// sent on and on.
	age := now.Sub(a.sentSince())
	switch {
	case a.Accepted || !p.Deduplicates || age >= p.resends() && age < p.ReviewAfter:
		d.State, d.Result = ManualReview, provider.Result{Class: provider.Ambiguous, Code: CodeNotResendable}
		d.Alarm = join(d.Alarm, "not found at the provider, and not to be sent again by itself")
		return d
	case age >= p.ReviewAfter:
		return overdue(d)
	}
	d.State, d.Result, d.NextLookup = NotSent, provider.Result{Class: provider.NotSent, Code: CodeNeverCreated}, nil
	return d
}

// foreign handles a transfer that carries our reference and is not ours in amount or payee: nothing is concluded from it. How it ended is
// said to people: of one that failed nothing has moved, whosever it was.
func foreign(a Attempt, d Decision, f provider.Found, code string) Decision {
	r := f.Result
	d.Mismatch, d.Ended = code, r.Class
	d.Amount = f.Amount
	d.Alarm = join(d.Alarm, "the provider's transfer differs from ours: "+code)
	d.State, d.Result = ManualReview, provider.Result{Class: provider.Ambiguous, Code: code, ProviderCode: r.ProviderCode}
	if a.State == ManualReview {
		d.Result = present(a)
	}
	return d
}

// unclear handles a transfer that carries a reference of ours, which we do not know to have sent, and of which the provider does not tell what
// there is to compare: whether it is ours is for people, however it ended. When a later answer tells, that one counts.
func unclear(a Attempt, d Decision, r provider.Result) Decision {
	d.Answered, d.Accepted, d.AbsentReads, d.FirstAbsent = true, true, 0, nil
	d.Ended = r.Class
	d.Alarm = join(r.Alarm, "the provider has it from before a restore, and does not tell its amount, or whom it paid")
	if a.State != ManualReview {
		d.State, d.Result = ManualReview, provider.Result{Class: provider.Ambiguous, Code: CodeNotTold}
	}
	return d
}

// twice reports whether a refusal that was found may be that of an earlier send under the reference: what is [Attempt.Spent] goes again under
// it, and a provider that does not hold a reference to be one transfer may show either. Of what was lost in a restore nobody knows how often it
// went. The provider's own id tells them apart; and what has come back was paid, and not refused.
func twice(a Attempt, f provider.Found) bool {
	spent := a.Behind >= Traceless && a.Sends > 1
	lost := a.MustTell == MustTellPayee && a.Number > Traceless
	return (spent || lost) && f.Result.Code != provider.CodeReversed && (a.ProviderID == "" || f.Result.ProviderID != a.ProviderID)
}

// refusedBefore handles a refusal that may be an older one: what was sent last may have been paid beside it, so that nothing follows from it. People
// may go by it.
func refusedBefore(a Attempt, d Decision, r provider.Result) Decision {
	d.Ended = r.Class
	d.Alarm = join(r.Alarm, "the provider shows a refusal of a reference that went more than once")
	if a.State != ManualReview {
		d.State, d.Result = ManualReview, provider.Result{Class: provider.Ambiguous, Code: CodeRefusedBefore, ProviderCode: r.ProviderCode}
	}
	return d
}

// untold reports whether something is missing that there is to compare. What is told and differs says enough.
func untold(a Attempt, f provider.Found) bool {
	missing := a.MustTell != "" && f.Amount == nil || a.MustTell == MustTellPayee && digits(f.Destination) == ""
	return f.Exists && missing && differs(a, f) == ""
}

// absentRead counts a read that found nothing, late enough to count; next is from when on another would be a second one.
func absentRead(a Attempt, p Policy, now time.Time) (reads int, first *time.Time, next time.Time) {
	if a.AbsentReads == 0 || a.FirstAbsentAt == nil {
		return 1, &now, now.Add(p.absentGap())
	}
	next = a.FirstAbsentAt.Add(p.absentGap())
	if now.Before(next) { // too close to the first to be a second read
		return a.AbsentReads, a.FirstAbsentAt, next
	}
	return a.AbsentReads + 1, a.FirstAbsentAt, next
}

// differs compares what the provider tells of a transfer with what we asked for.
func differs(a Attempt, f provider.Found) string {
	if f.Amount != nil && *f.Amount != a.Amount {
		return CodeAmountDiffers
	}
	if f.Destination != "" && !samePayee(a.Destination, f.Destination) {
		return CodePayeeDiffers
	}
	return ""
}

// samePayee compares telephone numbers by their last eight digits: one side has a country code, the other may not, and
// may mask all but the end. With fewer digits than that, what is there must match.
func samePayee(ours, theirs string) bool {
	a, b := digits(ours), digits(theirs)
	n := min(len(a), len(b), 8)
	return a[len(a)-n:] == b[len(b)-n:]
}

// digits are the digits after the last sign that hides some.
func digits(s string) string {
	if i := strings.LastIndexAny(s, "*xX•"); i >= 0 {
		s = s[i:]
	}
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

func sooner(a *time.Time, b time.Time) *time.Time {
	if a != nil && a.Before(b) {
		return a
	}
	return &b
}

func withCode(r provider.Result, code string) provider.Result {
	r.Code = code
	return r
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return fmt.Sprintf("%s; %s", a, b)
}
