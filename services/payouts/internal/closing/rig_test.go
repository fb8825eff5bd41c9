package closing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/daybook"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/adapter/wave"
	"github.com/agogopay/agogo/services/payouts/internal/closing"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// today is the day that rigs pay on, tomorrow the one after it.
const (
	today    = "2025-01-25"
	tomorrow = "2025-01-26"
	topped   = 1_000_000
	net      = 24_000
	fee      = 240
)

// rig is a tenant that pays over Wave, whose statement can be written over.
type rig struct {
	*sending.Env
	*sending.Sender
	t      testing.TB
	closer *closing.Closer
	key    *daybook.Key
	paper  *paper
}

// paper is a statement: Wave's own, changed by edits.
type paper struct {
	real  provider.StatementReader
	edit  func(day string, lines []provider.StatementLine) []provider.StatementLine
	fail  func(read int) error // after half of the lines
	reads int
}

func (p *paper) Statement(ctx context.Context, day string, may func(context.Context) error, fn func(provider.StatementLine) error) error {
	p.reads++
	var lines []provider.StatementLine
	if err := p.real.Statement(ctx, day, may, func(l provider.StatementLine) error { lines = append(lines, l); return nil }); err != nil {
		return err
	}
	if p.edit != nil {
		lines = p.edit(day, lines)
	}
	for i, l := range lines {
		if p.fail != nil && i == len(lines)/2 {
			if err := p.fail(p.reads); err != nil {
				return err
			}
		}
		if err := fn(l); err != nil {
			return err
		}
	}
	return nil
}

// balance is a float that is read.
type balance func() (int64, error)

func (b balance) Balance(context.Context) (money.Amount, error) {
	n, err := b()
	return money.Amount{Minor: n, Currency: "XOF"}, err
}

// newRig books a top-up of the day, pays n payees at noon, and goes on to the night after it.
func newRig(t testing.TB, n int, change ...func(*simulator.Config)) *rig {
	t.Helper()
	e := sending.NewOf(t, sending.Wave(), change...)
	r := &rig{Env: e, Sender: e.Sender(), t: t}
	key, _, err := daybook.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	r.key = key
	r.paper = &paper{real: wave.New(e.Config, e.Clock)}
	r.Connector.Statement, r.Connector.Balance = r.paper, nil
	r.closer = r.replica("one")
	e.Clock.Advance(12 * time.Hour)
	r.topUp("bank-1", topped)
	r.onPaper(func(day string, lines []provider.StatementLine) []provider.StatementLine {
		if day == today {
			lines = append(lines, line("T_top", "", provider.LineOther, topped, 0, today+"T12:00:05Z"))
		}
		return lines
	})
	if n > 0 {
		e.Send(r.Sender, n)
	}
	e.Clock.Advance(12*time.Hour + 2*time.Minute)
	return r
}

// replica is another closer on the same tables.
func (r *rig) replica(owner string) *closing.Closer {
	e := r.Env
	return closing.New(closing.Config{Owner: owner, Pause: time.Millisecond, MaxPause: 2 * time.Millisecond, Readings: 2, Chunk: 3, PageSize: 2}, closing.Deps{
		Service: store.Service, Pool: e.Pool, Outbox: e.Outbox, Clock: r.Clock(), Tenants: r.Tenants, Connectors: r.Connectors,
		Findings: r.Outcomes, Settle: r.Store.Settle, Key: r.key, Logger: slog.New(slog.DiscardHandler),
	})
}

// Clock is the virtual one.
func (r *rig) Clock() *clock.Virtual { return r.Env.Clock }

func line(id, reference, kind string, amount, fee int64, at string) provider.StatementLine {
	return provider.StatementLine{
		ProviderID: id, Reference: reference, Kind: kind, Amount: money.Amount{Minor: amount, Currency: "XOF"},
		Fee: money.Amount{Minor: fee, Currency: "XOF"}, At: payoutstest.At(at), State: kind,
	}
}

// onPaper adds an edit behind those there are.
func (r *rig) onPaper(edit func(day string, lines []provider.StatementLine) []provider.StatementLine) {
	before := r.paper.edit
	r.paper.edit = func(day string, lines []provider.StatementLine) []provider.StatementLine {
		if before != nil {
			lines = before(day, lines)
		}
		return edit(day, lines)
	}
}

// onLine changes the line of a payee's payout.
func (r *rig) onLine(n int, change func(l provider.StatementLine) []provider.StatementLine) {
	reference := r.reference(n)
	r.onPaper(func(_ string, lines []provider.StatementLine) (out []provider.StatementLine) {
		for _, l := range lines {
			if l.Reference != reference {
				out = append(out, l)
				continue
			}
			out = append(out, change(l)...)
		}
		return out
	})
}

