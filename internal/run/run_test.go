package run_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/inbox"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// bakery is a service that bakes loaves: a page of its job inserts some, and a run is through when none of it is raw.
type bakery struct {
	t     testing.TB
	runs  *run.Store
	ticks *run.Ticks
	exec  *run.Exec
	clock *clock.Virtual

	dispatched []run.Place
	after      int
	seq        int64
}

const (
	jobBake = "bakery/bake"
	pages   = 3
)

func newBakery(t testing.TB) *bakery {
	t.Helper()
	pool := pgtest.Pool(t, outbox.Migrations, inbox.Migrations, run.Migrations)
	if _, err := pool.Exec(t.Context(), "CREATE TABLE loaves (run_id uuid REFERENCES runs, page integer, raw boolean)"); err != nil {
		t.Fatal(err)
	}
	b := &bakery{t: t, clock: clock.NewVirtual(time.Date(2025, 1, 24, 23, 59, 5, 0, time.UTC))}
	b.runs = &run.Store{
		Service: "bakery", Pool: pool, Clock: b.clock, Epoch: event.EpochAt(2), Items: loaves{},
		Outbox: outbox.New(outbox.Config{Service: "bakery"}, outbox.Deps{Pool: pool}),
	}
	logger, jobs := slog.New(slog.DiscardHandler), run.Jobs{jobBake: b.bake}
	file := &config.File{Tenants: []config.Tenant{{ID: "lebenis"}}}
	b.ticks = &run.Ticks{Runs: b.runs, Jobs: jobs, Tenants: file, Logger: logger}
	b.exec = &run.Exec{
		Runs: b.runs, Jobs: jobs, Logger: logger, Settle: b.runs.Settle,
		Dispatch: func(_ context.Context, id uuid.UUID, page int) error {
			b.dispatched = append(b.dispatched, run.Place{Run: id, Page: page})
			return nil
		},
	}
	return b
}

// bake makes one raw loaf a page.
func (b *bakery) bake(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
	if want := strings.Repeat("x", r.Page); r.Cursor != want {
		return run.Page{}, fmt.Errorf("page %d begins at %q", r.Page, r.Cursor)
	}
	if _, err := tx.Exec(ctx, "INSERT INTO loaves VALUES ($1, $2, true)", r.ID, r.Page); err != nil {
		return run.Page{}, err
	}
	at := run.Place{Run: r.ID, Page: r.Page}
	if err := b.runs.WakeDispatch(ctx, tx, "", at, at); err != nil {
		return run.Page{}, err
	}
	return run.Page{Cursor: r.Cursor + "x", Last: r.Page == pages-1, Done: 10, After: func() { b.after++ }}, nil
}

// loaves keep a run open while they are raw.
type loaves struct{}

