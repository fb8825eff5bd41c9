package histories

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
)

// verb is a kind of step: how its arguments are drawn, and what it does.
type verb struct {
	weight int
	args   []int    // how many values each numeric argument has, counted from 0
	words  []string // what its last argument is one of
	named  []string // likewise, in histories with a name only
	do     func(*world, []int, string)
}

// verbs are everything that happens in histories.
func verbs() map[string]verb {
	return map[string]verb{
		// The customer's side.
		"day":    {weight: 16, args: []int{1 << payees}, do: (*world).day},
		"earn":   {weight: 8, args: []int{payees, 4}, do: (*world).earn},
		"again":  {weight: 2, do: func(w *world, _ []int, _ string) { w.importRows(w.rows...) }},
		"refund": {weight: 2, args: []int{20}, do: (*world).refund},
		"wallet": {weight: 2, args: []int{payees}, do: (*world).wallet},

		// Time, ticks and commands.
		"evening":       {weight: 4, do: func(w *world, _ []int, _ string) { w.evening() }},
		"broken-file":   {weight: 2, args: []int{3}, do: func(w *world, a []int, _ string) { w.breaks = a[0] + 1 }},
		"tick-again":    {weight: 3, do: func(w *world, _ []int, _ string) { w.fire(w.lastTick(), fmt.Sprintf("again-%s", w.Clock.Now())) }},
		"check-pending": {weight: 2, do: func(w *world, _ []int, _ string) { w.checkPending() }},
		"command-again": {weight: 3, args: []int{20}, do: (*world).commandAgain},
		"wait":          {weight: 10, words: []string{"10s", "1m", "2m", "10m", "1h", "25h"}, named: []string{"30m", "23h30m"}, do: (*world).wait},
		"reconcile":     {weight: 6, do: func(w *world, _ []int, _ string) { w.reconcile() }},
		"sweep":         {weight: 6, do: func(w *world, _ []int, _ string) { w.sweep() }},

		// Replicas.
		"dispatch":   {weight: 14, args: []int{2}, do: func(w *world, a []int, _ string) { w.send(w.replicas[a[0]]) }},
		"race":       {weight: 3, do: func(w *world, _ []int, _ string) { w.send(w.replicas...) }},
		"crash":      {weight: 5, args: []int{3}, words: []string{"before", "after"}, do: func(w *world, a []int, s string) { w.crash(s == "after", a[0]+1) }},
		"freeze":     {weight: 3, words: []string{"before", "after"}, do: func(w *world, _ []int, s string) { w.freeze(s == "after") }},
		"thaw":       {weight: 3, do: func(w *world, _ []int, _ string) { w.thaw() }},
		"leases-end": {weight: 6, do: func(w *world, _ []int, _ string) { w.leasesEnd(); w.reconcile() }},

		// The database.
		"stumble": {weight: 16, args: []int{4}, words: stumbleKinds(), do: func(w *world, a []int, s string) { w.stumble.plan(s, a[0]) }},
		"backup":  {weight: 6, do: func(w *world, _ []int, _ string) { w.keep() }},
		"restore": {weight: 5, words: []string{"told"}, named: []string{"untold"}, do: func(w *world, _ []int, s string) { w.restore(s == "told") }},

		// The provider.
		"send":      {weight: 34, args: []int{1 << payees}, words: sendKinds(), do: func(w *world, a []int, s string) { plan(w.bank.sends, a[0], s) }},
		"lookup":    {weight: 14, args: []int{1 << payees}, words: lookupKinds(), do: func(w *world, a []int, s string) { plan(w.bank.lookups, a[0], s) }},
		"finish":    {weight: 3, args: []int{payees}, words: []string{"paid", "failed"}, do: (*world).finish},
		"take-back": {weight: 2, args: []int{payees}, do: (*world).takeBack},
		"webhook":   {weight: 5, args: []int{payees, 3}, words: []string{"authentic", "forged", "unreadable", "unknown"}, do: (*world).webhook},

		// People.
		"person":     {weight: 12, args: []int{payees, 2}, words: acts(), do: (*world).person},
		"resolve":    {weight: 8, args: []int{payees}, words: []string{"truth", "not-paid", "pay-again"}, do: (*world).resolve},
		"reverse":    {weight: 2, args: []int{payees}, words: reversalKinds(), do: (*world).reverse},
		"tenant":     {weight: 4, words: []string{"stop", "start", "start", "top-up"}, do: (*world).tenant},
		"payee":      {weight: 4, args: []int{payees}, words: []string{"pause", "resume", "confirm"}, do: (*world).payee},
		"batch":      {weight: 8, words: []string{"approve", "resume", "retry-failed", "approve", "pause", "reject"}, do: (*world).batch},
		"run":        {weight: 8, args: []int{2}, words: []string{"cancel", "cancel", "retry"}, do: (*world).run},
		"connectors": {weight: 3, do: func(w *world, _ []int, _ string) { w.open() }},
	}
}