func (r *rig) topUp(reference string, amount int64) {
	r.t.Helper()
	r.InTx(func(tx pgx.Tx) error {
		return ledger.Post(r.Ctx(), tx, ledger.Posting{
			Tenant: payoutstest.Tenant, Kind: "float.topped_up", Ref: "wave/" + reference, Debit: ledger.Float("wave"), Credit: ledger.Treasury,
			Amount: money.Amount{Minor: amount, Currency: "XOF"}, OccurredAt: r.Clock().Now(),
		})
	})
}

// id is the payout of payee n, reference that of its first attempt.
func (r *rig) id(n int) uuid.UUID {
	return payout.ID(payoutstest.Tenant, sending.Payee(n), "2025-01-24", "payouts/daily", 1)
}

func (r *rig) reference(n int) string { return payout.Reference(r.id(n), 1) }

func (r *rig) ask(date string, again bool) error { return r.askOf("wave", date, again) }

func (r *rig) askOf(connector, date string, again bool) error {
	tenant, _ := r.Tenants.Tenant(payoutstest.Tenant)
	return pg.InTx(r.Ctx(), r.Env.Pool, func(tx pgx.Tx) error {
		return r.closer.Ask(r.Ctx(), tx, tenant, connector, date, again, nil)
	})
}

// close closes a day and returns its report, verified.
func (r *rig) close(date string) daybook.Report {
	r.t.Helper()
	if err := r.ask(date, false); err != nil {
		r.t.Fatal(err)
	}
	r.work()
	return r.report(date)
}

// again reconciles a day another time.
func (r *rig) again(date string) daybook.Report {
	r.t.Helper()
	if err := r.ask(date, true); err != nil {
		r.t.Fatal(err)
	}
	r.work()
	return r.report(date)
}

func (r *rig) work() {
	r.t.Helper()
	for {
		more, err := r.closer.Pass(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if !more {
			return
		}
	}
}

func (r *rig) report(date string) daybook.Report {
	r.t.Helper()
	var csv, doc strings.Builder
	for w, form := range map[*strings.Builder]daybook.Form{&csv: daybook.NewCSV(&csv), &doc: daybook.NewJSON(&doc)} {
		if err := r.closer.Report(r.t.Context(), payoutstest.Tenant, "wave", date, 0, form); err != nil {
			r.t.Fatalf("report of %s: %v (%s)", date, err, w)
		}
	}
	report, err := daybook.Verify([]byte(csv.String()), r.key.Public())
	if err != nil {
		r.t.Fatalf("%v\n%s", err, csv.String())
	}
	if _, err := daybook.Verify([]byte(doc.String()), r.key.Public()); err != nil {
		r.t.Fatalf("as JSON: %v\n%s", err, doc.String())
	}
	if !json.Valid([]byte(doc.String())) {
		r.t.Fatalf("no JSON: %s", doc.String())
	}
	return report
}

// items lists a report's items as "kind/code expected | found | difference | flow".
func items(report daybook.Report) []string {
	list := []string{}
	for _, i := range report.Items {
		list = append(list, fmt.Sprintf("%s/%s %s | %s | %d | %d", i.Kind, i.Code, i.Expected, i.Found, i.Difference, i.Flow))
	}
	return list
}

// balances is the books' view of an account.
func (r *rig) balances(account string) int64 {
	r.t.Helper()
	all, err := ledger.Balances(r.t.Context(), r.Env.Pool, payoutstest.Tenant, account, "", 10)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, b := range all {
		if b.Account == account {
			return b.Net()
		}
	}
	return 0
}

// verifyBooks fails the test unless the books follow from what was paid and found.
func (r *rig) verifyBooks() {
	r.t.Helper()
	all, _, err := ledger.Verify(r.t.Context(), r.Env.Pool, payoutstest.Tenant, 10)
	if err != nil || len(all) > 0 {
		r.t.Errorf("the books do not follow from what was paid and found: %v %v", all, err)
	}
}

// told lists the events about findings as "code difference".
func (r *rig) told() []string {
	r.t.Helper()
	list := []string{}
	for _, ev := range r.Events() {
		if ev.Type != "recon.mismatch_found" {
			continue
		}
		var m eventsv1.Recon
		if err := event.Decode(ev.Body, &m); err != nil {
			r.t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %d", m.GetReason().GetCode(), m.GetDifference().GetMinor()))
	}
	return list
}

// state of the first attempt of payee n's payout.
func (r *rig) attempt(n int) attempt.Attempt {
	r.t.Helper()
	all, err := attempt.OfSubjects(r.t.Context(), r.Env.Pool, r.id(n))
	if err != nil || len(all[r.id(n)]) == 0 {
		r.t.Fatalf("attempt of %d: %v", n, err)
	}
	return all[r.id(n)][0]
}

// abroad is a zone that is not the provider's.
var abroad = time.FixedZone("abroad", 5*60*60)

func closingChain(all ...daybook.Report) ([]string, error) { return daybook.VerifyChain(all) }

// paidThere is a provider that says of everything that it paid it.
func paidThere(_ context.Context, t provider.Transfer, _ provider.Lookuper) (provider.Found, error) {
	return provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded, ProviderID: "pt-x"}, Amount: &t.Amount}, nil
}
