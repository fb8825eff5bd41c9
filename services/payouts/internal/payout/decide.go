package payout

// Facts are what planning knows when it decides about a payout.
type Facts struct {
	Net             int64
	Minimum         int64
	MaxPerPayout    int64 // 0: off
	ApprovalsNeeded int   // 0: nobody's
	Wallet          bool
	OutflowStopped  bool
	PayeePaused     bool
	FloatWanting    bool   // what is due at its provider already is not covered
	WalletRests     bool   // it replaced another one, and waits for a second person or for the cool-off
	Recipient       Reason // what is known of the wallet that holds it; none when nothing does
	ProviderStopped bool
	// Cap books the payout on the day's caps and returns the code of the one it would pass. It is asked last, only about
	// what would otherwise go out.
	Cap func() string
}

// rule is one line of the table below.
type rule struct {
	when   func(Facts) bool
	to     State
	reason Reason
}

// rules are what may be in the way of a planned payout; the first that holds decides. What is skipped frees its items and
// is planned anew with the next run, hence the order: whatever could be mended by then skips, before anything holds.
func rules(f Facts) []rule {
	return []rule{
		{func(f Facts) bool { return f.Net <= 0 || f.Net < f.Minimum }, Skipped, Reason{Scope: ScopePayment, Code: CodeBelowMinimum}},
		{func(f Facts) bool { return !f.Wallet }, Skipped, Reason{Scope: ScopePayee, Code: CodeNoWallet}},
		{func(f Facts) bool { return f.MaxPerPayout > 0 && f.Net > f.MaxPerPayout }, Held, HeldBy(CodeMaxPerPayout)},
		{func(f Facts) bool { return f.OutflowStopped }, Held, HeldBy(CodeTenantStop)},
		{func(f Facts) bool { return f.PayeePaused }, Held, HeldBy(CodePayeePaused)},
		{func(f Facts) bool { return f.WalletRests }, Held, HeldBy(CodeDestination)},
		{func(f Facts) bool { return f.Recipient != (Reason{}) }, Held, f.Recipient},
		{func(f Facts) bool { return f.FloatWanting }, Held, HeldBy(CodeFloat)},
		{func(f Facts) bool { return f.ProviderStopped }, Held, HeldBy(CodeProviderStopped)},
	}
}

// Decide says what becomes of a created payout: skipped, held, awaiting_approval or approved.
func Decide(f Facts) (State, Reason) {
	for _, r := range rules(f) {
		if r.when(f) {
			return r.to, r.reason
		}
	}
	if f.Cap != nil {
		if code := f.Cap(); code != "" {
			return Held, HeldBy(code)
		}
	}
	if f.ApprovalsNeeded > 0 {
		return AwaitingApproval, Reason{Scope: ScopePayment, Code: CodeAboveTier}
	}
	return Approved, Reason{}
}