// plan has the next call about each of some payees go wrong; none is all of them.
func plan(plans map[int][]string, some int, kind string) {
	for n := range payees {
		if some == 0 || some&(1<<n) != 0 {
			plans[n] = append(plans[n], kind)
			if kind == "forgets" { // for once proves nothing
				plans[n] = append(plans[n], kind)
			}
		}
	}
}

func (w *world) importRows(csv ...string) {
	w.t.Helper()
	refused := 0
	_, err := w.Importer.Payments(w.As("user:importer"), w.Tenants.Tenants[0], "csv", strings.NewReader(payoutstest.Header+strings.Join(csv, "")), rows.Sink{
		Refused:  func(rows.Error) error { refused++; return nil },
		Progress: func(rows.Counts) error { return nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// day is one on which some payees earn, and its evening.
func (w *world) day(a []int, _ string) {
	for n := range payees {
		if a[0]&(1<<n) != 0 {
			w.earn([]int{n, 2}, "")
			if w.claimMost > 0 { // two payouts each
				w.earn([]int{n, 2}, "")
			}
		}
	}
	w.evening()
}

func (w *world) earn(a []int, _ string) {
	row := w.pay(a[0], []int{6_000, 20_000, 30_000, 45_000}[a[1]], "completed", w.Clock.Now().Add(-time.Minute))
	w.rows = append(w.rows, row)
	w.importRows(row)
}

// refund takes a payment back that was completed, paid out or not.
func (w *world) refund(a []int, _ string) {
	if len(w.rows) == 0 {
		return
	}
	i := a[0] % len(w.rows)
	w.importRows(refunded(w.rows[i]))
	w.rows[i] = refunded(w.rows[i])
}

// wallet gives a payee another one.
func (w *world) wallet(a []int, _ string) {
	w.wallets[a[0]]++
	csv := fmt.Sprintf("payee_id,name,phone,provider,locale\n%s,Livreur,%s,orange,fr-CI\n", payee(a[0]), phone(a[0], w.wallets[a[0]]))
	_, err := w.Importer.Payees(w.As("user:importer"), w.Tenants.Tenants[0], "csv", strings.NewReader(csv), rows.Sink{
		Refused:  func(rows.Error) error { return nil },
		Progress: func(rows.Counts) error { return nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// evening is the next 23:59: its tick fires and is planned, unless an earlier run is not over.
func (w *world) evening() {
	w.t.Helper()
	now := w.Clock.Now()
	nominal := time.Date(now.Year(), now.Month(), now.Day(), 23, 59, 0, 0, time.UTC)
	if !nominal.After(now.Add(-5*time.Second)) || w.ticks > 0 && !nominal.After(payoutstest.At(w.nominal())) {
		nominal = nominal.AddDate(0, 0, 1)
	}
	w.ticks++
	w.Clock.Set(nominal.Add(5 * time.Second))
	w.judge.evening = nominal.Format(time.RFC3339)
	w.evenings = append(w.evenings, w.judge.evening)
	w.fire(w.lastTick(), "first-"+w.nominal())
}

func (w *world) nominal() string { return w.judge.evening }

func (w *world) lastTick() *eventsv1.Tick {
	if w.ticks == 0 {
		return nil
	}
	return payoutstest.Daily(w.nominal())
}

func (w *world) fire(tick *eventsv1.Tick, id string) {
	w.t.Helper()
	if tick == nil {
		return
	}
	if err := w.Fire(tick, id); err != nil {
		w.t.Fatal(err)
	}
	w.work()
}

func (w *world) checkPending() {
	w.fire(payoutstest.Tick("check-pending", runs.JobCheckPending, w.Clock.Now().Truncate(time.Second).Format(time.RFC3339)), "check-"+w.Clock.Now().String())
	w.reconcile()
}

// commandAgain delivers a command that was delivered before.
func (w *world) commandAgain(a []int, _ string) {
	w.t.Helper()
	all := w.Messages(stream.Commands)
	if len(all) == 0 {
		return
	}
	if err := w.Hand(all[a[0]%len(all)]); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) wait(_ []int, span string) {
	w.t.Helper()
	d, err := time.ParseDuration(span)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Clock.Advance(d)
	w.reconcile()
	w.sweep()
}

// finish ends what is pending at the bank.
func (w *world) finish(a []int, state string) {
	w.bank.each(a[0], func(x *transfer) {
		if x.state != "pending" {
			return
		}
		if x.state = state; state == "paid" {
			x.moved++
		}
	})
}

// takeBack is a late return: what was paid comes back.
func (w *world) takeBack(a []int, _ string) {
	w.bank.each(a[0], func(x *transfer) { x.reversed = x.state == "paid" && x.moved == 1 })
}

// webhook posts about everything that the bank has of a payee, several times over.
func (w *world) webhook(a []int, kind string) {
	w.t.Helper()
	bodies := [][]byte{}
	w.bank.each(a[0], func(x *transfer) { bodies = append(bodies, w.bank.news(x.Reference)) })
	stored := w.Count("SELECT count(*) FROM webhooks")
	want, header := http.StatusOK, credential
	switch kind {
	case "forged":
		want, header = http.StatusUnauthorized, credential+"!"
	case "unreadable":
		want, bodies = http.StatusBadRequest, [][]byte{[]byte(`{"reference":1}`)}
	case "unknown":
		bodies = [][]byte{w.bank.news("nobody-knows")}
	}
	for range a[1] + 1 {
		for _, body := range bodies {
			if got := w.post(body, header); got != want {
				w.t.Errorf("a webhook that is %s is answered with %d", kind, got)
			}
		}
	}
	if now := w.Count("SELECT count(*) FROM webhooks"); want != http.StatusOK && now != stored {
		w.t.Errorf("%d webhooks that are %s were stored", now-stored, kind)
	}
}

func (w *world) post(body []byte, credential string) int {
	req := httptest.NewRequestWithContext(context.WithoutCancel(w.Ctx()), http.MethodPost, "/webhooks/payouts/lebenis/orange", strings.NewReader(string(body)))
	req.SetPathValue("tenant", payoutstest.Tenant)
	req.SetPathValue("provider", "orange")
	req.Header.Set("Bank", credential)
	rec := httptest.NewRecorder()
	w.webhooks.ServeHTTP(rec, req)
	if references, err := w.bank.Verify(req.Header, body); err == nil && rec.Code == http.StatusOK {
		w.bank.heard(references...)
	}
	return rec.Code
}

// open has a connector serve again that a fault has stopped.
func (w *world) open() {
	w.InTx(func(tx pgx.Tx) error {
		_, err := w.states.ResumeStopped(w.Ctx(), tx, payoutstest.Tenant, provider.Reason{Code: "by_person"})
		return err
	})
	w.bank.pardon()
}
