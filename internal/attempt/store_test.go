package attempt

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func start(subject uuid.UUID, number int) Start {
	return Start{
		Key: Key{subject, number}, Tenant: "lebenis", Provider: "orange",
		Reference: subject.String() + "-" + strconv.Itoa(number), Amount: xof24000, Destination: "+2250700000101",
	}
}

func in[T any](t *testing.T, pool *pgxpool.Pool, fn func(ctx context.Context, tx pgx.Tx) (T, error)) T {
	t.Helper()
	var out T
	err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) (err error) {
		out, err = fn(t.Context(), tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func begin(t *testing.T, pool *pgxpool.Pool, owner string, lease time.Duration, starts ...Start) []Attempt {
	t.Helper()
	return in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) {
		return Begin(ctx, tx, owner, lease, sent, starts)
	})
}

func record(t *testing.T, pool *pgxpool.Pool, owner string, o ...Outcome) []Attempt {
	t.Helper()
	return in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) {
		for i := range o {
			o[i].Owner = owner
		}
		return Record(ctx, tx, sent.Add(time.Second), o)
	})
}

func takeOver(t *testing.T, pool *pgxpool.Pool) []Attempt {
	t.Helper()
	return in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) { return TakeOver(ctx, tx, sent, 100) })
}

func claim(t *testing.T, pool *pgxpool.Pool, at time.Time) []Attempt {
	t.Helper()
	return in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) {
		return ClaimLookups(ctx, tx, at, time.Minute, Room{"lebenis", "orange", 100})
	})
}

func read(t *testing.T, pool *pgxpool.Pool, k Key) Attempt {
	t.Helper()
	all, err := OfSubjects(t.Context(), pool, k.Subject)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all[k.Subject], func(a Attempt) bool { return a.Key == k })
	if i < 0 {
		t.Fatalf("attempt %v is gone", k)
	}
	return all[k.Subject][i]
}

func outcome(a Attempt, state State, class provider.Class, next *time.Time) Outcome {
	return Outcome{Key: a.Key, Sends: a.Sends, State: state, Result: provider.Result{Class: class, Code: "c"}, NextLookup: next}
}

func TestAnAttemptOpensOnceUnderItsReference(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	s := start(uuid.New(), 1)
	a := begin(t, pool, "me", time.Minute, s)[0]
	if a.State != Submitting || a.Sends != 1 || a.Reference != s.Reference {
		t.Fatalf("got %+v", a)
	}
	err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := Begin(t.Context(), tx, "other", time.Minute, sent, []Start{s})
		return err
	})
	if err == nil {
		t.Error("an open attempt was begun a second time")
	}

	record(t, pool, "me", outcome(a, NotSent, provider.NotSent, nil))
	again := begin(t, pool, "other", time.Minute, s)[0]
	if again.Sends != 2 || again.Reference != s.Reference || again.Number != 1 || again.Transfer("").Resend {
		t.Errorf("a reference that was never sent came back as %+v", again)
	}
	slow := outcome(again, NotSent, provider.NotSent, nil)
	slow.Result.Code = provider.CodeRateLimited
	record(t, pool, "other", slow)
	if again = begin(t, pool, "other", time.Minute, s)[0]; again.Sends != 3 || !again.Transfer("").Resend {
		t.Errorf("a reference whose send was answered with 429 came back as %+v", again)
	}

	record(t, pool, "other", outcome(again, Failed, provider.RejectedFinal, nil))
	other := s
	other.Amount.Minor++
	for _, closed := range []Start{s, other} {
		err = pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			_, err := Begin(t.Context(), tx, "me", time.Minute, sent, []Start{closed})
			return err
		})
		if err == nil {
			t.Error("a closed attempt was begun again")
		}
	}
}

