package histories

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/ledger"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// judge holds the tables against the bank's book.
type judge struct {
	world        *world
	evening      string              // the nominal time of the newest daily tick
	contradicted map[string]bool     // items of payouts known to be so when it last looked
	sent         map[string]sent     // references as they were sent, for the time when the tables have forgotten them
	first        map[string][]string // what references were sent for
	lost         map[string]bool     // references that a restore has made the tables forget
	standing     map[string]int64    // attempts that were not sent as of a backup, and their versions there: they may have been since

	mu      sync.Mutex
	accused []string
}

// accuse notes what must never happen, from any goroutine.
func (j *judge) accuse(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.accused = append(j.accused, what)
}

// attempt is a reference with what the tables say of it.
type attemptRow struct {
	Reference, Payout, State, PayoutState string
	Contradicted                          bool
	Version                               int64
}

// look fails the test unless everything that must hold at any moment does.
func (j *judge) look() {
	w := j.world
	w.t.Helper()
	w.CheckEvents()
	w.CheckItems()
	w.CheckCaps()
	j.attempts()
	j.books()
	j.nothingIsLost()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, what := range j.accused {
		w.t.Error(what)
	}
}

// books: the ledger is what the facts make it, and accounts are in balance.
func (j *judge) books() {
	w := j.world
	w.t.Helper()
	differ, _, err := ledger.Verify(w.Ctx(), w.Pool, payoutstest.Tenant, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range differ {
		w.t.Errorf("account %s is %d, the facts say %d", d.Account, d.Found, d.Expected)
	}
	sum := int64(0)
	for _, net := range w.Balances() {
		sum += net
	}
	if sum != 0 {
		w.t.Errorf("the accounts sum up to %d", sum)
	}
}

// attempts: an attempt and its payout say the same, what they say is so at the bank, no payment left twice, and nothing goes
// out that the bank has contradicted us about.
func (j *judge) attempts() {
	w := j.world
	w.t.Helper()
	rows, err := w.Pool.Query(w.Ctx(), `SELECT a.reference, a.subject_id::text, a.state, p.state, p.contradicted, a.version
		FROM attempts a JOIN payouts p ON p.payout_id = a.subject_id AND p.attempt = a.number
		UNION ALL SELECT a.reference, a.subject_id::text, a.state, '', p.contradicted, a.version
		FROM attempts a JOIN payouts p ON p.payout_id = a.subject_id AND p.attempt <> a.number`)
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[attemptRow])
	if err != nil {
		w.t.Fatal(err)
	}
	w.bank.each(-1, func(*transfer) {}) // what has landed meanwhile counts
	w.bank.mu.Lock()
	defer w.bank.mu.Unlock()
	ours := map[string]attemptRow{}
	for _, a := range all {
		ours[a.Reference] = a
		j.attempt(a, w.bank.transfers[a.Reference])
	}
	for reference, x := range w.bank.transfers {
		if _, ok := ours[reference]; !ok && !j.lost[reference] && x.state != "" {
			w.t.Errorf("the bank has %s of %s, which no attempt of ours is", reference, x.state)
		}
	}
	j.once()
}

