package outcome_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox/outboxtest"
	"github.com/agogopay/agogo/internal/provider"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// back is what a gateway tells of a charge over 4990 after its success.
type back struct {
	refunded int64
	disputes []provider.Dispute
	settled  string // afterwards an approver says so of the only dispute
}

func disputed(number string, minor int64, lost bool) provider.Dispute {
	return provider.Dispute{Case: number, Amount: money.Amount{Minor: minor, Currency: "BRL"}, Lost: lost}
}

// What becomes of a charge after its success: it stays succeeded, each refund and each step of a dispute is told once, the gateway's
// account gives the money back once, and whoever bears it is whom the facts say, in whatever order they came.
func TestWhatIsTakenBackOfACharge(t *testing.T) {
	t.Parallel()
	open, lost := disputed("c1", 4990, false), disputed("c1", 4990, true)
	for name, c := range map[string]struct {
		told       []back
		codes      []string // of the events after charge.succeeded
		of         charge.TakenBack
		books      map[string]int64
		mismatches []string
	}{
		"refunded": {
			[]back{{refunded: 4990}}, []string{"refunded 4990 refunded"}, charge.TakenBack{Refunded: 4990}, map[string]int64{}, nil,
		},
		"in part, and then the rest": {
			[]back{{refunded: 1000}, {refunded: 1500}, {refunded: 4990}},
			[]string{"refunded 1000 partly_refunded", "refunded 500 partly_refunded", "refunded 3490 refunded"},
			charge.TakenBack{Refunded: 4990},
			map[string]int64{},
			nil,
		},
		"in part": {
			[]back{{refunded: 1000}}, []string{"refunded 1000 partly_refunded"}, charge.TakenBack{Refunded: 1000}, books(3990, -3990, 0, 0), nil,
		},
		"disputed": {
			[]back{{disputes: []provider.Dispute{open}}}, []string{"disputed 4990 dispute_opened"}, charge.TakenBack{Disputed: 4990}, books(0, -4990, 4990, 0), nil,
		},
		"disputed in part": {
			[]back{{disputes: []provider.Dispute{disputed("c1", 90, false)}}}, []string{"disputed 90 dispute_opened"}, charge.TakenBack{Disputed: 90}, books(4900, -4990, 90, 0), nil,
		},
		"disputed and lost": {
			[]back{{disputes: []provider.Dispute{open}}, {disputes: []provider.Dispute{lost}}},
			[]string{"disputed 4990 dispute_opened", "disputed 4990 dispute_lost"},
			charge.TakenBack{Disputed: 4990, ChargedBack: 4990},
			map[string]int64{},
			nil,
		},
		"lost when first told": {
			[]back{{disputes: []provider.Dispute{lost}}},
			[]string{"disputed 4990 dispute_opened", "disputed 4990 dispute_lost"},
			charge.TakenBack{Disputed: 4990, ChargedBack: 4990},
			map[string]int64{},
			nil,
		},
		"disputed and won": {
			[]back{{disputes: []provider.Dispute{open}, settled: "won"}},
			[]string{"disputed 4990 dispute_opened", "disputed 4990 dispute_won"},
			charge.TakenBack{},
			books(4990, -4990, 0, 0), nil,
		},
		"won, although it is told as lost later": {
			[]back{{disputes: []provider.Dispute{open}, settled: "won"}, {disputes: []provider.Dispute{lost}}},
			[]string{"disputed 4990 dispute_opened", "disputed 4990 dispute_won"},
			charge.TakenBack{},
			books(4990, -4990, 0, 0),
			[]string{charge.MismatchDispute},
		},
		"a dispute that is told no more is not won": {
			[]back{{disputes: []provider.Dispute{open}}, {}}, []string{"disputed 4990 dispute_opened"}, charge.TakenBack{Disputed: 4990}, books(0, -4990, 4990, 0), nil,
		},
		"disputed, and then refunded": {
			[]back{{disputes: []provider.Dispute{open}}, {refunded: 4990, disputes: []provider.Dispute{open}}},
			[]string{"disputed 4990 dispute_opened", "refunded 4990 refunded"},
			charge.TakenBack{Refunded: 4990, Disputed: 4990},
			map[string]int64{},
			nil,
		},
		"disputed, refunded, and lost": {
			[]back{{disputes: []provider.Dispute{open}}, {refunded: 4990, disputes: []provider.Dispute{open}}, {refunded: 4990, disputes: []provider.Dispute{lost}}},
			[]string{"disputed 4990 dispute_opened", "refunded 4990 refunded", "disputed 4990 dispute_lost"},
			charge.TakenBack{Refunded: 4990, Disputed: 4990, ChargedBack: 4990},
			map[string]int64{},
			nil,
		},
		"refunded, and then disputed, and won": {
			[]back{{refunded: 4990}, {refunded: 4990, disputes: []provider.Dispute{open}, settled: "won"}},
			[]string{"refunded 4990 refunded", "disputed 4990 dispute_opened", "disputed 4990 dispute_won"},
			charge.TakenBack{Refunded: 4990},
			map[string]int64{},
			nil,
		},
		"both in one answer, and more than there is": {
			[]back{{refunded: 1000, disputes: []provider.Dispute{open}}},
			[]string{"refunded 1000 partly_refunded", "disputed 4990 dispute_opened"},
			charge.TakenBack{Refunded: 1000, Disputed: 4990},
			books(0, -3990, 3990, 0), nil,
		},
		"two disputes, one of them lost": {
			[]back{{disputes: []provider.Dispute{disputed("c1", 1000, true), disputed("c2", 500, false)}}},
			[]string{"disputed 1000 dispute_opened", "disputed 1000 dispute_lost", "disputed 500 dispute_opened"},
			charge.TakenBack{Disputed: 1500, ChargedBack: 1000},
			books(3490, -3990, 500, 0), nil,
		},
		"refunded with more than was charged": {
			[]back{{refunded: 6000}}, []string{"refunded 6000 refunded"}, charge.TakenBack{Refunded: 6000}, books(-1010, 0, 0, 1010), []string{charge.MismatchRefundedMore},
		},
		"a refund that is told smaller later": {
			[]back{{refunded: 1000}, {refunded: 400}},
			[]string{"refunded 1000 partly_refunded"},
			charge.TakenBack{Refunded: 1000},
			books(3990, -3990, 0, 0),
			[]string{charge.MismatchRefundShrank},
		},
		"a dispute over more than was charged": {
			[]back{{disputes: []provider.Dispute{disputed("c1", 4991, false)}}}, nil, charge.TakenBack{}, books(4990, -4990, 0, 0), []string{charge.MismatchDispute},
		},
		"a dispute whose amount changes": {
			[]back{{disputes: []provider.Dispute{disputed("c1", 90, false)}}, {disputes: []provider.Dispute{disputed("c1", 91, false)}}},
			[]string{"disputed 90 dispute_opened"},
			charge.TakenBack{Disputed: 90},
			books(4900, -4990, 90, 0),
			[]string{charge.MismatchDispute},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			paid := succeeded(e)
			for _, b := range c.told {
				e.Gateway.TakeBack(paid.Reference, b.refunded, b.disputes...)
				for range 2 { // once, however often it is told
					e.Webhook(paid.Reference)
					e.LookUp(time.Second)
				}
				if b.settled != "" {
					settle(t, e, b.settled)
				}
			}
			got := e.Charge("rec-1", "2025-10-30")
			if got.State != charge.Succeeded || got.TakenBack != c.of || got.Version != paid.Version+int64(len(c.codes)) {
				t.Errorf("charge %s, version %d after %d, of which was taken back %+v", got.State, got.Version, paid.Version, got.TakenBack)
			}
			if diff := cmp.Diff(c.codes, afterSuccess(t, e)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.books, e.Balances()); diff != "" {
				t.Errorf("books (-want +got):\n%s", diff)
			}
			for _, code := range c.mismatches {
				if n := e.Count("SELECT count(*) FROM recon_findings WHERE code = $1", code); n != 1 {
					t.Errorf("%d findings of %s", n, code)
				}
			}
			if n := e.Count("SELECT count(*) FROM recon_findings"); n != int64(len(c.mismatches)) {
				t.Errorf("%d findings, want %v", n, c.mismatches)
			}
			if n := len(e.Gateway.Sends()); n != 1 {
				t.Errorf("%d sends", n)
			}
			e.CheckBooks()
			e.CheckEvents()
		})
	}
}

