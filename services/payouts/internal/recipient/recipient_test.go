package recipient

import (
	"fmt"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/recipient/db"
)

func TestWhatAnAnswerMakesOfAWallet(t *testing.T) {
	t.Parallel()
	yes := func(n provider.NameMatch) provider.Recipient { return provider.Recipient{Receives: true, Name: n} }
	for _, tt := range []struct {
		rule   string
		answer provider.Recipient
		want   string
	}{
		{config.VerifyMatch, yes(provider.NameMatches), "verified"},
		{config.VerifyMatch, yes(provider.NamePartly), "mismatch name_partly"},
		{config.VerifyMatch, yes(provider.NameDiffers), "mismatch name_differs"},
		{config.VerifyMatch, yes(provider.NameUnknown), "mismatch name_unknown"},
		{config.VerifyMatch, yes(""), "mismatch name_unknown"},
		{config.VerifyPartial, yes(provider.NameMatches), "verified"},
		{config.VerifyPartial, yes(provider.NamePartly), "verified"},
		{config.VerifyPartial, yes(provider.NameDiffers), "mismatch name_differs"},
		{config.VerifyPartial, yes(provider.NameUnknown), "mismatch name_unknown"},
		{config.VerifyWallet, yes(provider.NameUnknown), "verified"},
		{config.VerifyWallet, yes(provider.NameDiffers), "verified"},
		{config.VerifyWallet, provider.Recipient{Code: "payee_inactive", Name: provider.NameMatches}, "refused payee_inactive"},
		{config.VerifyMatch, provider.Recipient{Code: "limit_exceeded", Name: provider.NameMatches}, "refused limit_exceeded"},
		{config.VerifyMatch, provider.Recipient{Name: provider.NameMatches}, "refused wallet_refused"},
	} {
		state, code := judge(tt.rule, tt.answer)
		got := state
		if code != "" {
			got += " " + code
		}
		if got != tt.want {
			t.Errorf("%s, %+v: %s, want %s", tt.rule, tt.answer, got, tt.want)
		}
	}
}

// A no is asked about again daily for a month, weekly for half a year, monthly then, without end; a yes never; silence by the schedule of
// lookups, to its end.
func TestWhenAWalletIsAskedAboutAgain(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)
	no, yes := provider.Recipient{Code: "payee_inactive"}, provider.Recipient{Receives: true, Name: provider.NameMatches}
	q := db.ClaimRow{Rule: config.VerifyMatch, State: "unverified", Since: now.Add(-time.Hour), Unanswered: 4, NextAt: &now}
	if got := answered(q, yes, now); got.NextAt != nil || got.Unanswered != 0 || !got.Since.Equal(now) {
		t.Errorf("after a yes: %+v", got)
	}
	day, at := 24*time.Hour, now
	for n := 1; n <= 100; n++ {
		q = answered(q, no, at)
		want := day
		if n >= 52 {
			want = 30 * day
		} else if n >= 30 {
			want = 7 * day
		}
		if q.NextAt == nil || q.NextAt.Sub(at) != want {
			t.Fatalf("after no %d: next %v, want %s after %s", n, q.NextAt, want, at)
		}
		at = *q.NextAt
	}
	if !q.Since.Equal(now) {
		t.Errorf("refused since %s", q.Since)
	}
	if q = answered(q, provider.Recipient{Receives: true, Name: provider.NameDiffers}, at); q.NextAt.Sub(at) != day {
		t.Errorf("another kind of no begins anew: next after %s", q.NextAt.Sub(at))
	}
	after := []time.Duration{time.Second, time.Minute}
	for i, want := range []time.Duration{time.Second, time.Minute, time.Minute} {
		if q = silent(q, after, now); q.NextAt.Sub(now) != want || int(q.Unanswered) != i+1 {
			t.Errorf("silence %d: again after %s, %d", i+1, q.NextAt.Sub(now), q.Unanswered)
		}
	}
}

// A yes counts for the largest amount that was asked about, where the provider looks at amounts; a no to a larger one leaves it as it is,
// unless the wallet is somebody else's by now.
func TestWhatAnAnswerSaysOfAmounts(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)
	known := func(covers, refuses int64, noes int32) db.ClaimRow {
		q := db.ClaimRow{Rule: config.VerifyMatch, State: "verified", Covers: &covers, Noes: noes}
		if refuses > 0 {
			q.Refuses, q.Code = &refuses, "limit_exceeded"
		}
		return q
	}
	yes := provider.Recipient{Receives: true, Name: provider.NameMatches, OfAmount: true}
	no := provider.Recipient{Code: "limit_exceeded", Name: provider.NameMatches, OfAmount: true}
	other := provider.Recipient{Code: "limit_exceeded", Name: provider.NameDiffers, OfAmount: true}
	gone := provider.Recipient{Code: "payee_inactive", Name: provider.NameMatches}
	any := provider.Recipient{Receives: true, Name: provider.NameMatches}
	for name, tt := range map[string]struct {
		q      db.ClaimRow
		amount int64
		answer provider.Recipient
		want   string
	}{
		"the first yes":                     {db.ClaimRow{Rule: config.VerifyMatch, State: "unverified"}, 100, yes, "verified  100 0 0 0s"},
		"the first yes, to any amount":      {db.ClaimRow{Rule: config.VerifyMatch, State: "unverified"}, 100, any, "verified  0 0 0 0s"},
		"the first no":                      {db.ClaimRow{Rule: config.VerifyMatch, State: "unverified"}, 100, no, "refused limit_exceeded 0 0 1 24h0m0s"},
		"a yes to more":                     {known(100, 0, 0), 200, yes, "verified  200 0 0 0s"},
		"a yes to less takes nothing back":  {known(100, 0, 0), 50, yes, "verified  100 0 0 0s"},
		"a no to more":                      {known(100, 0, 0), 200, no, "verified limit_exceeded 100 200 1 24h0m0s"},
		"the same no":                       {known(100, 200, 29), 200, no, "verified limit_exceeded 100 200 30 168h0m0s"},
		"a no to less than the no":          {known(100, 200, 29), 150, no, "verified limit_exceeded 100 150 1 24h0m0s"},
		"a yes below the no":                {known(100, 200, 3), 150, yes, "verified limit_exceeded 150 200 3 24h0m0s"},
		"a yes to what was refused":         {known(100, 200, 3), 200, yes, "verified  200 0 0 0s"},
		"a yes to any amount after a no":    {known(100, 200, 3), 150, any, "verified  0 0 0 0s"},
		"a no to more, and another's name":  {known(100, 0, 0), 200, other, "mismatch name_differs 0 0 1 24h0m0s"},
		"a no to more, and to any amount":   {known(100, 0, 0), 200, gone, "refused payee_inactive 0 0 1 24h0m0s"},
		"a no to what was taken until then": {known(100, 200, 3), 100, no, "refused limit_exceeded 0 0 1 24h0m0s"},
	} {
		tt.q.Amount = tt.amount
		q := answered(tt.q, tt.answer, now)
		var next time.Duration
		if q.NextAt != nil {
			next = q.NextAt.Sub(now)
		}
		if got := fmt.Sprint(q.State, " ", q.Code, " ", orNone(q.Covers), " ", orNone(q.Refuses), " ", q.Noes, " ", next); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
