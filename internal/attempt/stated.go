package attempt

// PaidThere is the update for an attempt that is closed as not paid, and of which a statement says that it was: what a lookup that says
// so leads to.
func PaidThere(a Attempt) Update {
	return Update{Attempt: a, Decision: Decision{
		State: a.State, Mismatch: MismatchPaid, Moved: 1, Said: "succeeded " + a.Amount.Decimal() + " " + string(a.Amount.Currency),
	}}
}
