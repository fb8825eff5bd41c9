package plan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/agogopay/agogo/services/recurrences/internal/plan"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

func (e *env) digests() []string {
	e.t.Helper()
	return list[string](e, "SELECT seller_id || ' ' || local_date || ' ' || total || ' ' || array_to_string(recurrence_ids, ',') FROM hold_digests ORDER BY local_date, seller_id")
}

// held is a recurrence on hold since a tick ("": imported so).
func (e *env) held(id, seller, since string) store.Recurrence {
	e.t.Helper()
	r := e.rec(id, "2025-10-30", "tok_ok_"+id)
	r.SellerID, r.State = seller, recurrence.Hold
	if since != "" {
		at, err := time.Parse(time.RFC3339, since)
		if err != nil {
			e.t.Fatal(err)
		}
		r.HeldBy = &at
	}
	return r
}

// TestALateDigestSaysWhatItWouldHaveSaidInTime: what a later nominal tick put on hold is tomorrow's news.
func TestALateDigestSaysWhatItWouldHaveSaidInTime(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.insert(
		e.held("rec-1", "seller-1", ""), e.held("rec-2", "seller-1", "2025-10-30T11:00:00Z"),
		e.held("rec-3", "seller-1", "2025-10-31T11:00:00Z"), e.held("rec-4", "seller-2", "2025-10-31T13:00:00Z"),
		e.rec("rec-5", "2025-11-30", "tok_ok_5"),
	)
	e.run(plan.JobNotifyHolds, "2025-10-30T21:00:00Z") // on the morning of the 31st
	today := []string{"seller-1 2025-10-30 9980 rec-1,rec-2"}
	same(t, "the digest of the 30th", today, e.digests())
	e.run(plan.JobNotifyHolds, "2025-10-31T21:00:00Z")
	both := append(today, "seller-1 2025-10-31 14970 rec-1,rec-2,rec-3", "seller-2 2025-10-31 4990 rec-4")
	same(t, "and of the 31st", both, e.digests())
	// Again, also once something else is on hold: the day's digest was sent.
	e.insert(e.held("rec-6", "seller-1", ""))
	if made := e.run(plan.JobNotifyHolds, "2025-10-31T21:00:00Z"); made != 0 {
		t.Errorf("%d digests made again", made)
	}
	same(t, "again", both, e.digests())
	e.CheckEvents()
}

func TestDigestsOfManySellers(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.planner.PageSize = 4
	var all []store.Recurrence
	for n := range 30 {
		all = append(all, e.held(fmt.Sprintf("rec-%02d", n), fmt.Sprintf("seller-%02d", n%10), ""))
	}
	e.insert(all...)
	done, pages := e.pages(e.tick(plan.JobNotifyHolds, "2025-10-30T21:00:00Z"))
	if done != 10 || pages != 3 {
		t.Errorf("%d digests on %d pages", done, pages)
	}
	if n := e.Count("SELECT count(*) FROM hold_digests WHERE total = 3 * 4990 AND cardinality(recurrence_ids) = 3"); n != 10 {
		t.Errorf("%d digests of three recurrences", n)
	}
}

// TestSellersInAccentsAndCases: the cursor goes by the order that the database sorts in.
func TestSellersInAccentsAndCases(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.planner.PageSize = 1
	for n, seller := range []string{"b", "B", "a", "Á", "á", "a-b", "a b", "z", "Z", "_", "10", "9"} {
		e.insert(e.held(fmt.Sprintf("rec-%02d", n), seller, ""))
	}
	if done := e.run(plan.JobNotifyHolds, "2025-10-30T21:00:00Z"); done != 12 {
		t.Errorf("%d digests of 12 sellers", done)
	}
}
