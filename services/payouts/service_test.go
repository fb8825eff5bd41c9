package payouts_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ledgerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
	"github.com/agogopay/agogo/simulator"
)

const evening = "2025-01-24T23:59:00Z"

// TestAnEvening pays the sample evening through streams, two replicas and a provider, and compares what moved with what
// was to be paid, the books with the provider's, and a second tick with nothing at all.
func TestAnEvening(t *testing.T) {
	t.Parallel()
	in := install(t)
	first, second := in.start(), in.start()
	c := first.as("operator")
	got := in.importPayments(c, "csv", payoutstest.Sample(t, "lebenis-payments-2025-01-24.csv"))
	if len(got.Refused) > 0 || got.Summary.GetInserted() != 176 {
		t.Fatalf("import: %v, refused %v", got.Summary, got.Refused)
	}
	tick := payoutstest.Daily(evening)
	in.tick(tick, tick.GetTickId())
	r := in.run(c, tick.GetTickId())
	if n, sum := r.GetCounts()["succeeded"], r.GetTotals()["succeeded"].GetMinor(); n != 15 || sum != 450_000 {
		t.Errorf("%d payouts of %d succeeded, want 15 of 450000: %v", n, sum, r)
	}
	var want struct {
		ByPayee map[string]struct {
			Net int64 `json:"net"`
		} `json:"by_payee"`
	}
	if err := json.Unmarshal(payoutstest.Sample(t, "lebenis-expected-2025-01-24.json"), &want); err != nil {
		t.Fatal(err)
	}
	paid := map[string]int64{}
	list, err := second.as("viewer").ListPayouts(in.Ctx, &payoutsv1.ListPayoutsRequest{Tenant: payoutstest.Tenant, RunId: tick.GetTickId()})
	if err != nil {
		t.Fatal(err)
	}
	moved := in.book(simulator.Orange)
	for _, p := range list.GetItems() {
		paid[p.GetPayeeId()] += p.GetNet().GetMinor()
		if len(p.GetAttempts()) != 1 || moved[p.GetAttempts()[0].GetProviderReference()] != p.GetNet().GetMinor() {
			t.Errorf("%s: attempts %v, the provider's book says %v", p.GetPayeeId(), p.GetAttempts(), moved)
		}
	}
	for payee, w := range want.ByPayee {
		if paid[payee] != w.Net {
			t.Errorf("%s was paid %d, want %d", payee, paid[payee], w.Net)
		}
	}
	second.verify()
	in.again(c)
}

// again fires the same tick under another message id and then the other jobs: nothing moves.
func (in *installation) again(c payoutsv1.PayoutsServiceClient) {
	in.T.Helper()
	before := in.book(simulator.Orange)
	in.tick(payoutstest.Daily(evening), "once more")
	for _, tick := range []string{"check-pending", "reset-breaks"} {
		job := runs.JobCheckPending
		if tick == "reset-breaks" {
			job = runs.JobResetBreaks
		}
		at := payoutstest.Tick(tick, job, "2025-01-25T00:00:00Z")
		in.tick(at, at.GetTickId())
		in.run(c, at.GetTickId())
	}
	if diff := cmp.Diff(before, in.book(simulator.Orange)); diff != "" {
		in.T.Errorf("money moved again (-before +after):\n%s", diff)
	}
}

// book is what the provider moved, by reference.
func (in *installation) book(provider string) map[string]int64 {
	in.T.Helper()
	b, err := in.sim.Book(provider)
	if err != nil {
		in.T.Fatal(err)
	}
	moved := map[string]int64{}
	for _, e := range b.Entries {
		moved[e.Reference] = e.MovedMinor
	}
	return moved
}

