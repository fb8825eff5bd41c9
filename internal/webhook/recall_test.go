package webhook_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/webhook"
)

func (b *bundle) recall(t *testing.T, name string, refs ...string) []string {
	t.Helper()
	var waiting map[string]bool
	err := pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) (err error) {
		waiting, err = webhook.Recall(t.Context(), tx, b.clock.Now(), "lebenis", name, refs)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(waiting))
}

// What waits because nothing here had its reference is tried again at once when somebody has it, and once: what it waits for besides, it
// goes on waiting for.
func TestWhatWaitsIsRecalledByWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.known["ref-2"], b.known["ref-busy"] = webhook.Known, webhook.Busy
	for _, body := range []string{"ref-1", "ref-1 ref-2 ref-3", "ref-busy"} {
		b.post("POST", here, "Basic right", body)
	}
	if got := b.recall(t, "orange", "ref-1"); len(got) != 0 {
		t.Errorf("not tried yet, and waits for %v", got)
	}
	b.clock.Advance(40 * time.Minute)
	b.step(t)
	b.clock.Advance(time.Second)
	for name, refs := range map[string][]string{"orange": {"ref-2", "ref-busy", "ref-4"}, "wave": {"ref-1"}} {
		if got := b.recall(t, name, refs...); len(got) != 0 {
			t.Errorf("%s: recalled by %v", name, got)
		}
	}
	before := b.asked.Load()
	b.known["ref-busy"] = webhook.Known
	b.step(t)
	if got := b.states(t); got["received"] != 2 || b.asked.Load() != before+1 {
		t.Errorf("states %v: what nobody has recalled was tried", got)
	}
	if got := b.recall(t, "orange", "ref-1", "ref-2"); !slices.Equal(got, []string{"ref-1", "ref-3"}) {
		t.Errorf("recalled, they wait for %v", got)
	}
	b.known["ref-1"] = webhook.Busy // as long as it is, it is not known what becomes of it
	b.step(t)
	if got := b.recall(t, "orange", "ref-1"); !slices.Equal(got, []string{"ref-1", "ref-3"}) {
		t.Errorf("busy, they wait for %v", got)
	}
	b.known["ref-1"] = webhook.Asked
	b.clock.Advance(time.Second)
	b.step(t)
	if got := b.states(t); got["matched"] != 3-1 || got["received"] != 1 {
		t.Errorf("states %v", got)
	}
	if got := b.recall(t, "orange", "ref-1"); len(got) != 0 {
		t.Errorf("recalled again, for %v", got)
	}
	if got := b.recall(t, "orange", "ref-3"); !slices.Equal(got, []string{"ref-3"}) {
		t.Errorf("it waits for %v", got)
	}
}

// One that is being matched at this moment is waited for, and what was made of it counts.
func TestARecallWaitsForWhatIsBeingMatched(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.post("POST", here, "Basic right", "ref-1")
	b.step(t)
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exec := func(sql string) {
		t.Helper()
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec("SELECT FROM webhook_queue FOR UPDATE")
	recalled := make(chan []string, 1)
	go func() { recalled <- b.recall(t, "orange", "ref-1") }()
	for blocked := false; !blocked; {
		err := b.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks l WHERE NOT l.granted
			AND l.pid IN (SELECT pid FROM pg_locks WHERE relation = 'webhook_queue'::regclass))`).Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
	}
	exec("UPDATE webhook_queue SET waits_for = '{ref-2}', next_try_at = next_try_at + interval '1 hour'")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-recalled; len(got) != 0 {
		t.Errorf("recalled for %v, which was found meanwhile", got)
	}
	if got := b.recall(t, "orange", "ref-2"); !slices.Equal(got, []string{"ref-2"}) {
		t.Errorf("waits for %v", got)
	}
}