// What was refused goes again under its reference only behind as many refusals without a trace as there may be, where the caller says so, and
// while nothing of it is known at the provider.
func TestWhatIsSpentGoesAgainWhereTheCallerSaysSo(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	subject := uuid.New()
	again := func(number int, spent bool) (Attempt, error) {
		s := start(subject, number)
		s.Spent = spent
		var all []Attempt
		err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) (err error) {
			all, err = Begin(t.Context(), tx, "me", time.Minute, sent, []Start{s})
			return err
		})
		if err != nil {
			return Attempt{}, err
		}
		return all[0], nil
	}
	for number := 1; number <= Traceless+1; number++ {
		a, err := again(number, false)
		if err != nil || a.Behind != number-1 || a.Spent() {
			t.Fatalf("attempt %d is behind %d: %v", number, a.Behind, err)
		}
		a = record(t, pool, "me", outcome(a, Failed, provider.RejectedRetryable, nil))[0]
		if _, err := again(number, false); err == nil {
			t.Fatalf("attempt %d, which was refused, was begun again", number)
		}
		if _, err := again(number, true); number <= Traceless && (err == nil || a.Spent()) {
			t.Fatalf("attempt %d, behind %d, was begun again as if it were spent", number, a.Behind)
		}
	}
	a := read(t, pool, Key{subject, Traceless + 1})
	if a.State != Submitting || a.Sends != 2 {
		t.Fatalf("the last one did not go again: %s, %d sends", a.State, a.Sends)
	}
	next := sent.Add(time.Hour)
	a = record(t, pool, "me", outcome(a, Unknown, provider.Ambiguous, &next))[0]
	decided := in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) {
		return RecordLookups(ctx, tx, next, []Update{{Attempt: a, Lookup: true, Decision: Decision{State: Failed, Answered: true}}})
	})
	if len(decided) != 1 || decided[0].Spent() {
		t.Fatalf("what was in doubt is spent: %+v", decided)
	}
	if _, err := again(Traceless+1, true); err == nil {
		t.Error("a reference that was in doubt goes again")
	}
}

// What SQL takes for refused without a trace is what [Attempt.Traceless] says, whatever an attempt is like.
func TestRefusedWithoutATraceIsTheSameInSQL(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	for _, a := range everyAttempt() {
		s := start(uuid.New(), 1)
		lease := "NULL"
		if a.State == Submitting {
			lease = "now()"
		}
		_, err := pool.Exec(t.Context(), `INSERT INTO attempts (subject_id, number, tenant, provider, reference, amount, currency, destination, state,
			provider_id, submitted_at, accepted, opened_at, closed_at, behind, lease_expires_at) VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $10, $13, `+lease+`)`,
			s.Subject, s.Tenant, s.Provider, s.Reference, s.Amount.Minor, string(s.Amount.Currency), s.Destination, string(a.State),
			a.ProviderID, sent, a.Accepted, a.OpenedAt, a.Behind)
		if err != nil {
			t.Fatal(err)
		}
		begun := func(number int) (behind int, ok bool) {
			s := s
			s.Number, s.Spent = number, true
			if number > 1 {
				s.Reference += "-next"
			}
			err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
				all, err := Begin(t.Context(), tx, "me", time.Minute, sent, []Start{s})
				if err == nil {
					behind = all[0].Behind
				}
				return err
			})
			return behind, err == nil
		}
		want := 0
		if a.Traceless() {
			want = a.Behind + 1
		}
		if got, ok := begun(2); !ok || got != want {
			t.Errorf("what follows %+v is behind %d, want %d (begun: %t)", a, got, want, ok)
		}
		if _, again := begun(1); again != (a.Spent() || a.State == NotSent) {
			t.Errorf("%+v goes again under its reference: %t", a, again)
		}
	}
}

// everyAttempt is one attempt of each kind that can be told apart by what is left of it at the provider, of those that nobody looks up.
func everyAttempt() []Attempt {
	var all []Attempt
	for _, state := range []State{Submitting, Succeeded, Failed, NotSent} {
		for _, accepted := range []bool{false, true} {
			for _, opened := range []*time.Time{nil, &sent} {
				for _, id := range []string{"", "tx-1"} {
					for behind := range Traceless + 2 {
						all = append(all, Attempt{State: state, Accepted: accepted, OpenedAt: opened, ProviderID: id, Behind: behind})
					}
				}
			}
		}
	}
	return all
}

func TestTheAmountOfAReferenceNeverChanges(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	s := start(uuid.New(), 1)
	a := begin(t, pool, "me", time.Minute, s)[0]
	record(t, pool, "me", outcome(a, NotSent, provider.NotSent, nil))
	again := func(s Start) error {
		return pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			_, err := Begin(t.Context(), tx, "me", time.Minute, sent, []Start{s})
			return err
		})
	}
	for what, change := range map[string]func(*Start){
		"amount":    func(s *Start) { s.Amount.Minor = 1 },
		"currency":  func(s *Start) { s.Amount.Currency = "BRL" },
		"reference": func(s *Start) { s.Reference += "x" },
	} {
		other := s
		if change(&other); again(other) == nil {
			t.Errorf("it was begun again with another %s", what)
		}
	}
	if err := again(s); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

