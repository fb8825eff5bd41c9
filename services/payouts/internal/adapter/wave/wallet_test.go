package wave

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/simulator"
)

func TestBalanceFollowsPayoutsAndFees(t *testing.T) {
	t.Parallel()
	float := int64(100_000)
	r := newRig(t, simulator.WaveConfig{Float: &float, Failures: "http"})
	balance := func(want int64) {
		t.Helper()
		if got, err := r.Balance(t.Context()); err != nil || got != xof(want) {
			t.Errorf("balance %v, %v, want %d", got, err, want)
		}
	}
	balance(100_000)
	id := r.Submit(t.Context(), transfer("ref-1", 24000)).ProviderID
	balance(100_000 - 24_240)
	if res := r.Submit(t.Context(), transfer("ref-2", 75_760)); res.Scope != provider.ScopeFloat {
		t.Errorf("an amount that fits and a fee that does not: %+v", res)
	}
	if res := r.Reverse(t.Context(), transfer("ref-1", 24000), id); res.Class != provider.Succeeded {
		t.Errorf("reverse: %+v", res)
	}
	balance(100_000)
	for _, fault := range []simulator.Fault{simulator.ServerErrorBefore, simulator.ResetBefore, simulator.Garbage, simulator.TooMany, simulator.NotSubscribed} {
		plan(t, r.sim, simulator.Rule{Provider: simulator.Wave, Operation: "balance", Fault: fault})
		if got, err := r.Balance(t.Context()); err == nil {
			t.Errorf("%s was read as a balance of %v", fault, got)
		}
	}
	plan(t, r.sim, simulator.Rule{Provider: simulator.Wave, Operation: "balance", Fault: simulator.WrongShape})
	balance(100_000)
	for _, body := range []string{`{}`, `{"amount":"1","currency":"ABC"}`, `{"amount":"1.5","currency":"XOF"}`, `{"amount":"x","currency":"XOF"}`, `{"currency":"XOF"}`, `null`} {
		if got, err := answering(t, http.StatusOK, body).Balance(t.Context()); err == nil {
			t.Errorf("%s was read as a balance of %v", body, got)
		}
	}
	if got, err := answering(t, http.StatusOK, `{"amount":"-50","currency":"XOF"}`).Balance(t.Context()); err != nil || got != xof(-50) {
		t.Errorf("a negative balance: %v, %v", got, err)
	}
}

// A reversal is done once however often it is asked for, and a lookup tells of it.
func TestReverse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule  simulator.Rule
		first provider.Class
		code  string
		back  bool
	}{
		"at once":           {first: provider.Succeeded, back: true},
		"answer lost":       {rule: simulator.Rule{Fault: simulator.LostAnswer, Times: 1}, first: provider.Ambiguous, code: provider.CodeConnectionLost, back: true},
		"502 afterwards":    {rule: simulator.Rule{Fault: simulator.ServerErrorAfter, Times: 1}, first: provider.Ambiguous, code: provider.CodeServerError, back: true},
		"503 before":        {rule: simulator.Rule{Fault: simulator.ServerErrorBefore, Times: 1}, first: provider.Ambiguous, code: provider.CodeServerError, back: true},
		"slow down":         {rule: simulator.Rule{Fault: simulator.TooMany, Times: 1}, first: provider.NotSent, code: provider.CodeRateLimited, back: true},
		"spent":             {rule: simulator.Rule{Fault: simulator.Failed}, first: provider.RejectedRetryable, code: "payee_has_too_little"},
		"account closed":    {rule: simulator.Rule{Fault: simulator.Failed, Message: "payout-reversal-account-terminated"}, first: provider.RejectedFinal, code: "payee_gone"},
		"too late":          {rule: simulator.Rule{Fault: simulator.Failed, Message: "payout-reversal-time-limit-exceeded"}, first: provider.RejectedFinal, code: "reversal_too_late"},
		"a new reason":      {rule: simulator.Rule{Fault: simulator.Failed, Message: "not-on-sundays"}, first: provider.Ambiguous, code: provider.CodeUnrecognised},
		"access is refused": {rule: simulator.Rule{Fault: simulator.NotSubscribed}, first: provider.RejectedRetryable, code: "wallet_refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, simulator.WaveConfig{})
			tr := transfer("ref-1", 24000)
			id := r.Submit(t.Context(), tr).ProviderID
			c.rule.Provider, c.rule.Operation = simulator.Wave, "reverse"
			plan(t, r.sim, c.rule)
			if res := r.Reverse(t.Context(), tr, id); res.Class != c.first || res.Code != c.code || res.ProviderID != id {
				t.Fatalf("got %+v", res)
			}
			again := provider.Succeeded
			if !c.back {
				again = c.first
			}
			if res := r.Reverse(t.Context(), tr, id); res.Class != again {
				t.Errorf("again: %+v", res)
			}
			f, err := r.Lookup(t.Context(), tr)
			if err != nil || (f.Result.Code == "reversed") != c.back || (f.Result.Class == provider.Succeeded) == c.back {
				t.Errorf("lookup: %+v, %v", f, err)
			}
			if e := r.entry(t, "ref-1"); e.Reversed != c.back || e.Moved != 1 {
				t.Errorf("the book says %+v", e)
			}
		})
	}
	r := newRig(t, simulator.WaveConfig{})
	if res := r.Reverse(t.Context(), transfer("ref-1", 1), "pt-none"); res.Class != provider.RejectedFinal || res.Alarm == "" {
		t.Errorf("of nothing: %+v", res)
	}
	if res := answering(t, http.StatusAccepted, ``).Reverse(t.Context(), transfer("ref-1", 1), "pt-1"); res.Class != provider.Ambiguous {
		t.Errorf("an answer that is not documented: %+v", res)
	}
}