func (loaves) Finishable(ctx context.Context, tx pgx.Tx, runs []uuid.UUID) ([]uuid.UUID, error) {
	rows, err := tx.Query(ctx, `SELECT run_id FROM runs r WHERE run_id = ANY($1) AND planned
		AND NOT EXISTS (SELECT 1 FROM loaves l WHERE l.run_id = r.run_id AND l.raw) ORDER BY run_id`, runs)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

func (loaves) Sums(ctx context.Context, tx pgx.Tx, r run.Run) (map[string]int64, map[string]*eventsv1.Money, error) {
	var n int64
	err := tx.QueryRow(ctx, "SELECT count(*) FROM loaves WHERE run_id = $1", r.ID).Scan(&n)
	return map[string]int64{"loaves": n, "done": r.Done}, map[string]*eventsv1.Money{"loaves": {Minor: 5 * n, Currency: "XOF"}}, err
}

func (b *bakery) ctx() context.Context {
	return event.WithCause(b.t.Context(), event.Cause{Actor: "user:ada", CorrelationID: "morning", CausationID: "bell"})
}

func (b *bakery) tick(nominal string) *eventsv1.Tick {
	at, err := time.Parse(time.RFC3339, nominal)
	if err != nil {
		b.t.Fatal(err)
	}
	return &eventsv1.Tick{
		TickId: "lebenis/bakery/early@" + nominal, Tenant: "lebenis", Service: "bakery", Schedule: "early", Job: jobBake,
		NominalTime: timestamppb.New(at), LocalDate: nominal[:10], WindowStart: timestamppb.New(at), WindowEnd: timestamppb.New(at),
		Timezone: "Africa/Abidjan", Trigger: "cron",
	}
}

func (b *bakery) fire(tick *eventsv1.Tick, message string) error {
	body, err := event.Encode(tick)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.ticks.Handle(b.ctx(), stream.Message{ID: message, Data: body})
}

func (b *bakery) mustFire(nominal string) uuid.UUID {
	b.t.Helper()
	tick := b.tick(nominal)
	if err := b.fire(tick, nominal); err != nil {
		b.t.Fatal(err)
	}
	return run.ID(tick.GetTickId())
}

type message struct {
	ID, Subject string
	Headers     map[string]string
	Payload     []byte
	seq         int64
}

func (b *bakery) messages(of string, after int64) []message {
	b.t.Helper()
	rows, err := b.runs.Pool.Query(b.t.Context(), "SELECT seq, msg_id, subject, headers, payload FROM outbox WHERE stream = $1 AND seq > $2 ORDER BY seq", of, after)
	if err != nil {
		b.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (m message, err error) {
		var headers []byte
		if err := r.Scan(&m.seq, &m.ID, &m.Subject, &headers, &m.Payload); err != nil {
			return m, err
		}
		return m, json.Unmarshal(headers, &m.Headers)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

func (b *bakery) hand(m message) error {
	return b.exec.Handle(b.t.Context(), stream.Message{Subject: m.Subject, ID: m.ID, Data: m.Payload})
}

// work hands commands over until there are none left.
func (b *bakery) work() {
	b.t.Helper()
	for again := true; again; {
		again = false
		for _, m := range b.messages(stream.Commands, b.seq) {
			b.seq, again = m.seq, true
			if err := b.hand(m); err != nil {
				b.t.Fatalf("%s: %v", m.ID, err)
			}
		}
	}
}

func (b *bakery) sql(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.runs.Pool.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bakery) get(id uuid.UUID) run.Run {
	b.t.Helper()
	r, err := b.runs.Get(b.t.Context(), b.runs.Pool, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bakery) inTx(fn func(ctx context.Context, tx pgx.Tx) error) {
	b.t.Helper()
	if err := pg.InTx(b.ctx(), b.runs.Pool, func(tx pgx.Tx) error { return fn(b.ctx(), tx) }); err != nil {
		b.t.Fatal(err)
	}
}

// told lists the events so far: type, run and version, and of the last one its body.
func (b *bakery) told() (types []string, last *eventsv1.Run) {
	b.t.Helper()
	for _, m := range b.messages(stream.Events, 0) {
		last = &eventsv1.Run{}
		if err := event.Decode(m.Payload, last); err != nil {
			b.t.Fatal(err)
		}
		types = append(types, strings.TrimSuffix(strings.TrimPrefix(m.Headers["ce-type"], "com.agogo."), ".v1")+" "+m.Headers["ce-aggversion"])
		if m.Headers["ce-correlationid"] != "morning" || m.Headers["ce-actor"] != "service:bakery" || m.Headers["ce-source"] != "/bakery" {
			b.t.Errorf("headers %v: what a run does stems from its tick and is the service's", m.Headers)
		}
	}
	return types, last
}

const first = "2025-01-24T23:59:00Z"

func TestARunFromItsTickToItsEnd(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	id := b.mustFire(first)
	b.work()
	if r := b.get(id); r.State != run.Running || !r.Planned || r.Page != pages || r.Cursor != "xxx" || r.Done != 30 || r.Service != "bakery" || r.StartedAt == nil {
		t.Errorf("got %+v", r)
	}
	want := []run.Place{{Run: id, Page: 0}, {Run: id, Page: 1}, {Run: id, Page: 2}}
	if diff := cmp.Diff(want, b.dispatched); diff != "" {
		t.Errorf("dispatched (-want +got):\n%s", diff)
	}
	if b.after != pages {
		t.Errorf("%d pages were followed up", b.after)
	}
	b.sql("UPDATE loaves SET raw = false")
	b.inTx(func(ctx context.Context, tx pgx.Tx) error { return b.runs.Settle(ctx, tx, id) })
	b.inTx(func(ctx context.Context, tx pgx.Tx) error { return b.runs.Settle(ctx, tx, id) })
	types, last := b.told()
	if diff := cmp.Diff([]string{"run.started 1", "run.completed 2"}, types); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if last.GetCounts()["loaves"] != 3 || last.GetCounts()["done"] != 30 || last.GetTotals()["loaves"].GetMinor() != 15 ||
		last.GetPreviousState() != run.Running || last.GetService() != "bakery" || last.GetRunId() != id.String() {
		t.Errorf("told %+v", last)
	}
}

// A run of which nothing is left when its last page is done is over with that page.
func TestARunWithoutItemsEndsWithItsPages(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	b.exec.Jobs = run.Jobs{jobBake: func(_ context.Context, _ pgx.Tx, r run.Run) (run.Page, error) {
		return run.Page{Cursor: r.Cursor + "x", Last: r.Page == pages-1, Done: 1}, nil
	}}
	id := b.mustFire(first)
	b.work()
	if r := b.get(id); r.State != run.Completed || r.Done != pages {
		t.Errorf("the run is %s after %d pages", r.State, r.Done)
	}
	if n := len(b.messages(stream.Commands, 0)); n != pages {
		t.Errorf("%d commands for %d pages", n, pages)
	}
}

// A tick again: the same message, another one, and one of another time while the first run has not ended.
func TestATickHasOneRun(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	id := b.mustFire(first)
	for _, message := range []string{first, "after a restore"} {
		if err := b.fire(b.tick(first), message); err != nil {
			t.Fatal(err)
		}
	}
	later, earlier := b.mustFire("2025-01-26T23:59:00Z"), b.mustFire("2025-01-25T23:59:00Z")
	b.work()
	if got := b.get(earlier).State + " " + b.get(later).State; got != "queued queued" {
		t.Errorf("while the first runs the others are %s", got)
	}
	b.sql("UPDATE loaves SET raw = false")
	b.inTx(func(ctx context.Context, tx pgx.Tx) error { return b.runs.Settle(ctx, tx, id) })
	if got := b.get(earlier).State + " " + b.get(later).State; got != "running queued" {
		t.Errorf("runs of a schedule follow in nominal order; they are %s", got)
	}
	b.work()
	if n := len(b.dispatched); n != 2*pages {
		t.Errorf("%d pages were dispatched for two runs", n)
	}
}

func TestPagesAreDoneOnce(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	id := b.mustFire(first)
	b.work()
	for _, m := range b.messages(stream.Commands, 0) { // every command once more
		if strings.Contains(m.ID, "plan/") {
			if err := b.hand(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	var n int
	if err := b.runs.Pool.QueryRow(t.Context(), "SELECT count(*) FROM loaves").Scan(&n); err != nil || n != pages || b.get(id).Page != pages {
		t.Errorf("%d loaves of %d pages (%v)", n, b.get(id).Page, err)
	}
	var wg sync.WaitGroup
	second := newBakery(t)
	second.mustFire(first)
	m := second.messages(stream.Commands, 0)[0]
	for range 4 { // replicas at once
		wg.Go(func() {
			if err := second.hand(m); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := second.runs.Pool.QueryRow(t.Context(), "SELECT count(*) FROM loaves").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d loaves of one page (%v)", n, err)
	}
}

func TestRunsThatFail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*bakery)
		reason string
	}{
		"a job that never was":    {func(b *bakery) { delete(b.ticks.Jobs, jobBake) }, "unknown_job"},
		"a job that is gone":      {func(b *bakery) { b.exec.Jobs = run.Jobs{} }, "unknown_job"},
		"a job that cannot go on": {func(b *bakery) { b.exec.Jobs = failing(run.Fail("no_flour", errors.New("no flour"))) }, "no_flour"},
		"one that says so wrapped": {func(b *bakery) {
			b.exec.Jobs = failing(fmt.Errorf("bake: %w", run.Fail("no_flour", errors.New("no flour"))))
		}, "no_flour"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBakery(t)
			c.change(b)
			id := b.mustFire(first)
			b.work()
			if r := b.get(id); r.State != run.Failed || r.Reason != c.reason || r.FinishedAt == nil {
				t.Errorf("the run is %s for %q", r.State, r.Reason)
			}
			if _, last := b.told(); last.GetState() != run.Failed || last.GetReason().GetCode() != c.reason {
				t.Errorf("told %+v", last)
			}
			next := b.mustFire("2025-01-25T23:59:00Z")
			b.exec.Jobs = run.Jobs{jobBake: b.bake}
			b.ticks.Jobs = b.exec.Jobs
			b.work()
			if r := b.get(next); r.State == run.Queued {
				t.Error("the next run waits for one that failed")
			}
		})
	}
}

func failing(err error) run.Jobs {
	return run.Jobs{jobBake: func(context.Context, pgx.Tx, run.Run) (run.Page, error) { return run.Page{}, err }}
}

// A page that fails for another reason leaves no trace, and is done when its command comes again.
func TestAPageIsDoneAgain(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	id := b.mustFire(first)
	good := b.exec.Jobs
	b.exec.Jobs = run.Jobs{jobBake: func(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
		if _, err := b.bake(ctx, tx, r); err != nil {
			return run.Page{}, err
		}
		return run.Page{}, errors.New("the lights went out")
	}}
	if err := b.hand(b.messages(stream.Commands, 0)[0]); err == nil {
		t.Fatal("a page that failed was taken for done")
	}
	if b.after != 0 || b.get(id).Page != 0 {
		t.Error("a page that failed has effects")
	}
	b.exec.Jobs = good
	b.work()
	if r := b.get(id); !r.Planned {
		t.Errorf("got %+v", r)
	}
}

func TestTicksAndCommandsThatCannotBe(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	for name, change := range map[string]func(*eventsv1.Tick){
		"unknown tenant":  func(t *eventsv1.Tick) { t.Tenant = "nobody" },
		"another service": func(t *eventsv1.Tick) { t.Service = "payouts" },
		"no id":           func(t *eventsv1.Tick) { t.TickId = "" },
		"no schedule":     func(t *eventsv1.Tick) { t.Schedule = "" },
		"no nominal time": func(t *eventsv1.Tick) { t.NominalTime = nil },
		"no local date":   func(t *eventsv1.Tick) { t.LocalDate = "tomorrow" },
	} {
		tick := b.tick(first)
		change(tick)
		if err := b.fire(tick, name); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := b.ticks.Handle(b.ctx(), stream.Message{ID: "x", Data: []byte("{")}); err == nil {
		t.Error("taken though it is no JSON")
	}
	m := plan(uuid.New(), 0).Message(t.Context(), "bakery", 0, "")
	for name, m := range map[string]message{
		"unknown run":  {Subject: m.Subject, Payload: m.Payload},
		"no JSON":      {Subject: m.Subject, Payload: []byte("x")},
		"unknown verb": {Subject: strings.Replace(m.Subject, "plan", "dance", 1), Payload: m.Payload},
		"no command":   {Subject: "agogo.tick.lebenis.bakery.early", Payload: m.Payload},
	} {
		if err := b.hand(m); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestACommandIsOfItsRunsTenant(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	id := b.mustFire(first)
	of := func(m outbox.Message) string {
		return b.runs.TenantOf(t.Context(), stream.Message{Data: m.Payload, Origin: stream.Origin{Subject: m.Subject}})
	}
	m := plan(id, 0).Message(t.Context(), "bakery", 0, "")
	if got := of(m); got != "lebenis" {
		t.Errorf("a command of lebenis is of %q", got)
	}
	if got := of(dispatch(uuid.New(), 1).Message(t.Context(), "bakery", 0, "")); got != "" {
		t.Errorf("a command of no run is of %q", got)
	}
	m.Payload = []byte("{")
	if got := of(m); got != "" {
		t.Errorf("what is no command is of %q", got)
	}
}

func TestListAndFind(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	var ids []uuid.UUID
	for day := 10; day < 15; day++ {
		ids = append(ids, b.mustFire("2025-01-"+strconv.Itoa(day)+"T23:59:00Z"))
	}
	var listed []uuid.UUID
	for token, more := "", true; more; more = token != "" {
		page, next, err := b.runs.List(t.Context(), b.runs.Pool, "lebenis", token, 2)
		if err != nil || len(page) > 2 {
			t.Fatal(len(page), err)
		}
		for _, r := range page {
			listed = append(listed, r.ID)
		}
		token = next
	}
	want := []uuid.UUID{ids[4], ids[3], ids[2], ids[1], ids[0]}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("newest first (-want +got):\n%s", diff)
	}
	if _, _, err := b.runs.List(t.Context(), b.runs.Pool, "lebenis", "forged", 2); err == nil {
		t.Error("a forged token was taken")
	}
	for _, id := range []string{ids[2].String(), "lebenis/bakery/early@2025-01-12T23:59:00Z"} {
		if r, err := b.runs.Find(t.Context(), b.runs.Pool, "lebenis", id); err != nil || r.ID != ids[2] {
			t.Errorf("%s is %s (%v)", id, r.ID, err)
		}
		if _, err := b.runs.Find(t.Context(), b.runs.Pool, "wallclub", id); !errors.Is(err, run.ErrNoRun) {
			t.Errorf("another tenant finds %s: %v", id, err)
		}
	}
}

// Promise 7: whoever tells that a command killed its handlers knows of no runs, so every command says whose it is.
func TestEveryCommandSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	id := b.mustFire(first)
	wake := func() error {
		return pg.InTx(b.ctx(), b.runs.Pool, func(tx pgx.Tx) error {
			return b.runs.WakePlanning(b.ctx(), tx, b.clock.Now().Add(time.Hour), "woken", []uuid.UUID{id})
		})
	}
	if err := wake(); err != nil { // while it stands at its first page
		t.Fatal(err)
	}
	b.work()
	seen := map[string]bool{}
	for _, m := range b.messages(stream.Commands, 0) {
		if got := m.Headers["ce-tenantid"]; got != "lebenis" {
			t.Errorf("%s is of %q", m.ID, got)
		}
		verb, rest, _ := strings.Cut(m.ID, "/")
		seen[verb+strings.TrimPrefix(rest, id.String())] = true
	}
	for _, want := range []string{"plan/0", "plan/1", "plan/0#woken#e2", "dispatch/0"} {
		if !seen[want] && !seen[want+"#e2"] {
			t.Errorf("no %s among %v", want, seen)
		}
	}
}

// TestWhoRefersToARunDoesNotWaitForItsPlanner: a claim writes rows that refer to a run while a page of it is being planned.
func TestWhoRefersToARunDoesNotWaitForItsPlanner(t *testing.T) {
	t.Parallel()
	b := newBakery(t)
	id := b.mustFire("2025-01-24T23:59:00Z")
	planner, err := b.runs.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = planner.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := b.runs.Lock(t.Context(), planner, id); err != nil {
		t.Fatal(err)
	}
	err = pg.InTx(t.Context(), b.runs.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SET LOCAL lock_timeout = '2s'"); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), "INSERT INTO loaves (run_id, page, raw) VALUES ($1, 1, true)", id)
		return err
	})
	if err != nil {
		t.Errorf("a row that refers to the run: %v", err)
	}
}
