package recipient

import (
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

// A no is asked about again daily, for a month; a yes never; silence by the schedule of lookups, to its end.
func TestWhenAWalletIsAskedAboutAgain(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)
	no, yes := provider.Recipient{Code: "payee_inactive"}, provider.Recipient{Receives: true, Name: provider.NameMatches}
	q := db.ClaimRow{Rule: config.VerifyMatch, State: "unverified", Since: now.Add(-time.Hour), Unanswered: 4, NextAt: &now}
	if got := answered(q, yes, now); got.NextAt != nil || got.Unanswered != 0 || !got.Since.Equal(now) {
		t.Errorf("after a yes: %+v", got)
	}
	asked, at := 0, now
	for q = answered(q, no, at); q.NextAt != nil; q = answered(q, no, at) {
		if gap := q.NextAt.Sub(at); gap != 24*time.Hour {
			t.Fatalf("asked again after %s", gap)
		}
		at = *q.NextAt
		if asked++; asked > 100 {
			t.Fatal("asked without end")
		}
	}
	if asked != 29 || !q.Since.Equal(now) {
		t.Errorf("asked %d times more, refused since %s", asked, q.Since)
	}
	after := []time.Duration{time.Second, time.Minute}
	for i, want := range []time.Duration{time.Second, time.Minute, time.Minute} {
		if q = silent(q, after, now); q.NextAt.Sub(now) != want || int(q.Unanswered) != i+1 {
			t.Errorf("silence %d: again after %s, %d", i+1, q.NextAt.Sub(now), q.Unanswered)
		}
	}
}
