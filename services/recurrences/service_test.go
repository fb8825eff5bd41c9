package recurrences_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/simulator"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("internal/plan/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// expected is what each stage of the sample day is to bring.
type expected struct {
	AfterChargeDue map[string]json.RawMessage `json:"after_charge_due"`
	AfterLookup    struct {
		Charged struct {
			Count  int64 `json:"count"`
			Amount int64 `json:"amount_minor"`
		} `json:"charged"`
	} `json:"after_lookup"`
	HoldDigest struct {
		BySeller map[string]struct {
			Count  int64    `json:"count"`
			Amount int64    `json:"amount_minor"`
			IDs    []string `json:"ids"`
		} `json:"by_seller"`
	} `json:"hold_digest"`
}

// TestADay charges the sample day through streams, two replicas and a gateway: 08:00, the lookups, 18:00, the next day's 10:00
// and Sunday's 02:00, and every tick twice.
func TestADay(t *testing.T) {
	t.Parallel()
	in := install(t)
	first, second := in.start(), in.start()
	c := first.as("operator")
	got := in.importRecurrences(c, "csv", sample(t, "wallclub-recurrences-2025-10-30.csv"))
	if len(got.Refused) > 0 {
		t.Fatalf("import: %v, refused %v", got.Summary, got.Refused)
	}
	var want expected
	if err := json.Unmarshal(sample(t, "wallclub-expected-2025-10-30.json"), &want); err != nil {
		t.Fatal(err)
	}

	morning := in.fire(c, plan.JobChargeDue, "2025-10-30T11:00:00Z")
	counts := map[string]int64{}
	for _, s := range []string{"succeeded", "failed_soft", "failed_hard", "unknown"} {
		counts[s] = morning.GetCounts()[s]
	}
	if diff := cmp.Diff(map[string]int64{"succeeded": 23, "failed_soft": 4, "failed_hard": 2, "unknown": 2}, counts); diff != "" {
		t.Errorf("after 08:00 (-want +got):\n%s", diff)
	}
	in.clock.Advance(5 * time.Second)
	charged := func() *recurrencesv1.ListChargesResponse {
		l, err := second.as("viewer").ListCharges(in.Ctx, &recurrencesv1.ListChargesRequest{Tenant: recurrencestest.Tenant, States: []string{"succeeded"}, PageSize: 100})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	in.Until("the lost answers are found", func() bool { return int64(len(charged().GetItems())) == want.AfterLookup.Charged.Count })
	var sum int64
	for _, i := range charged().GetItems() {
		sum += i.GetAmount().GetMinor()
	}
	if sum != want.AfterLookup.Charged.Amount {
		t.Errorf("%d charged, want %d", sum, want.AfterLookup.Charged.Amount)
	}
	if moved := in.taken(); moved != sum {
		t.Errorf("the gateway's book says %d, ours %d", moved, sum)
	}

	in.fire(c, plan.JobNotifyHolds, "2025-10-30T21:00:00Z")
	digests, err := c.ListHoldDigests(in.Ctx, &recurrencesv1.ListHoldDigestsRequest{Tenant: recurrencestest.Tenant})
	if err != nil {
		t.Fatal(err)
	}
	if len(digests.GetItems()) != len(want.HoldDigest.BySeller) {
		t.Errorf("digests %v", digests.GetItems())
	}
	for _, d := range digests.GetItems() {
		if diff := cmp.Diff(want.HoldDigest.BySeller[d.GetSellerId()].IDs, d.GetRecurrenceIds()); diff != "" {
			t.Errorf("digest of %s (-want +got):\n%s", d.GetSellerId(), diff)
		}
	}

	retried := in.fire(c, plan.JobRetryFailed, "2025-10-31T13:00:00Z")
	if retried.GetCounts()["failed_soft"] != 4 {
		t.Errorf("10:00 of the next day: %v", retried.GetCounts())
	}
	in.fire(c, plan.JobCleanup, "2025-11-02T05:00:00Z")
	r, err := c.GetRecurrence(in.Ctx, &recurrencesv1.GetRecurrenceRequest{Tenant: recurrencestest.Tenant, Id: "rec-042"})
	if err != nil || r.GetState() != "completed" {
		t.Errorf("after the clean-up: %v, %v", r, err)
	}
	if moved := in.taken(); moved != sum {
		t.Errorf("the gateway's book says %d in the end, ours %d", moved, sum)
	}
	second.verify()
}

// fire publishes a tick, waits until its run is complete, and publishes it again under another message id, which is to
// change nothing.
func (in *installation) fire(c recurrencesv1.RecurrencesServiceClient, job, nominal string) *recurrencesv1.Run {
	in.T.Helper()
	if at := recurrencestest.At(nominal).Add(5 * time.Second); at.After(in.clock.Now()) {
		in.clock.Set(at)
	}
	tick := recurrencestest.Tick(job, nominal)
	in.tick(tick, tick.GetTickId())
	r := in.run(c, tick.GetTickId())
	in.tick(tick, tick.GetTickId()+" again")
	return r
}

// taken is what the gateway took, all cards together.
func (in *installation) taken() int64 {
	in.T.Helper()
	b, err := in.sim.Book(simulator.Cielo)
	if err != nil {
		in.T.Fatal(err)
	}
	return b.Totals.MovedMinor
}

func TestEveryCallNeedsARoleOnItsTenant(t *testing.T) {
	t.Parallel()
	in := install(t)
	r := in.start()
	pause := func(who string) error {
		_, err := r.as(who).PauseRecurrence(in.Ctx, &recurrencesv1.PauseRecurrenceRequest{
			Tenant: recurrencestest.Tenant, Id: "rec-001", Reason: "asked", RequestId: "r1",
		})
		return err
	}
	for who, want := range map[string]codes.Code{
		"nobody": codes.Unauthenticated, "viewer": codes.PermissionDenied, "stranger": codes.PermissionDenied, "operator": codes.NotFound,
	} {
		if got := status.Code(pause(who)); got != want {
			t.Errorf("%s: %s, want %s", who, got, want)
		}
	}
}

func TestHealthMetricsAndWebhooksAreServed(t *testing.T) {
	t.Parallel()
	in := install(t)
	r := in.start()
	if code, _ := r.Get("/readyz"); code != http.StatusOK {
		t.Errorf("readyz: %d", code)
	}
	if _, body := r.Get("/metrics"); !strings.Contains(body, "agogo_recurrences_attempts_open") && !strings.Contains(body, "agogo_recurrences_slots_in_use") {
		t.Error("no metrics of the service")
	}
	post := func(secret string) int {
		body := strings.NewReader(fmt.Sprintf(`{"PaymentId":%q,"ChangeType":1}`, "24bc8366-fc31-4d6c-8555-17049a836a07"))
		req, err := http.NewRequestWithContext(in.Ctx, http.MethodPost, "http://"+r.HTTPAddr()+"/webhooks/recurrences/wallclub/cielo", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Shop", secret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if good, forged := post(webhookSecret), post("another"); !slices.Contains([]int{200, 202, 204}, good) || forged != http.StatusUnauthorized {
		t.Errorf("webhooks: %d, and a forged one %d", good, forged)
	}
}
