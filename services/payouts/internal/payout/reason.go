package payout

// Codes of reasons that Agogo itself gives; those of a provider's answer come from its adapter.
const (
	CodeBelowMinimum     = "below_minimum"        // skipped: carried over to the next payout
	CodeNoWallet         = "no_wallet"            // skipped: the payee has no phone number
	CodeTenantStop       = "tenant_stop"          // held: the tenant's outflow is stopped
	CodeProviderStopped  = "provider_stopped"     // held: a fault that repeating makes worse
	CodeFloat            = "insufficient_float"   // held: the provider has refused for want of float, or its balance does not cover it
	CodePayeePaused      = "payee_paused"         // held: too many failures in a row, or by a person
	CodeBatchPaused      = "batch_paused"         // called off: its batch is paused, and it stays approved behind that
	CodeLateReturn       = "late_return"          // reversed: the provider has taken back what it had paid
	CodeFailureRate      = "failure_rate"         // of a batch's pause: more of it failed than the tenant allows
	CodeMaxPerPayout     = "max_per_payout"       // held: one payment above the limit cannot be split
	CodeDailyCap         = "daily_cap"            // held: the tenant's day is used up
	CodePayeeDailyCap    = "payee_daily_cap"      // held: the payee's day is used up
	CodeByPerson         = "by_person"            // held or cancelled by a person
	CodeDestination      = "destination_changed"  // held: the payee's wallet is not the one it was planned for, or not confirmed, or cooling off
	CodeUnverified       = "recipient_unverified" // held: the provider has not said yet that the wallet is the payee's
	CodeMismatch         = "recipient_mismatch"   // held: the provider says that it is not, or that it takes nothing
	CodeRestored         = "restored"             // held: EVENTS shows another payout of the payee from before a restore that is not known here
	CodeRefusedOften     = "refused_often"        // held: the provider has refused it, for its float or itself, as often in a row as it may have left no trace
	CodeContradicted     = "contradicted"         // held: the provider says of a closed attempt that it was paid
	CodeRepeatedFailures = "repeated_failures"    // of a payee's pause: too many refusals in a row
	CodeRetry            = "retry"                // approved again after a failure
	CodeCauseGone        = "cause_gone"           // released: what held it is over
	CodeAboveTier        = "above_tier"           // awaiting_approval, or held on the way there: its sum reaches an approval tier
	CodeApproved         = "approved"             // approved by as many people as its tier asks for
	CodeRejected         = "rejected"             // rejected by an approver, or cancelled with its batch
	CodeRunCancelled     = "run_cancelled"        // cancelled, or held on the way there: a person has cancelled its run
	CodeDenialLapsed     = "denial_lapsed"        // unknown again: its provider denied it too long ago for the same reference to go again
	CodeRunRetried       = "run_retried"          // of a batch: its failed run is planned further
	CodeApprovalExpired  = "approval_expired"     // held: nobody answered in time; asked again by releasing it
	CodeBatchApproval    = "batch_approval"       // called off: its batch waits for approval, and it stays approved behind that
)

// Codes of what a payout waits for that nothing holds, beside those above of what stands before its batch, its tenant or its provider.
const (
	WaitsForRetry    = "retry_later"         // it is tried again at a time
	WaitsForProvider = "provider_resting"    // its provider has asked for a rest, or faults in a row have brought it about
	WaitsForRestore  = "asked_since_restore" // whether it was sent before that
	WaitsForLookup   = "asked_about"         // what became of an attempt of it
)

// Scopes of Agogo's own reasons, in the words of provider results.
const (
	ScopePayment  = "payment"
	ScopePayee    = "payee"
	ScopeFloat    = "float"
	ScopeProvider = "provider"
	ScopeTenant   = "tenant"
	ScopeBatch    = "batch"
)

// NeedsPerson lists the codes of what is held until a person says otherwise: no cause of them goes away by itself.
func NeedsPerson() []string {
	return []string{CodeByPerson, CodeRestored, CodeContradicted, CodeApprovalExpired, CodeRefusedOften}
}

// HeldBy makes the reason of a payout that Agogo itself holds.
func HeldBy(code string) Reason {
	r := Reason{Code: code}
	switch code {
	case CodeFloat:
		r.Scope = ScopeFloat
	case CodeTenantStop, CodeDailyCap:
		r.Scope = ScopeTenant
	case CodeProviderStopped:
		r.Scope = ScopeProvider
	case CodePayeePaused, CodePayeeDailyCap, CodeDestination, CodeRestored, CodeUnverified, CodeMismatch:
		r.Scope = ScopePayee
	case CodeBatchPaused, CodeBatchApproval, CodeRunCancelled:
		r.Scope = ScopeBatch
	case CodeMaxPerPayout, CodeAboveTier, CodeApprovalExpired, CodeRejected, CodeByPerson, CodeContradicted:
		r.Scope = ScopePayment
	}
	return r
}
