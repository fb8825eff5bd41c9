package store_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const tenant = recurrencestest.Tenant

func key(id string) store.Key { return store.Key{Tenant: tenant, ID: id} }

func TestSeveralChangesOfOneRecurrenceAreToldOneByOne(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-15", recurrencestest.OK)
	e.Agree("rec-2", "2025-10-15", recurrencestest.OK)
	missed := func(id, cycle string, to int) store.RecurrenceChange {
		at := recurrence.Position{Next: recurrence.Cycle{Date: recurrencestest.On("2025-11-15"), ChargeOn: recurrencestest.On("2025-11-17")}, Cycles: to}
		return store.RecurrenceChange{
			Key: key(id), From: []recurrence.State{recurrence.Active}, To: recurrence.Active, Event: "recurrence.cycle_missed",
			Cycle: recurrencestest.On(cycle), At: &at,
		}
	}
	var got []store.Recurrence
	e.InTx(func(tx pgx.Tx) (err error) {
		got, err = e.Store.ApplyRecurrences(e.Ctx(), tx, []store.RecurrenceChange{
			missed("rec-2", "2025-10-15", 1), missed("rec-1", "2025-08-15", 1), missed("rec-1", "2025-09-15", 2), missed("rec-1", "2025-10-15", 3),
			{Key: key("rec-1"), From: []recurrence.State{recurrence.Active}, To: recurrence.Paused, Reason: store.Reason{Code: recurrence.CodeByPerson}},
		})
		return err
	})
	if len(got) != 2 || got[0].ID != "rec-1" || got[0].Version != 5 || got[0].State != recurrence.Paused || got[0].At.Cycles != 3 || got[1].Version != 2 {
		t.Errorf("changed: %+v", got)
	}
	if diff := cmp.Diff([]string{"activated", "cycle_missed", "cycle_missed", "cycle_missed", "paused"}, e.Told("recurrence", "rec-1")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(got[0], e.Standing("rec-1"), cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Previous" }, cmp.Ignore())); diff != "" {
		t.Errorf("returned and stored (-returned +stored):\n%s", diff)
	}
	e.CheckEvents()
}

func TestAChangeThatCameTooLateTakesTheLaterOnesWithIt(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Soft)
	e.Morning("2025-10-30")
	id := e.Charge("rec-1", "2025-10-30").ID
	e.InTx(func(tx pgx.Tx) error {
		moved, err := e.Store.ApplyCharges(e.Ctx(), tx, []store.ChargeChange{
			{ID: id, From: []charge.State{charge.Due}, To: charge.Cancelled},
			{ID: id, From: []charge.State{charge.FailedSoft}, To: charge.Exhausted},
			{ID: uuid.New(), From: []charge.State{charge.Due}, To: charge.Cancelled},
		})
		if len(moved) != 0 {
			t.Errorf("moved %v", moved)
		}
		return err
	})
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.FailedSoft {
		t.Errorf("charge %s", c.State)
	}
	e.CheckEvents()
}

func TestWaysThatTheTablesLackAreDefects(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	e.Morning("2025-10-30")
	id := e.Charge("rec-1", "2025-10-30").ID
	for name, fn := range map[string]func(ctx context.Context, tx pgx.Tx) error{
		"a charge that succeeded is tried again": func(ctx context.Context, tx pgx.Tx) error {
			_, err := e.Store.ApplyCharges(ctx, tx, []store.ChargeChange{{ID: id, From: []charge.State{charge.Succeeded}, To: charge.Submitting}})
			return err
		},
		"a recurrence is archived while it is active": func(ctx context.Context, tx pgx.Tx) error {
			_, err := e.Store.ApplyRecurrences(ctx, tx, []store.RecurrenceChange{{Key: key("rec-1"), From: []recurrence.State{recurrence.Active}, To: recurrence.Archived}})
			return err
		},
		"a pause is told as a missed cycle": func(ctx context.Context, tx pgx.Tx) error {
			_, err := e.Store.ApplyRecurrences(ctx, tx, []store.RecurrenceChange{
				{Key: key("rec-1"), From: []recurrence.State{recurrence.Active}, To: recurrence.Paused, Event: "recurrence.cycle_missed"},
			})
			return err
		},
		"an archived recurrence is imported": func(ctx context.Context, tx pgx.Tx) error {
			r := e.Recurrence("rec-9", "2025-10-30", recurrencestest.OK)
			now := e.Clock.Now()
			r.State, r.EndedAt, r.At = recurrence.Archived, &now, recurrence.Position{}
			_, err := e.Store.InsertRecurrences(ctx, tx, []store.Recurrence{r})
			return err
		},
	} {
		err := pg.InTx(e.Ctx(), e.Pool, func(tx pgx.Tx) error { return fn(e.Ctx(), tx) })
		if err == nil || !strings.Contains(err.Error(), "state table") {
			t.Errorf("%s: %v", name, err)
		}
	}
	e.CheckEvents()
}