func TestOnlyTheSendThatHoldsAnAttemptRecordsIt(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	s := start(uuid.New(), 1)
	first := begin(t, pool, "me", -time.Second, s)[0]
	if got := takeOver(t, pool); len(got) != 1 || got[0].State != Unknown || got[0].NextLookupAt == nil {
		t.Fatalf("took over %+v", got)
	}
	if got := record(t, pool, "me", outcome(first, Failed, provider.RejectedFinal, nil)); len(got) != 0 {
		t.Fatalf("a late answer closed a taken-over attempt: %+v", got)
	}

	// Proven never created, sent again by the same process: the first send's answer must not close the second one.
	a := read(t, pool, first.Key)
	in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) {
		return RecordLookups(ctx, tx, sent, []Update{{Attempt: a, Decision: Decision{State: NotSent}, Lookup: true}})
	})
	second := begin(t, pool, "me", time.Minute, s)[0]
	if !second.Transfer("").Resend {
		t.Error("a reference that was in doubt goes again as if it were new")
	}
	if got := record(t, pool, "me", outcome(first, Failed, provider.RejectedFinal, nil)); len(got) != 0 {
		t.Fatalf("the answer to the first send closed the second: %+v", got)
	}
	if got := record(t, pool, "me", outcome(second, Succeeded, provider.Succeeded, nil)); len(got) != 1 || got[0].State != Succeeded {
		t.Fatalf("got %+v", got)
	}
}

func TestTakeOverLeavesLiveLeasesAlone(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	begin(t, pool, "me", time.Hour, start(uuid.New(), 1), start(uuid.New(), 1))
	if got := takeOver(t, pool); len(got) != 0 {
		t.Errorf("took over %d live attempts", len(got))
	}
}

func TestAnOpenAttemptWithoutALookupCannotBeStored(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	a := begin(t, pool, "me", time.Minute, start(uuid.New(), 1))[0]
	err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		doubt := outcome(a, Unknown, provider.Ambiguous, nil)
		doubt.Owner = "me"
		_, err := Record(t.Context(), tx, sent, []Outcome{doubt})
		return err
	})
	if pg.KindOf(err) != pg.Invalid {
		t.Errorf("stored an unknown that nobody would ask about: %v", err)
	}
}

func TestLookupsAreClaimedOnceAndWhenDue(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	due, later := sent.Add(time.Minute), sent.Add(time.Hour)
	var starts []Start
	for range 20 {
		starts = append(starts, start(uuid.New(), 1))
	}
	var outcomes []Outcome
	for i, a := range begin(t, pool, "me", time.Minute, starts...) {
		outcomes = append(outcomes, outcome(a, Unknown, provider.Ambiguous, []*time.Time{&due, &later}[i%2]))
	}
	record(t, pool, "me", outcomes...)

	var mu sync.Mutex
	claimed := map[Key]int{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, a := range claim(t, pool, due) {
				mu.Lock()
				claimed[a.Key]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(claimed) != 10 {
		t.Errorf("%d attempts were claimed, 10 were due", len(claimed))
	}
	for k, n := range claimed {
		if n != 1 {
			t.Errorf("attempt %v was claimed %d times", k, n)
		}
	}
	if got := claim(t, pool, later); len(got) != 10 {
		t.Errorf("%d became due later, want the other 10", len(got))
	}
}

func TestADecisionOnAnOlderRowDecidesNothing(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	s := start(uuid.New(), 1)
	next := sent.Add(time.Minute)
	record(t, pool, "me", outcome(begin(t, pool, "me", time.Minute, s)[0], Unknown, provider.Ambiguous, &next))
	looking := claim(t, pool, next)[0]

	// A webhook comes while the lookup is under way: what the lookup saw may be older than what the webhook tells.
	for tenant, want := range map[string][]string{"other": nil, "lebenis": {s.Reference}} {
		hinted := in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]string, error) {
			return Hint(ctx, tx, next, tenant, "orange", []string{s.Reference, "unheard of", s.Reference})
		})
		if diff := cmp.Diff(want, hinted); diff != "" {
			t.Fatalf("hinted of %s (-want +got)\n%s", tenant, diff)
		}
	}
	d := Decide(looking, Answer{}, policy(false), next)
	moved := in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) {
		return RecordLookups(ctx, tx, next, []Update{{Attempt: looking, Decision: d, Lookup: true}})
	})
	if len(moved) != 0 {
		t.Errorf("a decision made before the hint was applied: %+v", moved)
	}
	if again := claim(t, pool, next); len(again) != 1 {
		t.Errorf("the hinted attempt is not due at once: %d", len(again))
	}
}

