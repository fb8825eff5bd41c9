package payoutstest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/rows"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// CheckEvents fails the test unless the events tell what became of payouts, batches, runs and payees.
func (e *Env) CheckEvents() {
	e.t.Helper()
	e.Schema.CheckEvents(map[string]string{
		"payout":       "SELECT payout_id::text, state, version FROM payouts",
		"payout_batch": "SELECT batch_id::text, state, version FROM batches",
		"run":          "SELECT run_id::text, state, version FROM runs WHERE version > 0",
		"payee":        "SELECT payee_id, state, version FROM payees WHERE version > 0",
	})
}

// Payouts are the bodies of the newest event of each payout of a run.
func (e *Env) Payouts() map[string]*eventsv1.Payout {
	e.t.Helper()
	newest := map[string]*eventsv1.Payout{}
	for _, ev := range e.Events() {
		if ev.Type.Aggregate() != "payout" {
			continue
		}
		var p eventsv1.Payout
		if err := event.Decode(ev.Body, &p); err != nil {
			e.t.Fatal(err)
		}
		newest[p.GetPayoutId()] = &p
	}
	return newest
}

// CheckItems fails the test unless every claim is told by payments and items alike, no item is in two live payouts, and
// payouts are the sums of their items.
func (e *Env) CheckItems() {
	e.t.Helper()
	for what, sql := range map[string]string{
		"items claimed twice": `SELECT count(*) FROM (SELECT FROM payout_items WHERE released_at IS NULL GROUP BY tenant, item_kind, item_id HAVING count(*) > 1) d`,
		"payments whose claim is not that of their item": `SELECT count(*) FROM payments p FULL JOIN
			(SELECT * FROM payout_items WHERE item_kind = 'payment' AND released_at IS NULL) i ON i.tenant = p.tenant AND i.item_id = p.payment_id
			WHERE p.payout_id IS DISTINCT FROM i.payout_id`,
		"carries whose claim is not that of their item": `SELECT count(*) FROM carries c FULL JOIN
			(SELECT * FROM payout_items WHERE item_kind = 'carry' AND released_at IS NULL) i ON i.tenant = c.tenant AND i.item_id = c.carry_id
			WHERE c.payout_id IS DISTINCT FROM i.payout_id`,
		"payouts that are not the sum of their items": `SELECT count(*) FROM payouts p JOIN
			(SELECT payout_id, count(*) AS n, sum(gross) AS gross, sum(commission) AS commission, sum(net) AS net FROM payout_items GROUP BY payout_id) i USING (payout_id)
			WHERE (p.item_count, p.gross, p.commission, p.net) IS DISTINCT FROM (i.n, i.gross, i.commission, i.net)`,
		"payouts without items": `SELECT count(*) FROM payouts p WHERE NOT EXISTS (SELECT FROM payout_items i WHERE i.payout_id = p.payout_id)`,
	} {
		if n := e.Count(sql); n != 0 {
			e.t.Errorf("%d %s", n, what)
		}
	}
}

// CheckCaps fails the test unless whatever is let out counts on a day, and no less is noted of the tenant's daily cap than what counts.
func (e *Env) CheckCaps() {
	e.t.Helper()
	const counts = `(p.state IN ('awaiting_approval', 'approved', 'submitting', 'processing', 'unknown', 'manual_review', 'succeeded') OR p.state = 'failed' AND p.retry_at IS NOT NULL)`
	if n := e.Count("SELECT count(*) FROM payouts p WHERE p.cap_date IS NULL AND " + counts); n != 0 {
		e.t.Errorf("%d payouts are let out and count on no day", n)
	}
	if e.Rules().DailyCap <= 0 {
		return
	}
	n := e.Count(`SELECT COALESCE(max(sum.net - u.used), 0)::bigint FROM cap_uses u CROSS JOIN LATERAL (
		SELECT COALESCE(sum(p.net), 0)::bigint AS net FROM payouts p WHERE p.tenant = u.tenant AND p.cap_date = u.cap_date AND ` + counts + ") sum")
	if n > 0 {
		e.t.Errorf("%d more count on a day than are noted of its cap", n)
	}
}

// Balances are the accounts that are not zero: debits less credits.
func (e *Env) Balances() map[string]int64 { return e.Schema.Balances(Tenant) }

// Import imports payments from CSV text and returns counts and refusals.
func (e *Env) Import(csv string) (rows.Counts, []rows.Error) {
	e.t.Helper()
	return e.ImportFrom(strings.NewReader(csv), "csv")
}

// ImportFrom imports payments in a format.
func (e *Env) ImportFrom(r io.Reader, format string) (rows.Counts, []rows.Error) {
	e.t.Helper()
	var refused []rows.Error
	n, err := e.Importer.Payments(e.Ctx(), e.Tenants.Tenants[0], format, r, rows.Sink{
		Refused:  func(r rows.Error) error { refused = append(refused, r); return nil },
		Progress: func(rows.Counts) error { return nil },
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return n, refused
}

// Header is the header line of payments.
const Header = "payment_id,payee_id,payee_name,phone,amount,currency,method,status,completed_at,paid_reference\n"

// Pay is a CSV line of a completed payment.
func Pay(id, payee string, amount int64, at string) string {
	return Row(id, payee, amount, "completed", at, "")
}

// Row is a CSV line of a payment.
func Row(id, payee string, amount int64, status, at, paidReference string) string {
	return fmt.Sprintf("%s,%s,Livreur,+2250700000101,%d,XOF,orange_money,%s,%s,%s\n", id, payee, amount, status, at, paidReference)
}

// Sample reads a file of testdata beside this package.
func Sample(t testing.TB, name string) []byte {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(here), "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// EachBatch calls fn with the id of each batch.
func (e *Env) EachBatch(fn func(id uuid.UUID)) {
	e.t.Helper()
	e.Each("SELECT batch_id::text, state, version FROM batches", func(id, _ string, _ int64) { fn(uuid.MustParse(id)) })
}