// A charge was booked as declined, turns out to have been paid, and is given back whole: what stood in suspense is out of it again, told once,
// and nobody is charged anew. What was given back in part stays for people.
func TestAChargeThatWasPaidAfterItsDeclineComesBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refunded int64
		books    map[string]int64
		findings []string
	}{
		"whole":   {4990, map[string]int64{}, []string{attempt.MismatchPaid, attempt.MismatchReturned}},
		"in part": {1000, books(4990, 0, 0, -4990), []string{attempt.MismatchPaid}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", recurrencestest.Hard)
			e.Morning("2025-10-30")
			declined := e.Charge("rec-1", "2025-10-30")
			again := func() {
				for range 2 { // once, however often it is told
					e.Webhook(declined.Reference)
					e.LookUp(time.Second)
				}
			}
			e.Gateway.Finish(declined.Reference, provider.Result{Class: provider.Succeeded})
			again()
			if diff := cmp.Diff(books(4990, 0, 0, -4990), e.Balances()); diff != "" {
				t.Fatalf("books when it was paid (-want +got):\n%s", diff)
			}
			e.Gateway.TakeBack(declined.Reference, c.refunded)
			again()
			if diff := cmp.Diff(c.books, e.Balances()); diff != "" {
				t.Errorf("books when it came back (-want +got):\n%s", diff)
			}
			for _, code := range c.findings {
				if n := e.Count("SELECT count(*) FROM recon_findings WHERE code = $1", code); n != 1 {
					t.Errorf("%d findings of %s", n, code)
				}
			}
			told := 0
			for _, ev := range e.Events() {
				if ev.Type == "recon.mismatch_found" {
					told++
				}
			}
			if n := e.Count("SELECT count(*) FROM recon_findings"); n != int64(len(c.findings)) || told != len(c.findings) {
				t.Errorf("%d findings, %d told, want %v", n, told, c.findings)
			}
			if got := e.Charge("rec-1", "2025-10-30"); got.State != charge.FailedHard || !got.Contradicted || len(e.Gateway.Sends()) != 1 {
				t.Errorf("the charge is %+v after %d sends", got, len(e.Gateway.Sends()))
			}
			e.CheckBooks()
			e.CheckEvents()
		})
	}
}

