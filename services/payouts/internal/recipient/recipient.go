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

// A no is asked about again each day for a month: limits begin anew, and payees have their names corrected. After that a person, another
// name or another wallet begins anew.
const (
	again    = 24 * time.Hour
	givingUp = 30 * 24 * time.Hour
)

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
	state, code := judge(q.Rule, r)
	if state != q.State {
		q.Since = now
	}
	q.State, q.Code, q.CheckedAt, q.Unanswered, q.NextAt = state, code, &now, 0, nil
	if next := now.Add(again); payout.RecipientCode(state) != "" && next.Sub(q.Since) < givingUp {
		q.NextAt = &next
	}
	return q
}

// silent is a wallet after a question without an answer, which says nothing about it.
func silent(q db.ClaimRow, after []time.Duration, now time.Time) db.ClaimRow {
	next := now.Add(after[min(int(q.Unanswered), len(after)-1)])
	q.NextAt = &next
	q.Unanswered++
	return q
}