// TestStopHaltsTheEveningUntilStart: nothing leaves while the tenant is stopped, although the run is complete, and all of
// it leaves once.
func TestStopHaltsTheEveningUntilStart(t *testing.T) {
	t.Parallel()
	in := install(t)
	r := in.start()
	c := r.as("operator")
	in.importPayments(c, "csv", payoutstest.Sample(t, "lebenis-payments-2025-01-24.csv"))
	stop := &payoutsv1.StopOutflowRequest{Tenant: payoutstest.Tenant, Reason: "amounts look wrong", RequestId: "stop-1"}
	for range 2 { // the same request twice is one
		o, err := c.StopOutflow(in.Ctx, stop)
		if err != nil || o.GetState() != "stopped" || o.GetActor() != "user:operator" {
			t.Fatalf("stop: %v, %v", o, err)
		}
	}
	tick := payoutstest.Daily(evening)
	in.tick(tick, tick.GetTickId())
	run := in.run(c, tick.GetTickId())
	if run.GetCounts()["held"] != 15 || run.GetCounts()["waiting"] != 15 || len(in.book(simulator.Orange)) != 0 {
		t.Fatalf("run %v, book %v", run, in.book(simulator.Orange))
	}
	if _, err := c.StartOutflow(in.Ctx, &payoutsv1.StartOutflowRequest{Tenant: payoutstest.Tenant}); err != nil {
		t.Fatal(err)
	}
	in.Until("15 payouts paid", func() bool { return len(in.book(simulator.Orange)) == 15 })
	in.Until("batch completed", func() bool {
		l, err := c.ListBatches(in.Ctx, &payoutsv1.ListBatchesRequest{Tenant: payoutstest.Tenant})
		return err == nil && len(l.GetItems()) == 1 && l.GetItems()[0].GetState() == "completed"
	})
	r.verify()
}

func TestRolesAndTenants(t *testing.T) {
	t.Parallel()
	in := install(t)
	r := in.start()
	list := &payoutsv1.ListPayoutsRequest{Tenant: payoutstest.Tenant}
	stop := &payoutsv1.StopOutflowRequest{Tenant: payoutstest.Tenant, Reason: "test"}
	one := []byte(payoutstest.Header + payoutstest.Pay("a", "drv-1", 1000, "2025-01-24T10:00:00Z"))
	calls := map[string]struct {
		do   func() error
		want codes.Code
	}{
		"viewer reads":            {func() error { _, err := r.as("viewer").ListPayouts(in.Ctx, list); return err }, codes.OK},
		"viewer stops":            {func() error { _, err := r.as("viewer").StopOutflow(in.Ctx, stop); return err }, codes.PermissionDenied},
		"operator stops":          {func() error { _, err := r.as("operator").StopOutflow(in.Ctx, stop); return err }, codes.OK},
		"another tenant's admin":  {func() error { _, err := r.as("stranger").ListPayouts(in.Ctx, list); return err }, codes.PermissionDenied},
		"nobody":                  {func() error { _, err := r.as("").ListPayouts(in.Ctx, list); return err }, codes.Unauthenticated},
		"viewer imports":          {func() error { _, err := in.send(r.as("viewer"), "csv", one); return err }, codes.PermissionDenied},
		"another tenant's import": {func() error { _, err := in.send(r.as("stranger"), "csv", one); return err }, codes.PermissionDenied},
	}
	for name, call := range calls {
		if got := status.Code(call.do()); got != call.want {
			t.Errorf("%s: %s, want %s", name, got, call.want)
		}
	}
}

func TestHealthMetricsAndWebhooksShareOnePort(t *testing.T) {
	t.Parallel()
	in := install(t)
	r := in.start()
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} { // consumers bind in the background
		in.Until(path+" answers 200", func() bool {
			code, _ := r.Get(path)
			return code == http.StatusOK
		})
	}
	resp, err := http.Post("http://"+r.HTTPAddr()+"/webhooks/payouts/lebenis/orange", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		t.Errorf("an unsigned webhook got %d", resp.StatusCode)
	}
}

