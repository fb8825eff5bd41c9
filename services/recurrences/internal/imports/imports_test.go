package imports_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/recurrences/internal/imports/importstest"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

const sample = "wallclub-recurrences-2025-10-30.csv"

// everything is all that an import may have written, but the time of writing.
func everything(e *importstest.Env) []string {
	return slices.Concat(
		e.Strings("SELECT to_jsonb(r)::text FROM recurrences r ORDER BY recurrence_id"),
		e.Strings("SELECT to_jsonb(c)::text FROM cards c ORDER BY card_id"),
		e.Strings("SELECT stream || ' ' || msg_id || ' ' || convert_from(payload, 'UTF8') FROM outbox ORDER BY seq"),
	)
}

func TestTheSample(t *testing.T) {
	t.Parallel()
	e := importstest.New(t)
	n, refused := e.Import("csv", importstest.Sample(t, sample))
	if want := (rows.Counts{Rows: 42, Inserted: 42}); n != want || len(refused) > 0 {
		t.Fatalf("%+v, refused %v", n, refused)
	}
	states := e.Strings("SELECT state || ' ' || count(*) FROM recurrences GROUP BY state ORDER BY 1")
	if diff := cmp.Diff([]string{"active 37", "cancelled 1", "completed 1", "hold 2", "paused 1"}, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	events := e.Strings("SELECT headers->>'ce-type' || ' ' || count(*) FROM outbox WHERE stream = 'EVENTS' GROUP BY headers->>'ce-type' ORDER BY 1")
	if diff := cmp.Diff([]string{
		"com.agogo.recurrence.activated.v1 37", "com.agogo.recurrence.cancelled.v1 1", "com.agogo.recurrence.completed.v1 1",
		"com.agogo.recurrence.held.v1 2", "com.agogo.recurrence.paused.v1 1",
	}, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for _, told := range e.Strings("SELECT convert_from(payload, 'UTF8') FROM outbox") {
		if strings.Contains(told, "tok_") || strings.Contains(told, "Cliente") || strings.Contains(told, "Mensalidade") {
			t.Errorf("a token, a name or a description is told: %s", told)
		}
	}
	late := e.Strings("SELECT next_cycle || ' ' || next_charge_date FROM recurrences WHERE recurrence_id = 'rec-042'")
	if !slices.Equal(late, []string{"2025-04-13 2025-04-14"}) {
		t.Errorf("rec-042 goes on at %v", late)
	}
	ended := e.Strings("SELECT recurrence_id || ' ' || (next_cycle IS NULL) || ' ' || (ended_at = $1) FROM recurrences WHERE state IN ('completed', 'cancelled') ORDER BY 1",
		e.Clock.Now())
	if !slices.Equal(ended, []string{"rec-038 true true", "rec-041 true true"}) {
		t.Errorf("ended: %v", ended)
	}
	if held := e.Strings("SELECT recurrence_id FROM recurrences WHERE held_by IS NOT NULL OR reason_code <> 'imported'"); len(held) > 0 {
		t.Errorf("not as imported: %v", held)
	}
}

func TestAFileAgainChangesNothing(t *testing.T) {
	t.Parallel()
	e := importstest.New(t)
	e.Import("csv", importstest.Sample(t, sample))
	before := everything(e)
	e.Clock.Set(importstest.At("2025-11-30T00:00:00Z"))
	n, refused := e.Import("csv", importstest.Sample(t, sample))
	if want := (rows.Counts{Rows: 42, Unchanged: 42}); n != want || len(refused) > 0 {
		t.Errorf("%+v, refused %v", n, refused)
	}
	if diff := cmp.Diff(before, everything(e)); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
	// Nor what Agogo made of a recurrence since.
	e.Exec("UPDATE recurrences SET state = 'cancelled', next_cycle = NULL, next_charge_date = NULL, ended_at = now() WHERE recurrence_id = 'rec-001'")
	if n, _ := e.Import("csv", importstest.Sample(t, sample)); n.Unchanged != 42 {
		t.Errorf("after a person cancelled one: %+v", n)
	}
}

func TestBadRowsStoreNothing(t *testing.T) {
	t.Parallel()
	e := importstest.New(t)
	n, refused := e.CSV(
		"rec-1,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_1,visa,active,x",
		"rec-2,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-15,tok_2,visa,active,x", // no date of the rhythm
		"rec-3,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,4111111111111111,visa,active,x",
		"rec-4,cus-1,4111 1111 1111 1111,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_4,visa,active,x",
		"rec-1,cus-1,Ana,seller-1,59.90,BRL,monthly,30,,2025-10-30,tok_1,visa,active,x",  // known with another amount
		"rec-1,cus-1,Ana,seller-1,49.900,BRL,monthly,30,,2025-10-30,tok_1,visa,active,x", // three decimals
		"rec-1,cus-1,Ana,seller-1,49.9,BRL,monthly,30,,2025-10-30,tok_1,visa,active,x",   // the same, written otherwise
		"rec-5,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_1,elo,active,x",   // the card is a visa
		"rec-6,cus-1,Ana,seller-1,49.90,BRL,weekly,4,,2025-10-30,tok_1,Visa,past_due,x,,,3,2",
	)
	if want := (rows.Counts{Rows: 9, Inserted: 2, Unchanged: 1, Refused: 6}); n != want {
		t.Errorf("%+v, want %+v", n, want)
	}
	var got []string
	for _, r := range refused {
		got = append(got, fmt.Sprintf("%d %s", r.Line, r.Field))
		if strings.Contains(r.Message, "1111") || strings.Contains(r.Message, "Ana") {
			t.Errorf("told: %s", r.Message)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"3 next_charge_date", "4 card_token", "5 customer_name", "6 amount", "7 amount", "9 card_brand"}, got); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	if ids := e.Strings("SELECT recurrence_id FROM recurrences ORDER BY 1"); !slices.Equal(ids, []string{"rec-1", "rec-6"}) {
		t.Errorf("stored %v", ids)
	}
	if tokens := e.Strings("SELECT token || ' ' || brand || ' ' || failures FROM cards"); !slices.Equal(tokens, []string{"tok_1 visa 2"}) {
		t.Errorf("cards %v", tokens)
	}
	for _, row := range everything(e) {
		if strings.Contains(row, "1111") {
			t.Errorf("a card number is stored: %s", row)
		}
	}
}

func TestJSONLines(t *testing.T) {
	t.Parallel()
	e := importstest.New(t)
	n, refused := e.Import("jsonl", `{"recurrence_id":"rec-1","customer_id":"cus-1","customer_name":"Ana","seller_id":"seller-1","amount":49.90,"currency":"BRL",`+
		`"period":"monthly","anchor_day":30,"anchor_month":null,"next_charge_date":"2025-10-30","card_token":"tok_1","card_brand":"visa","status":"active","description":null}
{"recurrence_id":"rec-2","customer_id":"cus-1","customer_name":4111111111111111}
`)
	if n.Inserted != 1 || len(refused) != 1 || refused[0].Line != 2 || strings.Contains(refused[0].Message, "1111") {
		t.Errorf("%+v, refused %v", n, refused)
	}
	if n, refused := e.CSV("rec-1,cus-1,Ana,seller-1,49.9,BRL,monthly,30,,2025-10-30,tok_1,visa,active,"); n.Unchanged != 1 {
		t.Errorf("the same as CSV: %+v, refused %v", n, refused)
	}
}

// TestFailedAttemptsAreTheCards: they bring a card nearer to being invalidated, once, over all its recurrences.
func TestFailedAttemptsAreTheCards(t *testing.T) {
	t.Parallel()
	e := importstest.New(t)
	lines := []string{
		"rec-1,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_1,visa,past_due,x,,,,2",
		"rec-2,cus-1,Ana,seller-2,49.90,BRL,monthly,30,,2025-10-30,tok_1,visa,hold,x,,,,1",
		"rec-3,cus-1,Ana,seller-2,49.90,BRL,monthly,30,,2025-10-30,tok_1,visa,cancelled,x,,,,1", // over: nobody tries it again
		"rec-4,cus-2,Rui,seller-2,49.90,BRL,monthly,30,,2025-10-30,tok_2,elo,active,x",
	}
	failures := func() []string {
		return e.Strings("SELECT token || ' ' || failures || ' ' || state FROM cards ORDER BY 1")
	}
	e.CSV(lines...)
	if got := failures(); !slices.Equal(got, []string{"tok_1 3 valid", "tok_2 0 valid"}) {
		t.Errorf("cards %v", got)
	}
	e.CSV(append(lines, "rec-5,cus-1,Ana,seller-2,49.90,BRL,monthly,30,,2025-10-30,tok_1,visa,past_due,x,,,,1")...)
	if got := failures(); !slices.Equal(got, []string{"tok_1 4 valid", "tok_2 0 valid"}) {
		t.Errorf("again, with one more: %v", got)
	}
}

func TestInvalidCardsAreNotChargedAgain(t *testing.T) {
	t.Parallel()
	e := importstest.New(t)
	e.CSV("rec-1,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_1,visa,active,x")
	e.Exec("UPDATE cards SET state = 'invalid', reason = 'expired_card'")
	n, refused := e.CSV(
		"rec-2,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_1,visa,active,x",
		"rec-3,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_1,visa,hold,x",
		"rec-1,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_1,visa,active,x",
	)
	if n.Inserted != 1 || n.Unchanged != 1 || len(refused) != 1 || refused[0].Field != "card_token" || !strings.Contains(refused[0].Message, "expired_card") {
		t.Errorf("%+v, refused %v", n, refused)
	}
}

// TestImportsAtOnce sends one file several times at the same moment: each recurrence is inserted by one of them, and a card's
// failures are counted once.
func TestImportsAtOnce(t *testing.T) {
	t.Parallel()
	e := importstest.New(t)
	var lines []string
	for i := range 1200 {
		lines = append(lines, fmt.Sprintf("rec-%04d,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_%d,visa,past_due,x,,,,1", i, i%7))
	}
	backwards := slices.Clone(lines)
	slices.Reverse(backwards)
	var wg sync.WaitGroup
	counts := make([]rows.Counts, 4)
	for i := range counts {
		wg.Go(func() {
			counts[i], _ = e.CSV([][]string{lines, backwards}[i%2]...)
		})
	}
	wg.Wait()
	var sum rows.Counts
	for _, n := range counts {
		sum.Inserted, sum.Unchanged, sum.Refused = sum.Inserted+n.Inserted, sum.Unchanged+n.Unchanged, sum.Refused+n.Refused
	}
	if sum.Inserted != 1200 || sum.Unchanged != 3600 || sum.Refused != 0 {
		t.Errorf("%+v of %+v", sum, counts)
	}
	if got := e.Strings("SELECT sum(failures) || ' ' || count(*) FROM cards"); !slices.Equal(got, []string{"1200 7"}) {
		t.Errorf("failures and cards: %v", got)
	}
	if got := e.Strings("SELECT count(*)::text FROM outbox WHERE stream = 'EVENTS'"); got[0] != "1200" {
		t.Errorf("%s events", got[0])
	}
}

func TestOtherTenantsAreRefused(t *testing.T) {
	t.Parallel()
	e := importstest.New(t)
	_, err := e.Importer.Recurrences(e.Ctx(), e.Tenants.Tenants[1], "csv", strings.NewReader(""), rows.Sink{})
	if err == nil || !strings.Contains(err.Error(), "has no recurrences in the tenants file") {
		t.Errorf("a tenant that charges nobody: %v", err)
	}
}

func TestTheAuditTrailNamesTheImport(t *testing.T) {
	t.Parallel()
	e := importstest.New(t)
	e.CSV("rec-1,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_1,visa,active,x")
	e.CSV("rec-1,cus-1,Ana,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_1,visa,active,x") // changes nothing: no entry
	got := e.Strings("SELECT tenant || ' ' || service || ' ' || actor || ' ' || action || ' ' || target || ' ' || detail FROM audit_entries")
	want := []string{importstest.Tenant + " " + store.Service + " user:test ImportRecurrences line 2 and after 1 inserted, 0 updated"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