// An attempt that is closed while a page is being asked about does not make it the last one.
func TestAPageThatLosesAnAttemptIsNotTheLast(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	next := sent.Add(time.Hour)
	for range 6 {
		record(t, pool, "me", outcome(begin(t, pool, "me", time.Minute, start(uuid.New(), 1))[0], Unknown, provider.Ambiguous, &next))
	}
	closing, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := closing.Exec(t.Context(), `UPDATE attempts SET state = 'succeeded', next_lookup_at = NULL
		WHERE subject_id = (SELECT subject_id FROM attempts ORDER BY subject_id LIMIT 1)`); err != nil {
		t.Fatal(err)
	}
	type page struct {
		next  string
		asked int
	}
	pages := make(chan page, 1)
	go func() {
		pages <- in(t, pool, func(ctx context.Context, tx pgx.Tx) (page, error) {
			next, asked, err := AskPage(ctx, tx, sent, "lebenis", "", 3)
			return page{next, asked}, err
		})
	}()
	for waiting := 0; waiting == 0; { // for the row that is being closed
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%name: AskPage%'").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := closing.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := <-pages
	if got.next == "" || got.asked != 2 {
		t.Fatalf("the page lost one of three: next %q, asked about %d", got.next, got.asked)
	}
	last := in(t, pool, func(ctx context.Context, tx pgx.Tx) (page, error) {
		next, asked, err := AskPage(ctx, tx, sent, "lebenis", got.next, 4)
		return page{next, asked}, err
	})
	if last.next != "" || last.asked != 3 {
		t.Errorf("then next %q, asked about %d of 3", last.next, last.asked)
	}
}

// What was not found before a webhook spoke of it has to be not found twice again.
func TestAHintEndsTheProofOfAbsence(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	s := start(uuid.New(), 1)
	next := sent.Add(time.Hour)
	record(t, pool, "me", outcome(begin(t, pool, "me", time.Minute, s)[0], Unknown, provider.Ambiguous, &next))
	a := claim(t, pool, next)[0]
	in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) {
		return RecordLookups(ctx, tx, next, []Update{{Attempt: a, Decision: Decide(a, Answer{}, policy(true), next), Lookup: true}})
	})
	if a = read(t, pool, s.Key); a.AbsentReads != 1 || a.FirstAbsentAt == nil {
		t.Fatalf("after one empty read: %+v", a)
	}
	in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]string, error) {
		return Hint(ctx, tx, next, "lebenis", "orange", []string{s.Reference})
	})
	a = read(t, pool, s.Key)
	if d := Decide(a, Answer{}, policy(true), next.Add(time.Minute)); d.State != Unknown || d.AbsentReads != 1 {
		t.Errorf("one empty read after a webhook makes it %s, reads %d", d.State, d.AbsentReads)
	}
}