// TestListsPage walks every list in small pages: each row once, in a stable order.
func TestListsPage(t *testing.T) {
	t.Parallel()
	in := install(t)
	r := in.start()
	c, books := r.as("operator"), ledgerv1.NewLedgerServiceClient(r.Conn("viewer"))
	in.importPayments(c, "csv", payoutstest.Sample(t, "lebenis-payments-2025-01-24.csv"))
	for i := range 3 {
		tick := payoutstest.Daily(fmt.Sprintf("2025-01-2%dT23:59:00Z", 4+i))
		in.tick(tick, tick.GetTickId())
		in.run(c, tick.GetTickId())
	}
	const tenant = payoutstest.Tenant
	run := payoutstest.Daily(evening).GetTickId()
	lists := map[string]struct {
		want int
		page func(token string) (ids []string, next string, err error)
	}{
		"payments": {176, func(tok string) ([]string, string, error) {
			l, err := c.ListPayments(in.Ctx, &payoutsv1.ListPaymentsRequest{Tenant: tenant, PageSize: 50, PageToken: tok})
			return ids(l.GetItems()), l.GetNextPageToken(), err
		}},
		"payments of a payee": {18, func(tok string) ([]string, string, error) {
			l, err := c.ListPayments(in.Ctx, &payoutsv1.ListPaymentsRequest{Tenant: tenant, PayeeId: "drv-02", PageSize: 4, PageToken: tok})
			return ids(l.GetItems()), l.GetNextPageToken(), err
		}},
		"payees": {15, func(tok string) ([]string, string, error) {
			l, err := c.ListPayees(in.Ctx, &payoutsv1.ListPayeesRequest{Tenant: tenant, PageSize: 4, PageToken: tok})
			return ids(l.GetItems()), l.GetNextPageToken(), err
		}},
		"runs": {3, func(tok string) ([]string, string, error) {
			l, err := c.ListRuns(in.Ctx, &payoutsv1.ListRunsRequest{Tenant: tenant, PageSize: 1, PageToken: tok})
			return ids(l.GetItems()), l.GetNextPageToken(), err
		}},
		"batches": {3, func(tok string) ([]string, string, error) {
			l, err := c.ListBatches(in.Ctx, &payoutsv1.ListBatchesRequest{Tenant: tenant, PageSize: 2, PageToken: tok})
			return ids(l.GetItems()), l.GetNextPageToken(), err
		}},
		"payouts": {16, func(tok string) ([]string, string, error) {
			l, err := c.ListPayouts(in.Ctx, &payoutsv1.ListPayoutsRequest{Tenant: tenant, PageSize: 5, PageToken: tok})
			return ids(l.GetItems()), l.GetNextPageToken(), err
		}},
		"payouts of a run": {15, func(tok string) ([]string, string, error) {
			l, err := c.ListPayouts(in.Ctx, &payoutsv1.ListPayoutsRequest{Tenant: tenant, RunId: run, PageSize: 4, PageToken: tok})
			return ids(l.GetItems()), l.GetNextPageToken(), err
		}},
		"payouts of a payee": {2, func(tok string) ([]string, string, error) {
			l, err := c.ListPayouts(in.Ctx, &payoutsv1.ListPayoutsRequest{Tenant: tenant, PayeeId: "drv-04", PageSize: 1, PageToken: tok})
			return ids(l.GetItems()), l.GetNextPageToken(), err
		}},
		"payouts in states": {0, func(tok string) ([]string, string, error) {
			l, err := c.ListPayouts(in.Ctx, &payoutsv1.ListPayoutsRequest{Tenant: tenant, States: []string{"held", "failed"}, PageSize: 1, PageToken: tok})
			return ids(l.GetItems()), l.GetNextPageToken(), err
		}},
		"payouts of a day": {1, func(tok string) ([]string, string, error) {
			l, err := c.ListPayouts(in.Ctx, &payoutsv1.ListPayoutsRequest{Tenant: tenant, PeriodDate: "2025-01-25", PageSize: 1, PageToken: tok})
			return ids(l.GetItems()), l.GetNextPageToken(), err
		}},
		"balances": {4 + 15, func(tok string) ([]string, string, error) {
			l, err := books.ListBalances(in.Ctx, &ledgerv1.ListBalancesRequest{Tenant: tenant, PageSize: 6, PageToken: tok})
			var accounts []string
			for _, b := range l.GetItems() {
				accounts = append(accounts, b.GetAccount())
			}
			return accounts, l.GetNextPageToken(), err
		}},
		"postings of a payment": {2, func(tok string) ([]string, string, error) {
			l, err := books.ListPostings(in.Ctx, &ledgerv1.ListPostingsRequest{Tenant: tenant, Ref: "pay-20250124-0033", PageSize: 1, PageToken: tok})
			return ids(l.GetItems()), l.GetNextPageToken(), err
		}},
	}
	for name, list := range lists {
		seen, token := map[string]int{}, ""
		for pages := 0; pages < 200; pages++ {
			got, next, err := list.page(token)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, id := range got {
				seen[id]++
			}
			if token = next; token == "" {
				break
			}
		}
		if len(seen) != list.want || slices.Max(append(slices.Collect(maps.Values(seen)), 1)) != 1 {
			t.Errorf("%s: %d rows, want %d, each once: %v", name, len(seen), list.want, seen)
		}
		if _, _, err := list.page("made up"); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: a made-up token got %v", name, err)
		}
	}
}