// Promise 6: a cycle has one charge, whoever makes it, and what is made again tells nothing.
func TestWhatIsThereIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	run := e.Morning("2025-10-30")
	before := len(e.Events())
	c := e.Charge("rec-1", "2025-10-30")
	digest := store.Digest{
		Tenant: tenant, SellerID: "seller-1", On: recurrencestest.On("2025-10-30"), RecurrenceIDs: []string{"rec-1"},
		Total: money.Amount{Minor: 4990, Currency: "BRL"}, RunID: run,
	}
	for round := range 2 {
		e.InTx(func(tx pgx.Tx) error {
			charges, err := e.Store.InsertCharges(e.Ctx(), tx, []store.Charge{c})
			if err != nil || len(charges) != 0 {
				t.Errorf("charges made again: %v, %v", charges, err)
			}
			in, err := e.Store.InsertRecurrences(e.Ctx(), tx, []store.Recurrence{e.Recurrence("rec-1", "2025-10-30", recurrencestest.OK)})
			if err != nil || len(in) != 0 {
				t.Errorf("recurrences made again: %v, %v", in, err)
			}
			made, err := e.Store.InsertDigests(e.Ctx(), tx, []store.Digest{digest})
			if err != nil || made != 1-round {
				t.Errorf("round %d: %d digests made, %v", round+1, made, err)
			}
			return nil
		})
	}
	if after := len(e.Events()); after != before+1 { // the digest
		t.Errorf("%d events more", after-before)
	}
	if n := e.Count("SELECT count(*) FROM hold_digests WHERE recurrence_ids = ARRAY['rec-1']"); n != 1 {
		t.Error("the digest does not hold what it tells")
	}
	e.CheckEvents()
}

func TestEventsTellNoNamesAndNoTokens(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.Lost, func(r *store.Recurrence) {
		r.CustomerName, r.Description = "Maria da Silva", "Mensalidade de Maria"
	})
	e.Morning("2025-10-30")
	if len(e.Events()) < 5 {
		t.Fatalf("%d events", len(e.Events()))
	}
	for _, ev := range e.Events() {
		for _, secret := range []string{"Maria", recurrencestest.Lost} {
			if strings.Contains(string(ev.Body), secret) {
				t.Errorf("%s tells %q: %s", ev.Type, secret, ev.Body)
			}
		}
	}
}

func TestOnlyWhatMayBeSentIsWantedSent(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	for id, token := range map[string]string{
		"paid": recurrencestest.OK, "soft": recurrencestest.Soft, "hard": recurrencestest.Hard, "unknown": recurrencestest.TimeoutGone, "contradicted": recurrencestest.Soft + "_c",
	} {
		e.Agree(id, "2025-10-30", token)
	}
	run := e.Morning("2025-10-30")
	e.InTx(func(tx pgx.Tx) error {
		if err := e.Store.Contradict(e.Ctx(), tx, e.Charge("contradicted", "2025-10-30").ID); err != nil {
			return err
		}
		var ids []uuid.UUID
		for _, id := range []string{"paid", "soft", "hard", "unknown", "contradicted"} {
			ids = append(ids, e.Charge(id, "2025-10-30").ID)
		}
		wanted, err := e.Store.WantSent(e.Ctx(), tx, store.Send{Run: run, Date: recurrencestest.On("2025-10-31"), Cause: store.ByPerson}, ids...)
		if len(wanted) != 2 {
			t.Errorf("%d of 2 are to be sent", len(wanted))
		}
		return err
	})
	for id, want := range map[string]bool{"paid": false, "soft": true, "hard": true, "unknown": false, "contradicted": false} {
		if got := e.Charge(id, "2025-10-30").Send.Wanted(); got != want {
			t.Errorf("%s: to be sent %t", id, got)
		}
	}
}

// Paying late can be mended: what the gateway contradicts while it is on its way does not go a second time.
func TestWhatIsContradictedOnItsWayDoesNotGoAgain(t *testing.T) {
	t.Parallel()
	e := recurrencestest.New(t)
	e.Agree("rec-1", "2025-10-30", recurrencestest.OK)
	e.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	e.Morning("2025-10-30")
	id := e.Charge("rec-1", "2025-10-30").ID
	e.InTx(func(tx pgx.Tx) error {
		begin := store.ChargeChange{ID: id, From: []charge.State{charge.Due}, To: charge.Submitting, Attempt: 1, Reference: charge.Reference(id, 1)}
		if _, err := e.Store.ApplyCharges(e.Ctx(), tx, []store.ChargeChange{begin}); err != nil {
			return err
		}
		if err := e.Store.Contradict(e.Ctx(), tx, id); err != nil {
			return err
		}
		_, err := e.Store.ApplyCharges(e.Ctx(), tx, []store.ChargeChange{{ID: id, From: []charge.State{charge.Submitting}, To: charge.Due, Again: true}})
		return err
	})
	if c := e.Charge("rec-1", "2025-10-30"); c.State != charge.Due || c.Send.Wanted() || !c.Contradicted || c.LastAttempt != 0 {
		t.Errorf("charge %s, to be sent %t, contradicted %t, attempted on %q", c.State, c.Send.Wanted(), c.Contradicted, c.LastAttempt)
	}
	e.CheckEvents()
}