// What was proven never to have been created and is put in doubt again has to be not found twice anew: neither the reads before count, nor one
// that began before.
func TestADoubtEndsTheProofOfAbsence(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	s, p := start(uuid.New(), 1), policy(true)
	at := sent.Add(time.Hour)
	record(t, pool, "me", outcome(begin(t, pool, "me", time.Minute, s)[0], Unknown, provider.Ambiguous, &at))
	nothing := func(a Attempt) []Attempt {
		return in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) {
			return RecordLookups(ctx, tx, at, []Update{{Attempt: a, Decision: Decide(a, Answer{}, p, at), Lookup: true}})
		})
	}
	for range 2 {
		nothing(read(t, pool, s.Key))
		at = at.Add(2 * time.Minute)
	}
	before := read(t, pool, s.Key)
	if before.State != NotSent || before.AbsentReads != 2 {
		t.Fatalf("after two empty reads: %+v", before)
	}
	in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) { return Doubt(ctx, tx, at, "doubt", s.Key) })
	a := read(t, pool, s.Key)
	if a.State != Unknown || a.AbsentReads != 0 || a.FirstAbsentAt != nil || a.ClosedAt != nil || a.NextLookupAt == nil || !a.NextLookupAt.Equal(at) {
		t.Fatalf("in doubt again: %+v", a)
	}
	if moved := nothing(before); len(moved) != 0 {
		t.Errorf("a read that began before the doubt was applied: %+v", moved)
	}
	if nothing(a); read(t, pool, s.Key).State != Unknown {
		t.Errorf("one empty read since: %+v", read(t, pool, s.Key))
	}
	at = at.Add(2 * time.Minute)
	if nothing(read(t, pool, s.Key)); read(t, pool, s.Key).AbsentReads != 2 {
		t.Errorf("two empty reads since: %+v", read(t, pool, s.Key))
	}
}

// A webhook that overtakes the answer to the call: the attempt is asked about as soon as its outcome is recorded.
func TestAHintDuringTheSendIsKept(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	s := start(uuid.New(), 1)
	a := begin(t, pool, "me", time.Minute, s)[0]
	in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]string, error) {
		return Hint(ctx, tx, sent, "lebenis", "orange", []string{s.Reference})
	})
	if got := claim(t, pool, sent.Add(time.Hour)); len(got) != 0 {
		t.Fatal("a send under way was looked up")
	}
	next := sent.Add(time.Hour)
	record(t, pool, "me", outcome(a, Processing, provider.Accepted, &next))
	if got := claim(t, pool, sent.Add(time.Second)); len(got) != 1 || !got[0].Accepted {
		t.Errorf("the hint was lost: %+v", got)
	}
}

// Outcomes do not wait for hints, nor hints for outcomes: what is being recorded is left out and hinted at later.
func TestAHintPassesByWhatIsBeingRecorded(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	busy, free := start(uuid.New(), 1), start(uuid.New(), 1)
	begun := begin(t, pool, "me", time.Minute, busy, free)
	hint := func() []string {
		return in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]string, error) {
			return Hint(ctx, tx, sent, "lebenis", "orange", []string{busy.Reference, free.Reference})
		})
	}
	in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) {
		i := slices.IndexFunc(begun, func(a Attempt) bool { return a.Subject == busy.Subject })
		done := outcome(begun[i], Succeeded, provider.Succeeded, nil)
		done.Owner = "me"
		recorded, err := Record(ctx, tx, sent, []Outcome{done})
		if diff := cmp.Diff([]string{free.Reference}, hint()); diff != "" {
			t.Errorf("hinted while the other is recorded (-want +got)\n%s", diff)
		}
		return recorded, err
	})
	if got := hint(); len(got) != 2 {
		t.Errorf("hinted after the commit: %v", got)
	}
}

func TestLookupsAreCounted(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	next := sent.Add(time.Minute)
	record(t, pool, "me", outcome(begin(t, pool, "me", time.Minute, start(uuid.New(), 1))[0], Unknown, provider.Ambiguous, &next))
	at := sent.Add(7 * time.Minute)
	for i := range 2 {
		a := claim(t, pool, at)[0]
		got := in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) {
			return RecordLookups(ctx, tx, at, []Update{{Attempt: a, Decision: Decide(a, Answer{}, policy(false), at), Lookup: true}})
		})[0]
		if got.Lookups != i+1 || got.AbsentReads != i+1 || got.LookedUpAt == nil {
			t.Fatalf("after lookup %d: %+v", i+1, got)
		}
		at = *got.NextLookupAt
	}
}