func ids[T interface{ GetId() string }](items []T) []string {
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = item.GetId()
	}
	return all
}

func TestBreaksTopUpsAndWhatIsNotThere(t *testing.T) {
	t.Parallel()
	in := install(t)
	r := in.start()
	c := r.as("operator")
	in.importPayments(c, "csv", []byte(payoutstest.Header+payoutstest.Pay("a", "drv-1", 1000, "2025-01-24T10:00:00Z")))
	const tenant = payoutstest.Tenant
	if _, err := c.StartBreak(in.Ctx, &payoutsv1.StartBreakRequest{Tenant: tenant, PayeeId: "drv-1"}); err != nil {
		t.Fatal(err)
	}
	in.clock.Advance(50e9)
	b, err := c.EndBreak(in.Ctx, &payoutsv1.EndBreakRequest{Tenant: tenant, PayeeId: "drv-1"})
	if err != nil || b.GetTotalSeconds() != 50 || b.GetOpenSince() != nil {
		t.Errorf("break %v, %v", b, err)
	}
	top := &payoutsv1.TopUpFloatRequest{Tenant: tenant, Provider: "orange", AmountMinor: 1_000_000, Currency: "XOF", Reference: "bank-1"}
	for range 2 {
		resp, err := c.TopUpFloat(in.Ctx, top)
		if err != nil || resp.GetBalance().GetBalance().GetMinor() != 1_000_000 {
			t.Errorf("top-up: %v, %v", resp, err)
		}
	}
	r.verify()
	for name, call := range map[string]struct {
		do   func() error
		want codes.Code
	}{
		"end without start": {func() error {
			_, err := c.EndBreak(in.Ctx, &payoutsv1.EndBreakRequest{Tenant: tenant, PayeeId: "drv-1"})
			return err
		}, codes.FailedPrecondition},
		"break of nobody": {func() error {
			_, err := c.StartBreak(in.Ctx, &payoutsv1.StartBreakRequest{Tenant: tenant, PayeeId: "nobody"})
			return err
		}, codes.NotFound},
		"same reference, another amount": {func() error {
			_, err := c.TopUpFloat(in.Ctx, &payoutsv1.TopUpFloatRequest{Tenant: tenant, Provider: "orange", AmountMinor: 5, Currency: "XOF", Reference: "bank-1"})
			return err
		}, codes.FailedPrecondition},
		"another currency": {func() error {
			_, err := c.TopUpFloat(in.Ctx, &payoutsv1.TopUpFloatRequest{Tenant: tenant, Provider: "orange", AmountMinor: 5, Currency: "EUR", Reference: "bank-3"})
			return err
		}, codes.InvalidArgument},
		"another provider": {func() error {
			_, err := c.TopUpFloat(in.Ctx, &payoutsv1.TopUpFloatRequest{Tenant: tenant, Provider: "wave", AmountMinor: 5, Currency: "XOF", Reference: "bank-2"})
			return err
		}, codes.NotFound},
		"another run": {func() error {
			_, err := c.GetRun(in.Ctx, &payoutsv1.GetRunRequest{Tenant: tenant, Id: "lebenis/payouts/daily@2020-01-01T00:00:00Z"})
			return err
		}, codes.NotFound},
		"another batch": {func() error {
			_, err := c.PauseBatch(in.Ctx, &payoutsv1.PauseBatchRequest{Tenant: tenant, Id: "00000000-0000-0000-0000-000000000001", Reason: "test"})
			return err
		}, codes.NotFound},
		"another payout": {func() error {
			_, err := c.GetPayout(in.Ctx, &payoutsv1.GetPayoutRequest{Tenant: tenant, Id: "00000000-0000-0000-0000-000000000001"})
			return err
		}, codes.NotFound},
		"no state": {func() error {
			_, err := c.ListPayouts(in.Ctx, &payoutsv1.ListPayoutsRequest{Tenant: tenant, States: []string{"paid"}})
			return err
		}, codes.InvalidArgument},
	} {
		if err := call.do(); status.Code(err) != call.want {
			t.Errorf("%s: %v, want %s", name, err, call.want)
		}
	}
}