func TestVerifyRecipient(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.WaveConfig{Limit: 50_000, Names: map[string]string{"+2250700000101": "Awa Koné"}})
	for name, c := range map[string]struct {
		number, name string
		amount       int64
		want         provider.Recipient
	}{
		"the same name":    {"+2250700000101", "awa  koné", 50_000, provider.Recipient{Receives: true, Name: provider.NameMatches, OfAmount: true}},
		"another name":     {"+2250700000101", "Fatou Traoré", 1, provider.Recipient{Receives: true, Name: provider.NameDiffers, OfAmount: true}},
		"no name is known": {"+2250700000102", "Awa Koné", 1, provider.Recipient{Receives: true, Name: provider.NameUnknown, OfAmount: true}},
		"no name is asked": {"+2250700000101", "", 1, provider.Recipient{Receives: true, Name: provider.NameUnknown, OfAmount: true}},
		"above the limit":  {"+2250700000101", "Awa Koné", 50_001, provider.Recipient{Code: "limit_exceeded", Name: provider.NameMatches, OfAmount: true}},
	} {
		got, err := r.VerifyRecipient(t.Context(), c.number, c.name, xof(c.amount))
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.want)
		}
	}
	for _, body := range []string{`{}`, `{"name_match":"MATCH"}`, `null`, `<html>`, `{"within_limits":"yes"}`} {
		if got, err := answering(t, http.StatusOK, body).VerifyRecipient(t.Context(), "+2250700000101", "Awa", xof(1)); err == nil {
			t.Errorf("%s was read as %+v", body, got)
		}
	}
	if got, err := answering(t, 200, `{"within_limits":true,"name_match":"PERHAPS"}`).VerifyRecipient(t.Context(), "+2250700000101", "Awa", xof(1)); err != nil || got.Name != provider.NameUnknown {
		t.Errorf("a word that is new: %+v, %v", got, err)
	}
	for range 40 { // more than Wave takes about one number
		_, err := r.VerifyRecipient(t.Context(), "+2250700000103", "", xof(1))
		if err == nil {
			continue
		}
		var f *provider.Failure
		if !errors.As(err, &f) || !f.Result.SlowDown {
			t.Errorf("asked too often: %v", err)
		}
		return
	}
	t.Error("the provider answers without end")
}

// The statement has every movement of its day once, over any number of pages, and its lines sum up to what the float did.
func TestStatementAddsUpToTheBalance(t *testing.T) {
	t.Parallel()
	for _, pageSize := range []int{1, 2, 3, 100} {
		float := int64(1_000_000)
		r := newRig(t, simulator.WaveConfig{Float: &float, PageSize: pageSize})
		for i := range 5 {
			id := r.Submit(t.Context(), transfer(fmt.Sprintf("ref-%d", i), 24001+int64(i))).ProviderID
			if i == 2 {
				r.Reverse(t.Context(), transfer("ref-2", 24003), id)
			}
		}
		plan(t, r.sim, simulator.Rule{Provider: simulator.Wave, Operation: "payout", Fault: simulator.Failed})
		r.Submit(t.Context(), transfer("ref-failed", 1000))
		kinds, references, sum := map[string]int{}, map[string]int{}, int64(0)
		read := func(l provider.StatementLine) error {
			kinds[l.Kind]++
			references[l.Reference]++
			sum += l.Amount.Minor - l.Fee.Minor
			if l.Kind == provider.LinePayout && (l.Amount.Minor > -24001 || l.Amount.Minor < -24005 || l.Fee.Minor != 241) || l.ProviderID == "" || time.Since(l.At) > time.Hour {
				t.Errorf("line %+v", l)
			}
			return nil
		}
		asked := 0
		may := func(context.Context) error { asked++; return nil }
		today, err := days(func(day string) error { return r.Statement(t.Context(), day, may, read) })
		if err != nil {
			t.Fatalf("%d to a page: %v", pageSize, err)
		}
		if diff := cmp.Diff(map[string]int{provider.LinePayout: 5, provider.LineReversal: 1}, kinds); diff != "" {
			t.Errorf("%d to a page (-want +got):\n%s", pageSize, diff)
		}
		if diff := cmp.Diff(map[string]int{"ref-0": 1, "ref-1": 1, "ref-2": 2, "ref-3": 1, "ref-4": 1}, references); diff != "" {
			t.Errorf("%d to a page (-want +got):\n%s", pageSize, diff)
		}
		if want := (6 + pageSize - 1) / pageSize; asked < want {
			t.Errorf("%d to a page: %d of %d pages were waited for", pageSize, asked, want)
		}
		if left, err := r.Balance(t.Context()); err != nil || left.Minor != float+sum {
			t.Errorf("the statement says %d, the balance went from %d to %v (%v)", sum, float, left, err)
		}
		enough := errors.New("enough")
		if err := r.Statement(t.Context(), today, may, func(provider.StatementLine) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("the reader's own error: %v", err)
		}
		no := errors.New("no call is allowed")
		if err := r.Statement(t.Context(), today, func(context.Context) error { return no }, read); !errors.Is(err, no) {
			t.Errorf("a page was asked for: %v", err)
		}
	}
}

