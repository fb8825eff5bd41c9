package attempt

import (
	"errors"
	"time"

	"github.com/agogopay/agogo/internal/provider"
)

// recheck compares an answer with what is closed. It never changes the state.
func recheck(a Attempt, ans Answer, p Policy, now time.Time) Decision {
	d := Decision{State: a.State, Result: present(a), AbsentReads: a.AbsentReads, FirstAbsent: a.FirstAbsentAt}
	ask := func() Decision {
		next := now.Add(p.LookupAfter[min(a.Lookups, len(p.LookupAfter)-1)])
		d.NextLookup = &next
		return d
	}
	if errors.Is(ans.Err, provider.ErrForgotten) { // nobody will ever answer, and what waits for an answer would wait for ever
		d.Alarm = "something spoke of a transfer that is closed here, and " + provider.ErrForgotten.Error()
		return d
	}
	if ans.Err != nil || (ans.Found.Exists && undecided(ans.Found.Result.Class)) {
		return ask()
	}
	d.Answered = true
	if !ans.Found.Exists {
		return recheckAbsent(a, d, p, now)
	}
	d.AbsentReads, d.FirstAbsent = 0, nil
	if code := differs(a, ans.Found); code != "" {
		return recheckForeign(a, d, ans.Found, code, p, now)
	}
	d.Ours = ans.Found.Amount != nil
	if a.State == Succeeded {
		d.Reversed = ans.Found.Reversed
		d.Exact = d.Ours && (ans.Found.Result.Class == provider.Succeeded || d.Reversed != nil)
	}
	switch ans.Found.Result.Class {
	case provider.Succeeded:
		d.Alarm = ans.Found.Result.Alarm // a success that is disputed since, in words that nobody reads, for instance
		if a.State != Succeeded {
			d.Mismatch, d.Moved, d.Alarm = MismatchPaid, 1, "the provider paid what is booked as not paid"
		} else if d.Reversed == nil {
			d.Affirmed = true
			return askedBack(a, d, p, now)
		}
	case provider.RejectedFinal, provider.RejectedRetryable:
		return recheckRefused(a, d, ans.Found)
	default:
		d.Mismatch, d.Alarm = MismatchPending, "the provider still works on what is closed here"
		return ask()
	}
	return d
}

// recheckRefused handles a refusal of what is closed.
func recheckRefused(a Attempt, d Decision, f provider.Found) Decision {
	r := f.Result
	switch {
	case a.State != Succeeded:
		d.TakenBack = wholly(a, f)
	case d.Reversed != nil:
	case twice(a, f): // what it had said of the newest send itself counts
		d.Alarm = "the provider shows a refusal of a reference that went more than once, and had said that it paid it"
	case r.Code == provider.CodeReversed:
		d.Mismatch, d.Moved, d.Returned, d.Alarm = MismatchNotPaid, -1, &r, "the provider has taken back what it had paid"
	default:
		d.Mismatch, d.Moved, d.Alarm = MismatchNotPaid, -1, "the provider denies what is booked as paid"
	}
	return d
}

// recheckForeign handles a transfer that carries the reference of what is closed and is not ours in amount or payee. That it is another one
// changes nothing about what follows from how it ended, but how much of what moved is in no book.
func recheckForeign(a Attempt, d Decision, f provider.Found, code string, p Policy, now time.Time) Decision {
	r := f.Result
	if refused(r.Class) && a.State == Succeeded {
		d.Reversed = f.Reversed
		return recheckRefused(a, d, f)
	}
	d.Mismatch, d.Ended, d.Amount, d.Alarm = code, r.Class, f.Amount, "the provider's transfer differs from ours: "+code
	switch {
	case refused(r.Class):
		if wholly(a, f) { // it was paid once, and what that put into suspense leaves it
			d.Mismatch, d.TakenBack = "", true
		}
		return d
	case r.Class != provider.Succeeded:
		next := now.Add(p.LookupAfter[min(a.Lookups, len(p.LookupAfter)-1)])
		d.Mismatch, d.NextLookup = MismatchPending, &next
		return d
	}
	ours := f.Amount == nil || f.Amount.Currency == a.Amount.Currency // nobody can tell what of ours other money was
	if ours && f.Amount != nil {
		d.Beyond = f.Amount.Minor - a.Amount.Minor
	}
	if a.State == Succeeded {
		if ours {
			d.Reversed = f.Reversed
		}
		d.Affirmed = d.Reversed == nil
		return askedBack(a, d, p, now)
	}
	d.Mismatch, d.Alarm = MismatchPaid, join("the provider paid what is booked as not paid", d.Alarm)
	if ours {
		d.Moved = 1
	}
	return d
}

// refused reports whether nothing has moved by an answer.
func refused(c provider.Class) bool {
	return c == provider.RejectedFinal || c == provider.RejectedRetryable
}

// askedBack goes on asking about what the provider was asked to give back and says is paid: a reversal takes its time, and its answer may
// have been lost. After review_after it is for people to find out.
func askedBack(a Attempt, d Decision, p Policy, now time.Time) Decision {
	switch {
	case a.TakeBackAt == nil:
	case now.Sub(*a.TakeBackAt) < p.ReviewAfter:
		next := p.NextLookup(*a.TakeBackAt, now)
		d.NextLookup = &next
	default:
		d.Alarm = join(d.Alarm, "the provider was asked to give it back, and says that it is paid still")
	}
	return d
}

// wholly reports whether a transfer was paid and has come back, all of it, over whatever amount.
func wholly(a Attempt, f provider.Found) bool {
	back, whole := f.Reversed, a.Amount
	if f.Amount != nil {
		whole = *f.Amount
	}
	return f.Result.Code == provider.CodeReversed || back != nil && back.Refunded.Currency == whole.Currency && back.Refunded.Minor >= whole.Minor
}

// recheckAbsent handles "no such transfer" about what is closed. Something had it asked about, a webhook mostly, and the
// provider's lookup may lag behind its own webhooks: the question stays open until absence counts and is proven.
func recheckAbsent(a Attempt, d Decision, p Policy, now time.Time) Decision {
	next := p.AbsentCounts(a.SubmittedAt)
	if now.Before(next) {
		d.NextLookup = &next
		return d
	}
	if d.AbsentReads, d.FirstAbsent, next = absentRead(a, p, now); d.AbsentReads < absentReadsToProve {
		d.NextLookup = &next
		return d
	}
	if a.State == Succeeded {
		d.Mismatch, d.Alarm = MismatchAbsent, "the provider does not know a transfer that is booked as paid"
	}
	return d
}

// News reports whether what a webhook says of an attempt goes beyond what is proven of it, so that the provider has to be
// asked. Only the exact repetition of a proven success is none: the same transfer of the provider, with the same amount to
// the same payee. Nothing is sent after a success, so nothing waits for such a read either.
func News(a Attempt, said provider.Found) bool {
	repeated := a.State == Succeeded && a.NextLookupAt == nil && said.Exists && said.Result.Class == provider.Succeeded &&
		said.Result.Alarm == "" && said.Amount != nil && said.Destination != "" && said.Result.ProviderID == a.ProviderID
	return !repeated || differs(a, said) != ""
}