func TestAskingPagesThroughAllOpenAttemptsOfAnyAge(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	far := sent.Add(1000 * time.Hour)
	want := 0
	for i := range 25 {
		s := start(uuid.New(), 1)
		a := begin(t, pool, "me", time.Minute, s)[0]
		switch i % 5 {
		case 0:
			record(t, pool, "me", outcome(a, Succeeded, provider.Succeeded, nil))
		case 1: // still submitting
		case 2, 3:
			record(t, pool, "me", outcome(a, Processing, provider.Accepted, &far))
			want++
		default:
			record(t, pool, "me", outcome(a, Unknown, provider.Ambiguous, &far))
			want++
		}
	}
	now := sent.Add(500 * time.Hour)
	asked, pages := 0, 0
	for after := ""; ; {
		err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			next, n, err := AskPage(t.Context(), tx, now, "lebenis", after, 4)
			after, asked, pages = next, asked+n, pages+1
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if after == "" {
			break
		}
	}
	if asked != want || pages != 4 {
		t.Errorf("asked about %d of %d in %d pages", asked, want, pages)
	}
	if due := claim(t, pool, now); len(due) != want {
		t.Errorf("%d of %d are due", len(due), want)
	}
	err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, _, err := AskPage(t.Context(), tx, now, "lebenis", "nonsense", 4)
		return err
	})
	if err == nil {
		t.Error("a cursor that is none was accepted")
	}
}

func TestAgeingTellsCountsAndTheOldest(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	next := sent.Add(time.Hour)
	for range 3 {
		record(t, pool, "me", outcome(begin(t, pool, "me", time.Minute, start(uuid.New(), 1))[0], Unknown, provider.Ambiguous, &next))
	}
	ages, err := Ageing(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	want := []Age{{Tenant: "lebenis", Provider: "orange", State: Unknown, Count: 3, Oldest: sent.Add(time.Second)}}
	if diff := cmp.Diff(want, ages); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestReferencesByTheProvidersIDs(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	one, two, three := uuid.New(), uuid.New(), uuid.New()
	elsewhere := start(three, 1)
	elsewhere.Tenant = "other"
	begin(t, pool, "me", time.Minute, start(one, 1), start(two, 1), elsewhere)
	record(t, pool, "me",
		Outcome{Key: Key{one, 1}, Sends: 1, State: Succeeded, Result: provider.Result{Class: provider.Succeeded, ProviderID: "id-1"}},
		Outcome{Key: Key{two, 1}, Sends: 1, State: Failed, Result: provider.Result{Class: provider.RejectedFinal}},
		Outcome{Key: Key{three, 1}, Sends: 1, State: Succeeded, Result: provider.Result{Class: provider.Succeeded, ProviderID: "id-3"}},
	)
	got := in(t, pool, func(ctx context.Context, tx pgx.Tx) (map[string]string, error) {
		return OfProviderIDs(ctx, tx, "lebenis", "orange", []string{"id-1", "", "id-3", "id-9"})
	})
	if d := cmp.Diff(map[string]string{"id-1": start(one, 1).Reference}, got); d != "" {
		t.Error(d)
	}
}

// Nothing goes again a day after its first send: a send whose process died is taken over 20 hours later, denied, sent again, lost again, and
// denied 30 hours after the first.
func TestADayIsCountedFromTheFirstSendThatWasTakenOverLate(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, Migrations)
	p := policy(true)
	s := start(uuid.New(), 1)
	begin(t, pool, "me", time.Minute, s)
	if _, err := pool.Exec(t.Context(), "UPDATE attempts SET lease_expires_at = now() - interval '1 second'"); err != nil {
		t.Fatal(err)
	}
	later := sent.Add(20 * time.Hour)
	in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) { return TakeOver(ctx, tx, later, 100) })
	deny := func(at time.Time) Attempt {
		t.Helper()
		for range 2 {
			a := read(t, pool, s.Key)
			d := Decide(a, Answer{}, p, at)
			in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) {
				return RecordLookups(ctx, tx, at, []Update{{Attempt: a, Decision: d, Lookup: true}})
			})
			at = at.Add(2 * time.Minute)
		}
		return read(t, pool, s.Key)
	}
	if a := deny(later.Add(time.Minute)); a.State != NotSent {
		t.Fatalf("denied within the day it is %s", a.State)
	}
	again := in(t, pool, func(ctx context.Context, tx pgx.Tx) ([]Attempt, error) {
		return Begin(ctx, tx, "other", time.Minute, later.Add(5*time.Minute), []Start{s})
	})[0]
	next := later.Add(6 * time.Minute)
	record(t, pool, "other", outcome(again, Unknown, provider.Ambiguous, &next))
	if a := deny(sent.Add(30 * time.Hour)); a.State == NotSent {
		t.Errorf("30 hours after its first send the reference may go again: opened %s, submitted %s, first sent %s", a.OpenedAt, a.SubmittedAt, sent)
	}
}
