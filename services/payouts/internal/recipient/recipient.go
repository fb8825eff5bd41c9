// Package recipient asks providers about wallets before anything is paid into them: whether they take it, and whose they are. What it
// finds is a row; the sweeper releases, in order, what was held for it, and says of the rest why it stays.
package recipient

import (
	"time"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/recipient/db"
)

// The codes of names that do not agree; those of wallets that take nothing come from the adapters.
const (
	codeNameDiffers = "name_differs"
	codeNamePartly  = "name_partly"
	codeNameUnknown = "name_unknown" // the provider tells none, or the payee has none: the rule "wallet" is for that
	codeRefused     = "wallet_refused"
)

// A no is asked about again each day for a month, because limits begin anew and payees have their names corrected; then each week for half a
// year, then each month: somebody may still wait for the money. A person, another name or another wallet begins anew, at once.
const (
	daily, daysOf  = 24 * time.Hour, 30
	weekly, weekOf = 7 * daily, daysOf + 22
	monthly        = 30 * daily
)

// again is how long after so many noes in a row a wallet is asked about again.
func again(noes int32) time.Duration {
	switch {
	case noes < daysOf:
		return daily
	case noes < weekOf:
		return weekly
	default:
		return monthly
	}
}

// judge says what a provider's answer makes of a wallet under a rule of the tenants file.
func judge(rule string, r provider.Recipient) (state, code string) {
	switch {
	case !r.Receives && r.Code == "":
		return payout.RecipientRefused, codeRefused
	case !r.Receives:
		return payout.RecipientRefused, r.Code
	case rule == config.VerifyWallet, r.Name == provider.NameMatches, r.Name == provider.NamePartly && rule == config.VerifyPartial:
		return payout.RecipientVerified, ""
	case r.Name == provider.NamePartly:
		return payout.RecipientMismatch, codeNamePartly
	case r.Name == provider.NameDiffers:
		return payout.RecipientMismatch, codeNameDiffers
	default:
		return payout.RecipientMismatch, codeNameUnknown
	}
}

// answered is a wallet after an answer.
func answered(q db.ClaimRow, r provider.Recipient, now time.Time) db.ClaimRow {
	q.CheckedAt, q.Unanswered, q.NextAt = &now, 0, nil
	state, code := judge(q.Rule, r)
	if larger(q) && state == payout.RecipientRefused && r.OfAmount {
		no := code
		r.Receives = true // what it takes it takes, if it is still theirs
		if state, code = judge(q.Rule, r); state == payout.RecipientVerified {
			return limited(q, no, now)
		}
	}
	if state == payout.RecipientVerified {
		return verified(q, r, now)
	}
	if state != q.State {
		q.Since, q.Noes = now, 0
	}
	q.State, q.Code, q.Covers, q.Refuses = state, code, nil, nil
	return refused(q, now)
}

// larger reports whether a question is about more than what the provider has said yes to.
func larger(q db.ClaimRow) bool {
	return q.State == payout.RecipientVerified && q.Covers != nil && q.Amount > *q.Covers
}

// refused is a wallet after one more no.
func refused(q db.ClaimRow, now time.Time) db.ClaimRow {
	q.Noes++
	next := now.Add(again(q.Noes))
	q.NextAt = &next
	return q
}

// limited is a verified wallet that does not take a larger amount: what is smaller goes on.
func limited(q db.ClaimRow, code string, now time.Time) db.ClaimRow {
	if q.Refuses == nil || *q.Refuses != q.Amount {
		q.Noes = 0
	}
	amount := q.Amount
	q.Code, q.Refuses = code, &amount
	return refused(q, now)
}

// verified is a wallet after a yes, which counts for the amount that was asked about, where the provider looks at that. What it has refused
// above that is still asked about by the same schedule.
func verified(q db.ClaimRow, r provider.Recipient, now time.Time) db.ClaimRow {
	amount := q.Amount
	if q.State != payout.RecipientVerified {
		q.Since, q.Covers, q.Refuses = now, nil, nil
	} else if q.Covers != nil {
		amount = max(amount, *q.Covers)
	}
	q.State, q.Covers = payout.RecipientVerified, &amount
	if !r.OfAmount {
		q.Covers = nil
	}
	if q.Covers != nil && q.Refuses != nil && *q.Refuses > amount {
		next := now.Add(again(q.Noes))
		q.NextAt = &next
		return q
	}
	q.Code, q.Refuses, q.Noes = "", nil, 0
	return q
}

// silent is a wallet after a question without an answer, which says nothing about it.
func silent(q db.ClaimRow, after []time.Duration, now time.Time) db.ClaimRow {
	next := now.Add(after[min(int(q.Unanswered), len(after)-1)])
	q.NextAt = &next
	q.Unanswered++
	return q
}