// books are the accounts that are not zero.
func books(gateway, seller, chargebacks, suspense int64) map[string]int64 {
	all := map[string]int64{"gateway_receivable:cielo": gateway, "seller_payable:seller-1": seller, "chargebacks": chargebacks, "suspense": suspense}
	for account, net := range all {
		if net == 0 {
			delete(all, account)
		}
	}
	return all
}

func succeeded(e *recurrencestest.Env) store.Charge {
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	e.Morning("2025-10-30")
	return e.Charge("rec-1", "2025-10-30")
}

// afterSuccess are the events that tell of refunds and disputes, with the amount and the code of each.
func afterSuccess(t *testing.T, e *recurrencestest.Env) (told []string) {
	t.Helper()
	for _, ev := range e.Events() {
		if ev.Type != "charge.refunded" && ev.Type != "charge.disputed" {
			continue
		}
		body := chargeBody(t, ev)
		told = append(told, fmt.Sprint(ev.Type.Name(), " ", body.GetReversal().GetMinor(), " ", body.GetReason().GetCode()))
	}
	return told
}

func chargeBody(t *testing.T, ev outboxtest.Event) *eventsv1.Charge {
	t.Helper()
	var body eventsv1.Charge
	if err := event.Decode(ev.Body, &body); err != nil {
		t.Fatal(err)
	}
	return &body
}

func settle(t *testing.T, e *recurrencestest.Env, outcome string) {
	t.Helper()
	for round, want := range []bool{true, false} { // what is decided stays so
		err := e.Decide(func(ctx context.Context, tx pgx.Tx) error {
			var id uuid.UUID
			if err := tx.QueryRow(ctx, "SELECT reversal_id FROM reversals WHERE kind = 'dispute'").Scan(&id); err != nil {
				return err
			}
			_, err := e.Resolver.SettleDispute(ctx, tx, recurrencestest.Tenant, id, outcome)
			return err
		})
		if (err == nil) != want {
			t.Errorf("round %d: %v", round+1, err)
		}
	}
}

// Snapshots carry the totals as they are with each event.
func TestEventsCarryWhatWasTakenBackInAll(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	paid := succeeded(e)
	e.Gateway.TakeBack(paid.Reference, 1000, disputed("4111111111111111", 500, true))
	e.Webhook(paid.Reference)
	e.LookUp(time.Second)
	var totals []string
	for _, ev := range e.Events() {
		if ev.Type.Aggregate() != "charge" || ev.Version <= paid.Version {
			continue
		}
		b := chargeBody(t, ev)
		totals = append(totals, fmt.Sprint(b.GetRefunded().GetMinor(), " ", b.GetDisputed().GetMinor(), " ", b.GetChargedBack().GetMinor()))
		if strings.Contains(string(ev.Body), "4111111111111111") {
			t.Error("a case's number, which may look like a card's, is told")
		}
	}
	if diff := cmp.Diff([]string{"1000 0 0", "1000 500 0", "1000 500 500"}, totals); diff != "" {
		t.Error(diff)
	}
}