// attempt compares one with its payout and with the bank.
func (j *judge) attempt(a attemptRow, x *transfer) {
	t := j.world.t
	t.Helper()
	same := a.PayoutState == "" || a.PayoutState == a.State
	if a.State == "failed" || a.State == "not_sent" {
		same = a.PayoutState != "submitting" && a.PayoutState != "processing" && a.PayoutState != "unknown" && a.PayoutState != "manual_review" &&
			a.PayoutState != "succeeded" && a.PayoutState != "reversed"
	}
	if !same && (a.State != "succeeded" || a.PayoutState != "reversed") {
		t.Errorf("payout %s is %s, its attempt %s", a.Payout, a.PayoutState, a.State)
	}
	if a.PayoutState == "" && a.State != "failed" && a.State != "not_sent" {
		t.Errorf("payout %s has gone on though its attempt %s is %s", a.Payout, a.Reference, a.State)
	}
	if x == nil {
		if a.State == "succeeded" || a.State == "processing" {
			t.Errorf("attempt %s is %s, the bank never had it", a.Reference, a.State)
		}
		return
	}
	switch {
	case x.moved > 1:
		t.Errorf("reference %s was paid %d times", a.Reference, x.moved)
	case x.amounts > 0:
		t.Errorf("reference %s came with another amount", a.Reference)
	case x.lied, x.beyond && a.State == "not_sent", a.State == "not_sent" && j.standing[a.Reference] == a.Version: // it may go again, under the same reference only
	case a.State == "succeeded" && x.moved != 1:
		t.Errorf("attempt %s succeeded, the bank has not paid it", a.Reference)
	case (a.State == "failed" || a.State == "not_sent") && x.settled() != 0:
		t.Errorf("attempt %s is %s, the bank has paid it", a.Reference, a.State)
	}
}

