package plan_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/plan"
)

// group is some recurrences of the expectation file.
type group struct {
	Count       int      `json:"count"`
	AmountMinor int64    `json:"amount_minor"`
	IDs         []string `json:"ids,omitempty"`
}

type expectation struct {
	AfterChargeDue struct {
		Charged    group `json:"charged"`
		SoftFailed group `json:"soft_failed"`
		HardFailed group `json:"hard_failed"`
		Unknown    group `json:"unknown"`
		Untouched  group `json:"untouched"`
	} `json:"after_charge_due"`
	AfterLookup struct {
		Charged group `json:"charged"`
		Unknown group `json:"unknown"`
	} `json:"after_lookup"`
	HoldDigest struct {
		BySeller map[string]group `json:"by_seller"`
	} `json:"hold_digest"`
	RetryFailed struct {
		Attempted []string `json:"attempted"`
	} `json:"retry_failed"`
	Cleanup struct {
		Completed []string `json:"completed"`
		Reason    string   `json:"reason"`
	} `json:"cleanup"`
}

func (e *env) group(sql string, args ...any) group {
	e.t.Helper()
	ids := list[string](e, "SELECT recurrence_id FROM ("+sql+") q ORDER BY 1", args...)
	return group{Count: len(ids), IDs: ids, AmountMinor: e.Count("SELECT COALESCE(sum(amount), 0)::bigint FROM ("+sql+") q", args...)}
}

func (e *env) charged(s charge.State) group {
	e.t.Helper()
	return e.group("SELECT recurrence_id, amount FROM charges WHERE state = $1", s)
}

func same[T any](t testing.TB, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestTheDayOf30October2025 goes through the sample's stages, in pages of several sizes, and does every tick again: it then
// changes nothing, neither as the run that it was nor as one that a person starts by hand.
func TestTheDayOf30October2025(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/wallclub-expected-2025-10-30.json")
	if err != nil {
		t.Fatal(err)
	}
	var want expectation
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 5, 1} {
		t.Run(fmt.Sprintf("page size %d", size), func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			e.planner.PageSize = size
			e.sample()

			e.twice(plan.JobChargeDue, "2025-10-30T11:00:00Z")
			due := want.AfterChargeDue
			same(t, "charged", due.Charged, e.charged(charge.Succeeded))
			same(t, "soft failed", due.SoftFailed, e.charged(charge.FailedSoft))
			same(t, "hard failed", due.HardFailed, e.charged(charge.FailedHard))
			same(t, "unknown", due.Unknown, e.charged(charge.Unknown))
			same(t, "untouched", due.Untouched, e.group(
				"SELECT recurrence_id, amount FROM recurrences r WHERE NOT EXISTS (SELECT 1 FROM charges c WHERE c.recurrence_id = r.recurrence_id)"))

			e.LookUp(10 * time.Second)
			got := e.charged(charge.Succeeded)
			got.IDs = nil
			same(t, "charged after the lookups", want.AfterLookup.Charged, got)

			e.twice(plan.JobNotifyHolds, "2025-10-30T21:00:00Z")
			digests := map[string]group{}
			for _, row := range list[string](e, "SELECT json_build_object('seller', seller_id, 'count', cardinality(recurrence_ids), 'amount_minor', total, 'ids', recurrence_ids)::text FROM hold_digests") {
				var d struct {
					group
					Seller string `json:"seller"`
				}
				if err := json.Unmarshal([]byte(row), &d); err != nil {
					t.Fatal(err)
				}
				digests[d.Seller] = d.group
			}
			same(t, "digests", want.HoldDigest.BySeller, digests)

			before := e.sentSoFar()
			e.twice(plan.JobChargeDue, "2025-10-31T11:00:00Z") // nothing falls on Friday
			if after := e.sentSoFar(); after != before {
				t.Errorf("%d charges on a day on which none is due", after-before)
			}
			e.twice(plan.JobRetryFailed, "2025-10-31T13:00:00Z")
			same(t, "attempted again", want.RetryFailed.Attempted, list[string](e, "SELECT recurrence_id FROM charges WHERE attempt = 2 ORDER BY 1"))
			for _, c := range e.charges() {
				if id := c[:7]; slices.Contains(want.RetryFailed.Attempted, id) && c != id+" 2025-10-30 failed_soft retry 2025-11-03" {
					t.Errorf("after the first retry: %s", c)
				}
			}

			e.twice(plan.JobCleanup, "2025-11-02T05:00:00Z")
			same(t, "cleaned up", want.Cleanup.Completed, list[string](e,
				"SELECT recurrence_id FROM recurrences WHERE state = 'completed' AND reason_code = $1 ORDER BY 1", want.Cleanup.Reason))
			for cycle, n := range e.sent() {
				if n != 1 && !slices.Contains(want.RetryFailed.Attempted, cycle[:7]) {
					t.Errorf("%s was sent %d times", cycle, n)
				}
			}
			e.CheckEvents()
			e.CheckBooks()
		})
	}
}

// twice does a tick, has the gateway answer, and does it again in both ways.
func (e *env) twice(job, nominal string) {
	e.t.Helper()
	r := e.tick(job, nominal)
	e.pages(r)
	e.answer()
	before := e.dump()
	e.pages(r)
	byHand := e.tick(job, nominal)
	byHand.ID = uuid.New()
	e.SQL("INSERT INTO runs SELECT (jsonb_populate_record(r, jsonb_build_object('run_id', $2::uuid, 'tick_id', $2::text))).* FROM runs r WHERE run_id = $1", r.ID, byHand.ID)
	e.pages(byHand)
	e.answer()
	same(e.t, job+" again", before, e.dump())
}

func (e *env) sentSoFar() int {
	n := 0
	for _, times := range e.sent() {
		n += times
	}
	return n
}
