package outcome

import (
	"time"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// defaultMaxAttempts is how many attempts count when a tenant's rules do not say.
const defaultMaxAttempts = 3

// providerPause is how long a payout rests that was refused because of us rather than because of itself.
const providerPause = time.Minute

// change is what an attempt's new state makes of its payout.
func (o *Outcomes) change(p payout.Payout, m attempt.Moved) store.Change {
	r := m.Result
	c := store.Change{
		PayoutID: p.ID, From: []payout.State{p.State},
		Reason: payout.Reason{Class: string(r.Class), Scope: string(r.Scope), Code: r.Code, ProviderCode: r.ProviderCode},
	}
	switch {
	case m.Attempt.State == attempt.NotSent:
		c.To, c.RetryAt = payout.Approved, m.NotBefore
	case m.Attempt.State == attempt.Failed && m.Again:
		c.To, c.Counted = payout.Approved, 1
	case m.Attempt.State == attempt.Failed:
		o.failed(&c, p, m)
	default: // the same word on both sides
		c.To, c.Fee, c.Counted = payout.State(m.Attempt.State), m.Attempt.Fee, m.Earlier
	}
	return c
}

// failed decides how a definite rejection goes on. One that concerns the float or the provider says nothing about the
// payment: it is not counted, and a payout that was just being sent waits in held for the cause to go. What a lookup finds
// refused so is counted: the provider had taken it before, and may take and refuse it without end. Where it is for want of float the
// connector rests as well (see [Book.Decided]), so that no attempt is spent before there may be some.
func (o *Outcomes) failed(c *store.Change, p payout.Payout, m attempt.Moved) {
	now, r := o.Clock.Now(), m.Result
	ours := r.Scope == provider.ScopeFloat || r.Scope == provider.ScopeProvider
	c.To = payout.Failed
	switch {
	case ours && p.State == payout.Submitting && m.Attempt.Spent():
		// It goes again under the same reference. There are providers that remember a refusal with the reference and would repeat it for ever,
		// and a refusal for want of float holds the whole queue: that is for people to try.
		c.To, c.Reason.Code = payout.Held, payout.CodeRefusedOften
	case ours && p.State == payout.Submitting:
		c.To = payout.Held
		if r.Scope == provider.ScopeProvider && !r.Stop {
			at := now.Add(providerPause)
			c.RetryAt = &at
		}
	case (ours || r.Class == provider.RejectedRetryable) && p.Counted+1 < o.maxAttempts(p.Tenant) && o.retryAfter(p, p.Counted) > 0:
		at := now.Add(o.retryAfter(p, p.Counted))
		c.Counted, c.RetryAt = 1, &at
	default: // for good: its items are free for another payout
		c.Counted = 1
	}
}

func (o *Outcomes) maxAttempts(tenant string) int {
	if t, ok := o.Tenants.Tenant(tenant); ok && t.Payouts != nil && t.Payouts.MaxAttempts > 0 {
		return t.Payouts.MaxAttempts
	}
	return defaultMaxAttempts
}

// retryAfter is the pause after so many attempts that counted; the last one repeats. 0: the tenants file wants no retry by
// itself. A provider that is gone from the file is no reason to give a payout up.
func (o *Outcomes) retryAfter(p payout.Payout, counted int) time.Duration {
	c, ok := o.Connectors.Get(p.Tenant, p.Provider)
	if !ok {
		return providerPause
	}
	if len(c.RetryAfter) == 0 {
		return 0
	}
	return c.RetryAfter[min(counted, len(c.RetryAfter)-1)]
}