// always lets every call be made.
func always(context.Context) error { return nil }

// days reads the days that the machine's clock may stand at in the course of a test.
func days(read func(day string) error) (last string, err error) {
	now := time.Now().UTC()
	for _, at := range []time.Time{now.Add(-time.Minute), now} {
		if day := at.Format(time.DateOnly); day != last {
			if last, err = day, read(day); err != nil {
				return last, err
			}
		}
	}
	return last, nil
}

// What cannot be read whole is an error: a line that is left out would look like money that never moved.
func TestStatementIsReadWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	line := `{"timestamp":"2025-01-24T10:00:00Z","transaction_id":"T_1","transaction_type":"api_payout","amount":"-101","fee":"1","currency":"XOF"}`
	page := func(info, rest string) string { return `{"page_info":` + info + `,"date":"2025-01-24",` + rest + `}` }
	last := `{"end_cursor":"a","has_next_page":false}`
	for body, readable := range map[string]bool{
		page(last, `"items":[`+line+`]`): true, page(last, `"items":[]`): true,
		page(`{"end_cursor":null,"has_next_page":false}`, `"items":[]`): true,
		page(`{"end_cursor":"","has_next_page":true}`, `"items":[]`):    false,
		page(`{"end_cursor":"a","has_next_page":true}`, `"items":[]`):   false, // for ever
		`{"items":[]}`: false, page(last, `"items":null`): false, `null`: false, `[]`: false, `<html>`: false,
		`{"page_info":` + last + `,"date":"2025-01-23","items":[]}`:                                                                                            false,
		page(last, `"items":[{"transaction_id":"T_1","amount":"1","currency":"XOF"}]`):                                                                         false,
		page(last, `"items":[{"timestamp":"2025-01-24T10:00:00Z","amount":"1","currency":"XOF"}]`):                                                             false,
		page(last, `"items":[{"timestamp":"2025-01-24T10:00:00Z","transaction_id":"T_1","currency":"XOF"}]`):                                                   false,
		page(last, `"items":[{"timestamp":"2025-01-24T10:00:00Z","transaction_id":"T_1","amount":"1","fee":"x","currency":"XOF"}]`):                            false,
		page(last, `"items":[`+line+`,{"timestamp":"2025-01-24T10:00:00Z","transaction_id":"T_1","amount":"9223372036854775807","fee":"1","currency":"XOF"}]`): false,
	} {
		err := answering(t, http.StatusOK, body).Statement(t.Context(), "2025-01-24", always, func(provider.StatementLine) error { return nil })
		if (err == nil) != readable {
			t.Errorf("%s: %v", body, err)
		}
	}
	if err := answering(t, http.StatusOK, page(last, `"items":[]`)).Statement(t.Context(), "yesterday", always, nil); err == nil {
		t.Error("a day that is none")
	}
}

func TestKindsOfLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line       transaction
		kind       string
		minor, fee int64
	}{
		{transaction{Type: "api_payout", Amount: "-24240", Fee: "240"}, provider.LinePayout, -24000, 240},
		{transaction{Type: "api_payout", Amount: "24240", Fee: "240", IsReversal: true}, provider.LineReversal, 24000, -240},
		{transaction{Type: "api_payout_reversal", Amount: "24240", Fee: "-240"}, provider.LineReversal, 24000, -240},
		{transaction{Type: "api_payout_reversal", Amount: "24240", Fee: "240"}, provider.LineReversal, 24000, -240},
		{transaction{Type: "bulk_payment", Amount: "-101", Fee: "1"}, provider.LinePayout, -100, 1},
		{transaction{Type: "merchant_payment", Amount: "99", Fee: "1"}, provider.LineOther, 100, 1},
		{transaction{Type: "", Amount: "5000"}, provider.LineOther, 5000, 0},
		{transaction{Type: "merchant_sweep", Amount: "-5000", Fee: "0"}, provider.LineOther, -5000, 0},
	} {
		c.line.ID, c.line.Timestamp, c.line.Currency = "T_1", "2025-01-24T10:00:00Z", "XOF"
		got, err := c.line.line()
		if err != nil || got.Kind != c.kind || got.Amount != (money.Amount{Minor: c.minor, Currency: "XOF"}) || got.Fee.Minor != c.fee {
			t.Errorf("%+v is read as %+v, %v", c.line, got, err)
		}
	}
}