// once: whatever payouts a payment was in, at most one transfer of all of them was paid and not taken back, or may yet be,
// but for those about which the bank has lied.
func (j *judge) once() {
	w := j.world
	w.t.Helper()
	rows, err := w.Pool.Query(w.Ctx(), `SELECT i.item_id, a.reference, p.payout_id, p.contradicted FROM payout_items i JOIN attempts a ON a.subject_id = i.payout_id
		JOIN payouts p ON p.payout_id = i.payout_id WHERE i.item_kind = 'payment'`)
	if err != nil {
		w.t.Fatal(err)
	}
	paid, now, known := map[string][]string{}, map[string]bool{}, map[string]sent{}
	var item, reference string
	var payout uuid.UUID
	var contradicted bool
	if _, err := pgx.ForEachRow(rows, []any{&item, &reference, &payout, &contradicted}, func() error {
		if contradicted {
			now[item] = true
		}
		if j.contradicted[item] && slices.Contains(w.bank.arrivals, reference) {
			w.t.Errorf("payment %s was sent as %s although the bank has told that it paid it", item, reference)
		}
		known[reference] = sent{payout, append(known[reference].items, item)}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	maps.Copy(j.sent, known)
	w.bank.arrivals, j.contradicted = nil, now
	then := map[string][]string{}
	for reference, s := range j.sent {
		x := w.bank.transfers[reference]
		counts := x != nil && (x.settled() > 0 || x.state == "pending" || x.state == "flying")
		if _, ok := j.first[reference]; !ok || !counts {
			j.first[reference] = s.items
		}
		if !counts || x.lied {
			continue
		}
		if _, ok := known[reference]; !ok {
			s.items = j.itemsOf(s)
		}
		for _, item := range s.items {
			paid[item] = append(paid[item], reference)
		}
		for _, item := range j.first[reference] {
			then[item] = append(then[item], reference)
		}
	}
	j.twice(paid, then)
}

// twice holds what references pay, as the tables have it, against what they were sent for. After a restore a payout may be made of other
// payments than before, and be taken over for those: the payee has what is theirs, payment by payment it looks otherwise. A payee who was paid
// twice was so by both.
func (j *judge) twice(paid, then map[string][]string) {
	w := j.world
	w.t.Helper()
	payees := map[int]bool{}
	for _, references := range then {
		if len(references) > 1 {
			payees[payeeOf(w.bank.transfers[references[0]].Destination)] = true
		}
	}
	for item, references := range paid {
		if len(references) > 1 && payees[payeeOf(w.bank.transfers[references[0]].Destination)] {
			w.t.Errorf("payment %s was paid %d times, as %v", item, len(references), references)
		}
	}
}

// itemsOf is what a reference pays that the tables have forgotten: what its payout is made of there, if that stands again, for then it is
// taken over; what it was made of otherwise.
func (j *judge) itemsOf(s sent) []string {
	w := j.world
	w.t.Helper()
	rows, err := w.Pool.Query(w.Ctx(), "SELECT item_id FROM payout_items WHERE payout_id = $1 AND item_kind = 'payment' ORDER BY 1", s.payout)
	if err != nil {
		w.t.Fatal(err)
	}
	items, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	if len(items) == 0 {
		return s.items
	}
	return items
}

// restored is told after the tables were put back: what they know no more is lost until they know it again.
func (j *judge) restored() {
	w := j.world
	w.t.Helper()
	j.contradicted, j.standing = nil, map[string]int64{}
	rows, err := w.Pool.Query(w.Ctx(), "SELECT reference, version FROM attempts WHERE state = 'not_sent'")
	if err != nil {
		w.t.Fatal(err)
	}
	var reference string
	var version int64
	if _, err := pgx.ForEachRow(rows, []any{&reference, &version}, func() error { j.standing[reference] = version; return nil }); err != nil {
		w.t.Fatal(err)
	}
	w.bank.each(-1, func(x *transfer) { j.lost[x.Reference] = true })
}

// sent is what a reference was for.
type sent struct {
	payout uuid.UUID
	items  []string
}

// nothingIsLost: a completed payment is free for the next run, or in a payout that is paid, on its way, or somewhere that people see.
func (j *judge) nothingIsLost() {
	w := j.world
	w.t.Helper()
	for what, sql := range map[string]string{
		"completed payments are tied to payouts that have ended unpaid": `SELECT count(*) FROM payments m JOIN payouts p USING (payout_id)
			WHERE m.status = 'completed' AND NOT p.contradicted AND (p.state IN ('skipped', 'rejected', 'cancelled', 'reversed') OR p.state = 'failed' AND p.retry_at IS NULL)`,
		"payouts whose gross is not commission and net": `SELECT count(*) FROM payouts WHERE gross <> commission + net`,
		"attempts are open and will never be asked about": `SELECT count(*) FROM attempts
			WHERE state IN ('processing', 'unknown', 'manual_review') AND next_lookup_at IS NULL`,
	} {
		if n := w.Count(sql); n != 0 {
			w.t.Errorf("%d %s", n, what)
		}
	}
}

// settle ends all that hinders, gives everybody time, and asks that nothing is left but what has a name.
func (j *judge) settle() {
	w := j.world
	w.t.Helper()
	w.bank.honest()
	for len(w.frozen) > 0 {
		w.thaw()
	}
	w.leasesEnd()
	for range 8 {
		w.tenant(nil, "start")
		w.open()
		w.batchesGoOn()
		w.deniedGoOn()
		w.wait(nil, "2m")
		w.wait(nil, "1h")
	}
	w.wait(nil, "25h")
	w.wait(nil, "25h")
	for range 6 { // what came to be in doubt in the last of them is asked about, what is found absent is so twice, and its run is sent and ends
		w.wait(nil, "10s")
	}
	j.look()
	for what, sql := range map[string]string{
		"runs are not over":                            `SELECT count(*) FROM runs WHERE state IN ('queued', 'running')`,
		"payouts are nowhere that people see":          `SELECT count(*) FROM payouts WHERE state IN ('created', 'approved', 'submitting', 'processing', 'unknown')`,
		"failed payouts wait for a retry that is over": `SELECT count(*) FROM payouts WHERE state = 'failed' AND retry_at < $1 AND NOT contradicted`,
		"payouts are held and nobody is told why":      `SELECT count(*) FROM payouts WHERE state = 'held' AND reason_code = ''`,
	} {
		args := []any{}
		if what[0] == 'f' {
			args = append(args, w.Clock.Now().Add(-time.Hour))
		}
		if n := w.Count(sql, args...); n != 0 {
			w.t.Errorf("in the end %d %s", n, what)
		}
	}
	j.truthIsKnown()
}

// truthIsKnown: what the bank has paid is booked so in the end, and where its earlier lies stand in the way people were told.
func (j *judge) truthIsKnown() {
	w := j.world
	w.t.Helper()
	var known []string
	rows, err := w.Pool.Query(w.Ctx(), `SELECT a.reference FROM attempts a JOIN payouts p ON p.payout_id = a.subject_id
		WHERE a.state = 'succeeded' OR p.state = 'manual_review' OR p.contradicted`)
	if err == nil {
		known, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		w.t.Fatal(err)
	}
	booked := map[string]bool{}
	for _, reference := range known {
		booked[reference] = true
	}
	w.bank.each(-1, func(x *transfer) {
		if x.settled() == 1 && !x.lied && !booked[x.Reference] && (!j.lost[x.Reference] || !j.told(x.Reference)) {
			w.t.Errorf("the bank has paid %s, and nobody here knows", x.Reference)
		}
	})
}

// told reports whether people hear of a reference from before a restore: its payout does not stand again, and whatever else its payee is
// to get is held for it.
func (j *judge) told(reference string) bool {
	return j.world.Count("SELECT count(*) FROM restore_lost WHERE subject_id = $1 AND passed_at IS NULL", j.sent[reference].payout) > 0
}

// batchesGoOn resumes what was paused.
func (w *world) batchesGoOn() {
	w.t.Helper()
	rows, err := w.Pool.Query(w.Ctx(), "SELECT batch_id::text FROM batches WHERE control = 'paused'")
	if err != nil {
		w.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	for _, id := range ids {
		w.said("resume", w.batchAct(w.As(who(0)), id, "resume"))
	}
	w.work()
}

// deniedGoOn releases what was denied by the bank and is held since because people said so: nobody asks about it for as long.
func (w *world) deniedGoOn() {
	w.t.Helper()
	rows, err := w.Pool.Query(w.Ctx(), `SELECT p.payout_id::text, p.payee_id FROM payouts p JOIN attempts a ON a.subject_id = p.payout_id AND a.number = p.attempt
		WHERE p.state = 'held' AND p.reason_code IN ('payee_paused', 'by_person') AND a.state = 'not_sent' AND a.opened_at IS NOT NULL ORDER BY 1`)
	if err != nil {
		w.t.Fatal(err)
	}
	held, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ ID, Payee string }])
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range held {
		_, err := w.admin.ResumePayee(w.As(who(0)), &payoutsv1.ResumePayeeRequest{Tenant: tenant, PayeeId: p.Payee, Reason: "asked to", RequestId: uuid.NewString()})
		w.said("resume", err)
		_, err = w.admin.ReleasePayout(w.As(who(0)), &payoutsv1.ReleasePayoutRequest{Tenant: tenant, Id: p.ID, Reason: "looked into it", RequestId: uuid.NewString()})
		w.said("release", err)
	}
	w.work()
}

// tell says what there is, for a history that failed.
func (j *judge) tell() string {
	w := j.world
	text := ""
	rows, err := w.Pool.Query(w.Ctx(), `SELECT p.payee_id || ' ' || p.state || '/' || p.reason_code || ' attempt ' || p.attempt || ' net ' || p.net ||
		COALESCE((SELECT string_agg(' | ' || a.reference || ' ' || a.state || '/' || a.code, '' ORDER BY a.number) FROM attempts a WHERE a.subject_id = p.payout_id), '')
		FROM payouts p ORDER BY p.created_at, p.payee_id, p.seq`)
	if err == nil {
		var lines []string
		lines, err = pgx.CollectRows(rows, pgx.RowTo[string])
		for _, l := range lines {
			text += l + "\n"
		}
	}
	w.bank.each(-1, func(x *transfer) {
		text += fmt.Sprintf("bank: %s %s moved %d reversed %v lied %v\n", x.Reference, x.state, x.moved, x.reversed, x.lied)
	})
	return fmt.Sprintf("%s%v at %s", text, err, w.Clock.Now())
}
