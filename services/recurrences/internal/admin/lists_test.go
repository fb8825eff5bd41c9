package admin_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"

	"github.com/agogopay/agogo/internal/money"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/imports/importstest"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

const sample = "wallclub-recurrences-2025-10-30.csv"

func (d *desk) sample() [][]string {
	d.t.Helper()
	text := importstest.Sample(d.t, sample)
	if n, refused := d.Import("csv", text); n.Inserted != 42 {
		d.t.Fatalf("%+v, refused %v", n, refused)
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		d.t.Fatal(err)
	}
	return rows[1:]
}

// TestListsOfRecurrences compares every filter with the sample's rows, in pages of three.
func TestListsOfRecurrences(t *testing.T) {
	t.Parallel()
	d := open(t)
	rows := d.sample()
	d.missed("rec-042", "2025-03-13")
	d.missed("rec-001", "2025-08-30")
	d.missed("rec-001", "2025-09-30")
	const id, seller, date, token, state = 0, 3, 9, 10, 12
	due := func(r []string) bool { return r[state] == "active" && r[date] <= "2025-10-30" }
	for name, tt := range map[string]struct {
		request *recurrencesv1.ListRecurrencesRequest
		keep    func(r []string) bool
	}{
		"all":       {&recurrencesv1.ListRecurrencesRequest{}, func([]string) bool { return true }},
		"one state": {&recurrencesv1.ListRecurrencesRequest{States: []string{"hold"}}, func(r []string) bool { return r[state] == "hold" }},
		"states": {&recurrencesv1.ListRecurrencesRequest{States: []string{"completed", "cancelled"}}, func(r []string) bool {
			return r[state] == "completed" || r[state] == "cancelled"
		}},
		"seller": {&recurrencesv1.ListRecurrencesRequest{SellerId: "seller-3"}, func(r []string) bool { return r[seller] == "seller-3" }},
		"seller and state": {&recurrencesv1.ListRecurrencesRequest{SellerId: "seller-1", States: []string{"hold"}}, func(r []string) bool {
			return r[seller] == "seller-1" && r[state] == "hold"
		}},
		"due":            {&recurrencesv1.ListRecurrencesRequest{DueBy: "2025-10-30"}, due},
		"due long ago":   {&recurrencesv1.ListRecurrencesRequest{DueBy: "2025-04-14"}, func(r []string) bool { return r[id] == "rec-042" }},
		"due and seller": {&recurrencesv1.ListRecurrencesRequest{DueBy: "2025-10-30", SellerId: "seller-2"}, func(r []string) bool { return due(r) && r[seller] == "seller-2" }},
		"due on hold":    {&recurrencesv1.ListRecurrencesRequest{DueBy: "2025-10-30", States: []string{"hold"}}, func([]string) bool { return false }},
		"token":          {&recurrencesv1.ListRecurrencesRequest{Card: "tok_ok_007"}, func(r []string) bool { return r[token] == "tok_ok_007" }},
		"card id":        {&recurrencesv1.ListRecurrencesRequest{Card: store.CardID(tenant, "tok_ok_007").String()}, func(r []string) bool { return r[token] == "tok_ok_007" }},
		"unknown card":   {&recurrencesv1.ListRecurrencesRequest{Card: "6e1bf77a-b28b-4660-b14f-455e2a1c95e9"}, func([]string) bool { return false }},
		"card, not due":  {&recurrencesv1.ListRecurrencesRequest{Card: "tok_ok_032", DueBy: "2025-10-30"}, func([]string) bool { return false }},
		"missed":         {&recurrencesv1.ListRecurrencesRequest{Missed: true}, func(r []string) bool { return r[id] == "rec-001" || r[id] == "rec-042" }},
		"missed of one":  {&recurrencesv1.ListRecurrencesRequest{Missed: true, SellerId: "seller-3", DueBy: "2025-10-01"}, func(r []string) bool { return r[id] == "rec-042" }},
		"missed by card": {&recurrencesv1.ListRecurrencesRequest{Missed: true, Card: "tok_ok_001"}, func(r []string) bool { return r[id] == "rec-001" }},
		"nobody's":       {&recurrencesv1.ListRecurrencesRequest{SellerId: "seller-9"}, func([]string) bool { return false }},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, r := range rows {
				if tt.keep(r) {
					want = append(want, r[id])
				}
			}
			slices.Sort(want)
			got := walk(t, func(token string) (ids []string, next string, err error) {
				tt.request.Tenant, tt.request.PageSize, tt.request.PageToken = tenant, 3, token
				resp, err := d.as("viewer").ListRecurrences(t.Context(), tt.request)
				for _, r := range resp.GetItems() {
					ids = append(ids, r.GetId())
				}
				if len(ids) > 3 {
					t.Errorf("a page of %d", len(ids))
				}
				return ids, resp.GetNextPageToken(), err
			})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	other, err := d.as("stranger").ListRecurrences(t.Context(), &recurrencesv1.ListRecurrencesRequest{Tenant: "lebenis"})
	if err != nil || len(other.GetItems()) > 0 {
		t.Errorf("another tenant sees %v, %v", other, err)
	}
	_, err = d.as("viewer").ListRecurrences(t.Context(), &recurrencesv1.ListRecurrencesRequest{Tenant: tenant, DueBy: "2025-02-30"})
	wantCode(t, "no date", err, codes.InvalidArgument, "due_by")
	_, err = d.as("viewer").ListRecurrences(t.Context(), &recurrencesv1.ListRecurrencesRequest{Tenant: tenant, States: []string{"late"}})
	wantCode(t, "no state", err, codes.InvalidArgument, "states[0]")
	_, err = d.as("viewer").ListRecurrences(t.Context(), &recurrencesv1.ListRecurrencesRequest{Tenant: tenant, PageToken: "x"})
	wantCode(t, "no token", err, codes.InvalidArgument, "page_token")
}

// missed says that a cycle was missed by a run of that day.
func (d *desk) missed(id, cycle string) {
	d.t.Helper()
	r, _ := d.morning(cycle)
	day, err := recurrence.ParseDate(cycle)
	if err != nil {
		d.t.Fatal(err)
	}
	d.tx(func(ctx context.Context, tx pgx.Tx) error {
		return d.Store.InsertMissed(ctx, tx, []store.Missed{{Key: store.Key{Tenant: tenant, ID: id}, Cycle: recurrence.Cycle{Date: day, ChargeOn: day}, RunID: r.ID}})
	})
}

func TestARecurrenceWithEverything(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.CSV("rec-1,cus-1,Ana Souza,seller-1,49.90,BRL,yearly,29,2,2026-02-28,tok_1,visa,past_due,Anuidade,,2030-12-31,5,2")
	d.missed("rec-1", "2025-02-28")
	d.missed("rec-1", "2024-02-29")
	r, err := d.as("viewer").GetRecurrence(t.Context(), &recurrencesv1.GetRecurrenceRequest{Tenant: tenant, Id: "rec-1"})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(r.GetCustomerId(), r.GetCustomerName(), r.GetSellerId(), r.GetAmount().GetMinor(), r.GetAmount().GetCurrency(), r.GetPeriod(), r.GetAnchorDay(),
		r.GetAnchorMonth(), r.GetNextCycle(), r.GetNextChargeDate(), r.GetEndDate(), r.GetMaxCycles(), r.GetState(), r.GetReason().GetCode(),
		r.GetCard().GetBrand(), r.GetCard().GetState(), r.GetCard().GetFailures(), r.GetVersion(), r.GetHeldBy(), r.GetEndedAt(), r.GetMode())
	want := fmt.Sprint("cus-1", "Ana Souza", "seller-1", 4990, "BRL", "yearly", 29, 2, "2026-02-28", "2026-03-02", "2030-12-31", 5, "past_due", "imported",
		"visa", "valid", 2, 1, nil, nil, "sandbox")
	if strings.ReplaceAll(got, "<nil>", "") != strings.ReplaceAll(want, "<nil>", "") {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	if m := r.GetMissedCycles(); len(m) != 2 || m[0].GetCycle() != "2024-02-29" || m[1].GetCycle() != "2025-02-28" {
		t.Errorf("missed %v", m)
	}
	_, err = d.as("viewer").GetRecurrence(t.Context(), &recurrencesv1.GetRecurrenceRequest{Tenant: tenant, Id: "rec-2"})
	wantCode(t, "an unknown one", err, codes.NotFound, `no recurrence "rec-2"`)
	_, err = d.as("stranger").GetRecurrence(t.Context(), &recurrencesv1.GetRecurrenceRequest{Tenant: "lebenis", Id: "rec-1"})
	wantCode(t, "another tenant's", err, codes.NotFound, `no recurrence "rec-1"`)
}

func TestListsOfChargesAndRuns(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.agree("rec-1", "rec-2", "rec-3")
	october, first := d.morning("2025-10-30", "rec-1", "rec-2", "rec-3")
	november, second := d.morning("2025-11-30", "rec-1", "rec-2")
	d.Exec("UPDATE charges SET state = 'succeeded', send_run = NULL, send_page = NULL, send_date = NULL WHERE charge_id = $1", first[0].ID)
	// The retry of another run.
	d.Exec("UPDATE charges SET state = 'failed_soft', send_run = NULL, send_page = NULL, send_date = NULL, tries = 1, retry_on = '2025-11-03' WHERE charge_id = $1", first[1].ID)
	d.Exec("INSERT INTO card_attempts (charge_id, attempt, tenant, card_id, amount, run_id, sent_at) SELECT charge_id, 2, tenant, card_id, amount, $2, now() FROM charges WHERE charge_id = $1",
		first[1].ID, november.ID)
	d.Exec(`INSERT INTO attempts (subject_id, number, tenant, provider, reference, amount, currency, destination, state, class, scope, code, submitted_at, lookups)
		SELECT charge_id, n, tenant, 'cielo', 'ref' || n, amount, currency, 'visa/tok', 'failed', 'REJECTED_RETRYABLE', 'payment', 'insufficient_funds', now(), n
		FROM charges, generate_series(1, 2) n WHERE charge_id = $1`, first[1].ID)

	list := func(r *recurrencesv1.ListChargesRequest) []string {
		t.Helper()
		return walk(t, func(token string) (all []string, next string, err error) {
			r.Tenant, r.PageSize, r.PageToken = tenant, 2, token
			resp, err := d.as("viewer").ListCharges(t.Context(), r)
			for _, c := range resp.GetItems() {
				all = append(all, c.GetCycle()+" "+c.GetRecurrenceId()+" "+c.GetState())
			}
			return all, resp.GetNextPageToken(), err
		})
	}
	state := map[string]string{first[0].ID.String(): "succeeded", first[1].ID.String(): "failed_soft"}
	all := map[string]string{} // by charge id
	for _, c := range append(slices.Clone(first), second...) {
		st := state[c.ID.String()]
		if st == "" {
			st = "due"
		}
		all[c.ID.String()] = c.Cycle.Date.String() + " " + c.RecurrenceID + " " + st
	}
	of := func(keep func(line string) bool) (want []string) {
		for _, cycle := range []string{"2025-11-30", "2025-10-30"} {
			var ids []string
			for id, line := range all {
				if strings.HasPrefix(line, cycle) && keep(line) {
					ids = append(ids, id)
				}
			}
			slices.Sort(ids)
			for _, id := range ids {
				want = append(want, all[id])
			}
		}
		return want
	}
	retried := all[first[1].ID.String()]
	for name, tt := range map[string]struct {
		request *recurrencesv1.ListChargesRequest
		keep    func(line string) bool
	}{
		"all":               {&recurrencesv1.ListChargesRequest{}, func(string) bool { return true }},
		"open state":        {&recurrencesv1.ListChargesRequest{States: []string{"due", "failed_soft"}}, func(l string) bool { return !strings.HasSuffix(l, "succeeded") }},
		"any state":         {&recurrencesv1.ListChargesRequest{States: []string{"due", "succeeded"}}, func(l string) bool { return !strings.HasSuffix(l, "soft") }},
		"recurrence":        {&recurrencesv1.ListChargesRequest{RecurrenceId: "rec-1"}, func(l string) bool { return strings.Contains(l, "rec-1") }},
		"cycle":             {&recurrencesv1.ListChargesRequest{Cycle: "2025-10-30"}, func(l string) bool { return strings.HasPrefix(l, "2025-10-30") }},
		"cycle, recurrence": {&recurrencesv1.ListChargesRequest{Cycle: "2025-11-30", RecurrenceId: "rec-2"}, func(l string) bool { return strings.HasPrefix(l, "2025-11-30 rec-2") }},
		"run":               {&recurrencesv1.ListChargesRequest{RunId: october.ID.String()}, func(l string) bool { return strings.HasPrefix(l, "2025-10-30") }},
		"run that retried":  {&recurrencesv1.ListChargesRequest{RunId: november.TickID}, func(l string) bool { return strings.HasPrefix(l, "2025-11-30") || l == retried }},
		"run and state":     {&recurrencesv1.ListChargesRequest{RunId: november.TickID, States: []string{"failed_soft"}}, func(l string) bool { return l == retried }},
	} {
		if diff := cmp.Diff(of(tt.keep), list(tt.request)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}

	c, err := d.as("viewer").GetCharge(t.Context(), &recurrencesv1.GetChargeRequest{Tenant: tenant, Id: first[1].ID.String()})
	if err != nil || len(c.GetAttempts()) != 2 || c.GetAttempts()[1].GetProviderReference() != "ref2" || c.GetAttempts()[1].GetLookups() != 2 ||
		c.GetTries() != 1 || c.GetRetryOn() != "2025-11-03" || c.GetWaiting() || c.GetAmount().GetMinor() != 4990 || c.GetRunId() != october.ID.String() || c.GetMode() != "sandbox" {
		t.Errorf("the charge: %v, %v", c, err)
	}
	c, err = d.as("viewer").GetCharge(t.Context(), &recurrencesv1.GetChargeRequest{Tenant: tenant, Id: second[0].ID.String()})
	if err != nil || !c.GetWaiting() || len(c.GetAttempts()) > 0 {
		t.Errorf("one that waits: %v, %v", c, err)
	}
	_, err = d.as("viewer").GetCharge(t.Context(), &recurrencesv1.GetChargeRequest{Tenant: tenant, Id: chargeID})
	wantCode(t, "an unknown charge", err, codes.NotFound, "no charge")
	_, err = d.as("stranger").GetCharge(t.Context(), &recurrencesv1.GetChargeRequest{Tenant: "lebenis", Id: first[0].ID.String()})
	wantCode(t, "another tenant's charge", err, codes.NotFound, "no charge")
	_, err = d.as("viewer").ListCharges(t.Context(), &recurrencesv1.ListChargesRequest{Tenant: tenant, RunId: "wallclub/recurrences/charge-due@2020-01-01T11:00:00Z"})
	wantCode(t, "an unknown run", err, codes.NotFound, "no run")

	runs := walk(t, func(token string) ([]*recurrencesv1.Run, string, error) {
		resp, err := d.as("viewer").ListRuns(t.Context(), &recurrencesv1.ListRunsRequest{Tenant: tenant, PageSize: 1, PageToken: token})
		return resp.GetItems(), resp.GetNextPageToken(), err
	})
	if len(runs) != 2 || runs[0].GetTickId() != november.TickID || runs[1].GetLocalDate() != "2025-10-30" {
		t.Fatalf("runs %v", runs)
	}
	// The list counts as the run's last event does.
	d.tx(func(ctx context.Context, tx pgx.Tx) error {
		for i, r := range []string{november.TickID, october.TickID} {
			found, err := d.runs.Find(ctx, tx, tenant, r)
			if err != nil {
				return err
			}
			counts, totals, err := d.Store.Sums(ctx, tx, found)
			if err != nil {
				return err
			}
			if diff := cmp.Diff(counts, runs[i].GetCounts()); diff != "" || len(counts) < 2 {
				t.Errorf("%s (-store +list):\n%s", r, diff)
			}
			for st, sum := range totals {
				if runs[i].GetTotals()[st].GetMinor() != sum.GetMinor() {
					t.Errorf("%s: %s is %v, want %v", r, st, runs[i].GetTotals()[st], sum)
				}
			}
		}
		return nil
	})
	one, err := d.as("viewer").GetRun(t.Context(), &recurrencesv1.GetRunRequest{Tenant: tenant, Id: october.ID.String()})
	if err != nil || one.GetTickId() != october.TickID || one.GetCounts()["succeeded"] != 1 || one.GetCounts()["waiting"] != 1 {
		t.Errorf("the run: %v, %v", one, err)
	}
}

// TestReport compares it with the sample's rows.
func TestReport(t *testing.T) {
	t.Parallel()
	d := open(t)
	rows := d.sample()
	d.morning("2025-10-30", "rec-001", "rec-002")
	d.missed("rec-042", "2025-03-13")
	type sum struct{ count, amount int64 }
	states, sellers, due := map[string]sum{}, map[string]sum{}, map[string]sum{}
	for _, r := range rows {
		a, err := money.Parse(r[4], "BRL")
		if err != nil {
			t.Fatal(err)
		}
		add := func(m map[string]sum, key string) { m[key] = sum{m[key].count + 1, m[key].amount + a.Minor} }
		add(states, r[12])
		switch {
		case r[12] == "hold":
			add(sellers, r[3])
		case r[12] == "active" && r[9] == "2025-10-30":
			add(due, "today")
		case r[12] == "active" && r[9] < "2025-10-30":
			add(due, "overdue")
		}
	}
	r, err := d.as("viewer").Report(t.Context(), &recurrencesv1.ReportRequest{Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]sum{}
	for _, s := range r.GetRecurrences() {
		got[s.GetState()] = sum{s.GetCount(), s.GetAmount().GetMinor()}
	}
	if diff := cmp.Diff(states, got, cmp.AllowUnexported(sum{})); diff != "" {
		t.Errorf("by state (-want +got):\n%s", diff)
	}
	of := func(s *recurrencesv1.Sum) sum { return sum{s.GetCount(), s.GetAmount().GetMinor()} }
	if of(r.GetDueToday()) != due["today"] || of(r.GetOverdue()) != due["overdue"] || of(r.GetOnHold()) != states["hold"] || due["overdue"].count != 4 {
		t.Errorf("due today %v, overdue %v, on hold %v; want %v, %v", r.GetDueToday(), r.GetOverdue(), r.GetOnHold(), due, states["hold"])
	}
	if h := r.GetOnHoldBySeller(); len(h) != 1 || h[0].GetSellerId() != "seller-1" || (sum{h[0].GetCount(), h[0].GetAmount().GetMinor()}) != sellers["seller-1"] {
		t.Errorf("on hold by seller: %v, want %v", h, sellers)
	}
	if c := r.GetCharges(); len(c) != 1 || c[0].GetState() != "due" || c[0].GetCount() != 2 || r.GetMissedCycles() != 1 || r.GetLocalDate() != "2025-10-30" || r.GetMode() != "sandbox" {
		t.Errorf("%v", r)
	}
	r, err = d.as("viewer").Report(t.Context(), &recurrencesv1.ReportRequest{Tenant: tenant, LocalDate: "2025-11-13"})
	if err != nil || r.GetDueToday().GetCount() != 2 { // rec-032 and rec-036
		t.Errorf("on another day: %v, %v", r, err)
	}
	_, err = d.as("stranger").Report(t.Context(), &recurrencesv1.ReportRequest{Tenant: "lebenis"})
	wantCode(t, "a tenant that charges nobody", err, codes.NotFound, "tenant with recurrences")
}

func TestListsOfDigests(t *testing.T) {
	t.Parallel()
	d := open(t)
	r, _ := d.morning("2025-10-30")
	var want []string
	d.tx(func(ctx context.Context, tx pgx.Tx) error {
		var all []store.Digest
		for day := 28; day <= 30; day++ {
			for seller := range 3 {
				all = append(all, store.Digest{
					Tenant: tenant, SellerID: fmt.Sprintf("seller-%d", seller), On: recurrence.DateOf(2025, 10, day), RecurrenceIDs: []string{"rec-1", "rec-2"},
					Total: money.Amount{Minor: int64(day), Currency: "BRL"}, RunID: r.ID,
				})
				want = append(want, fmt.Sprintf("2025-10-%d seller-%d %d", day, seller, day))
			}
		}
		_, err := d.Store.InsertDigests(ctx, tx, all)
		return err
	})
	list := func(request *recurrencesv1.ListHoldDigestsRequest) []string {
		got := walk(t, func(token string) (all []string, next string, err error) {
			request.Tenant, request.PageSize, request.PageToken = tenant, 2, token
			resp, err := d.as("viewer").ListHoldDigests(t.Context(), request)
			for _, g := range resp.GetItems() {
				if len(g.GetRecurrenceIds()) != 2 || g.GetRunId() != r.ID.String() {
					t.Errorf("%v", g)
				}
				all = append(all, fmt.Sprintf("%s %s %d", g.GetLocalDate(), g.GetSellerId(), g.GetTotal().GetMinor()))
			}
			return all, resp.GetNextPageToken(), err
		})
		if !slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(b[:10], a[:10]) }) {
			t.Errorf("not newest first: %v", got)
		}
		slices.Sort(got)
		return got
	}
	if diff := cmp.Diff(want, list(&recurrencesv1.ListHoldDigestsRequest{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := list(&recurrencesv1.ListHoldDigestsRequest{SellerId: "seller-1", LocalDate: "2025-10-29"}); !slices.Equal(got, []string{"2025-10-29 seller-1 29"}) {
		t.Errorf("of one seller and day: %v", got)
	}
}
