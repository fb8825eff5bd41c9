package examples_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/examples"
	"github.com/agogopay/agogo/internal/money"
)

type sum struct {
	Payments int   `json:"payments"`
	Gross    int64 `json:"gross"`
	Net      int64 `json:"net"`
}

type expected struct {
	Cutoff        time.Time      `json:"cutoff"`
	Currency      money.Currency `json:"currency"`
	CommissionBPS int64          `json:"commission_bps"`
	Payouts       int            `json:"payouts"`
	TotalNet      int64          `json:"total_net"`
	TotalGross    int64          `json:"total_gross"`
	ByPayee       map[string]sum `json:"by_payee"`
	NextRun       map[string]sum `json:"next_run"`
}

// TestSampleAddsUp computes the evening from the payments by the rules alone: what is completed up to the cut-off is
// paid, what is completed later is left, and commission is taken per payment.
func TestSampleAddsUp(t *testing.T) {
	t.Parallel()
	var want expected
	if err := json.Unmarshal(read(t, "lebenis/expected-2025-01-24.json"), &want); err != nil {
		t.Fatal(err)
	}
	got := expected{
		Cutoff: want.Cutoff, Currency: want.Currency, CommissionBPS: want.CommissionBPS,
		ByPayee: map[string]sum{}, NextRun: map[string]sum{},
	}
	for _, r := range rows(t, "lebenis/payments-2025-01-24.csv") {
		if r["status"] != "completed" || r["method"] != "orange_money" {
			continue
		}
		gross, err := money.Parse(r["amount"], money.Currency(r["currency"]))
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, r["completed_at"])
		if err != nil {
			t.Fatal(err)
		}
		run := got.ByPayee
		if at.After(want.Cutoff) {
			run = got.NextRun
		}
		_, net := gross.Commission(want.CommissionBPS)
		s := run[r["payee_id"]]
		run[r["payee_id"]] = sum{s.Payments + 1, s.Gross + gross.Minor, s.Net + net.Minor}
	}
	for _, s := range got.ByPayee {
		got.Payouts++
		got.TotalGross += s.Gross
		got.TotalNet += s.Net
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("expected-2025-01-24.json is not what the payments come to (-want +got):\n%s", d)
	}
}

type group struct {
	Count  int      `json:"count"`
	Amount int64    `json:"amount_minor"`
	IDs    []string `json:"ids"`
}

// TestMorningAddsUp sorts the recurrences by the rules alone: charged is who is active and due by the date, at most
// catch_up_days late, and the card's token tells the rest.
func TestMorningAddsUp(t *testing.T) {
	t.Parallel()
	var file struct {
		Morning map[string]json.RawMessage `json:"after_charge_due"`
	}
	if err := json.Unmarshal(read(t, "wallclub/expected-2025-10-30.json"), &file); err != nil {
		t.Fatal(err)
	}
	want := map[string]group{}
	for _, name := range []string{"charged", "soft_failed", "hard_failed", "unknown", "untouched"} {
		var g group
		if err := json.Unmarshal(file.Morning[name], &g); err != nil {
			t.Fatal(err)
		}
		want[name] = g
	}
	got := map[string]group{}
	for _, r := range rows(t, "wallclub/recurrences-2025-10-30.csv") {
		name := "untouched"
		if r["status"] == "active" && r["next_charge_date"] <= "2025-10-30" && r["next_charge_date"] >= "2025-10-23" {
			for prefix, is := range map[string]string{"tok_ok_": "charged", "tok_soft_": "soft_failed", "tok_hard_": "hard_failed", "tok_timeout_paid_": "unknown"} {
				if strings.HasPrefix(r["card_token"], prefix) {
					name = is
				}
			}
		}
		a, err := money.Parse(r["amount"], money.Currency(r["currency"]))
		if err != nil {
			t.Fatal(err)
		}
		g := got[name]
		got[name] = group{g.Count + 1, g.Amount + a.Minor, append(g.IDs, r["recurrence_id"])}
	}
	for _, g := range got {
		slices.Sort(g.IDs)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("expected-2025-10-30.json is not what the recurrences come to (-want +got):\n%s", d)
	}
}

// TestDevicesOfTheClub: whoever is told something that day in the demonstration has somewhere to hear it.
func TestDevicesOfTheClub(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"operators": true}
	for _, r := range rows(t, "wallclub/recurrences-2025-10-30.csv") {
		known[r["customer_id"]], known[r["seller_id"]] = true, true
	}
	heard := map[string]string{}
	for _, r := range rows(t, "wallclub/devices.csv") {
		if !known[r["user_id"]] {
			t.Errorf("device of %s, who is nobody", r["user_id"])
		}
		heard[r["user_id"]] = r["locale"]
	}
	for user, locale := range map[string]string{"cus-001": "pt", "cus-024": "pt", "cus-028": "pt", "cus-030": "pt", "seller-1": "pt", "operators": "en"} {
		if heard[user] != locale {
			t.Errorf("%s hears in %q, want %q", user, heard[user], locale)
		}
	}
}

// TestEveryDriverHasADevice keeps the demonstration from paying someone whom nobody tells.
func TestEveryDriverHasADevice(t *testing.T) {
	t.Parallel()
	users, tokens := map[string]bool{}, map[string]bool{}
	for _, r := range rows(t, "lebenis/devices.csv") {
		users[r["user_id"]] = true
		tokens[r["token"]] = true
	}
	if len(users) != len(tokens) {
		t.Errorf("%d users share %d tokens", len(users), len(tokens))
	}
	for _, r := range rows(t, "lebenis/payments-2025-01-24.csv") {
		if !users[r["payee_id"]] {
			t.Errorf("%s has no device", r["payee_id"])
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := examples.Data.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rows(t *testing.T, name string) []map[string]string {
	t.Helper()
	all, err := csv.NewReader(bytes.NewReader(read(t, name))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, record := range all[1:] {
		row := map[string]string{}
		for i, column := range all[0] {
			row[column] = record[i]
		}
		out = append(out, row)
	}
	return out
}