// A doubt that ends as paid, and of which a part was given back already, is told as both.
func TestADoubtMayEndWithARefund(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refunded int64
		want     charge.State
		told     []string
	}{
		"in part": {1000, charge.Succeeded, []string{"refunded 1000 partly_refunded"}},
		"in full": {4990, charge.FailedHard, nil}, // no money of it is left: it is as if it had never been charged
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := recurrencestest.New(t)
			e.Agree("rec-1", "2025-10-30", recurrencestest.TimeoutPaid)
			e.Morning("2025-10-30")
			c0 := e.Charge("rec-1", "2025-10-30")
			e.Gateway.TakeBack(c0.Reference, c.refunded)
			e.Webhook(c0.Reference) // before any answer of ours is booked
			e.LookUp(10 * time.Second)
			if got := e.Charge("rec-1", "2025-10-30"); got.State != c.want {
				t.Errorf("charge %s, want %s", got.State, c.want)
			}
			if diff := cmp.Diff(c.told, afterSuccess(t, e)); diff != "" {
				t.Error(diff)
			}
			if n := e.Count("SELECT count(*) FROM recon_findings"); n != 0 {
				t.Errorf("%d findings", n)
			}
			e.CheckEvents()
		})
	}
}

// A process that dies in between, or two replicas with the same answer, book it once: the record's key holds, and with it
// the whole transaction is undone.
func TestTheSameRefundIsNeverBookedTwice(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	paid := succeeded(e)
	back := &provider.Reversed{Refunded: money.Amount{Minor: 1000, Currency: "BRL"}, Disputes: []provider.Dispute{disputed("c1", 500, false)}}
	answer := func(ctx context.Context, tx pgx.Tx) error {
		all, err := attempt.LockSubject(ctx, tx, recurrencestest.Tenant, paid.ID)
		if err != nil {
			return err
		}
		found := attempt.Answer{Found: provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded}, Reversed: back}}
		u := attempt.Update{Attempt: all[0], Lookup: true, Decision: attempt.Decide(all[0], found, e.Connector.Policy, e.Clock.Now())}
		return e.Outcomes.Decided(ctx, tx, []attempt.Update{u})
	}
	died := fmt.Errorf("the process died")
	if err := e.Decide(func(ctx context.Context, tx pgx.Tx) error {
		if err := answer(ctx, tx); err != nil {
			return err
		}
		return died
	}); err == nil {
		t.Fatal("nothing died")
	}
	if n := e.Count("SELECT count(*) FROM reversals"); n != 0 {
		t.Errorf("%d records of what was not committed", n)
	}
	for range 2 {
		if err := e.Decide(answer); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"refunded 1000 partly_refunded", "disputed 500 dispute_opened"}, afterSuccess(t, e)); diff != "" {
		t.Error(diff)
	}
	// Whoever lost the charge's columns, by a wrong restore say, does not book anything a second time.
	e.SQL("UPDATE charges SET refunded = 0")
	if err := e.Decide(answer); err == nil {
		t.Error("a refund was booked twice")
	}
	e.SQL("UPDATE charges SET refunded = 1000")
	e.CheckBooks()
	e.CheckEvents()
}

// A closed charge whose webhook was lost is asked about again when a person wants that.
func TestAPersonHasAClosedChargeAskedAbout(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	paid := succeeded(e)
	e.Gateway.TakeBack(paid.Reference, 4990)
	e.LookUp(48 * time.Hour)
	if got := e.Charge("rec-1", "2025-10-30"); got.TakenBack.Refunded != 0 {
		t.Fatal("somebody asked by himself")
	}
	if err := e.Decide(func(ctx context.Context, tx pgx.Tx) error {
		return e.Resolver.Refresh(ctx, tx, recurrencestest.Tenant, paid.ID)
	}); err != nil {
		t.Fatal(err)
	}
	e.LookUp(time.Second)
	if got := e.Charge("rec-1", "2025-10-30"); got.TakenBack.Refunded != 4990 {
		t.Errorf("taken back: %+v", got.TakenBack)
	}
	e.CheckBooks()
	e.CheckEvents()
}
