package process_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

// Two replicas of a service, one of which is the test: the other one ends when the test lets it, and keeps the turn until it has
// ended, however long that takes.
func TestAReplicaWaitsForItsTurnAndKeepsItUntilItHasEnded(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Installed(t, "payouts")
	first := pg.NewTurn(pg.Config{DSN: dsn, Schema: "payouts"})
	take(t, first, true)
	env := environment(t)
	path := strings.TrimPrefix(env[0], "AGOGO_CONFIG=")
	c := startChild(t, "hangs", append(env, "AGOGO_POSTGRES_DSN="+dsn, "AGOGO_WATCH="+path, "AGOGO_WATCH_SPREAD=1s")...)
	c.line(t, "running lebenis true")
	if err := os.WriteFile(path, []byte(strings.Replace(tenants, "fr-CI", "fr-FR", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	c.says(t, "ending when it is this replica's turn")
	admin, asked := pgtest.Open(t, pg.Config{DSN: dsn, Schema: "payouts"}), map[time.Time]bool{}
	eventually(t, "it does not ask again", func() bool {
		var at *time.Time
		if err := admin.QueryRow(t.Context(), "SELECT max(query_start) FROM pg_stat_activity WHERE application_name = 'agogo-payouts-turn'").Scan(&at); err != nil {
			t.Fatal(err)
		}
		if at != nil {
			asked[*at] = true
		}
		if strings.Contains(c.err.String(), "AGOGO_WATCH have changed") {
			t.Fatal("it ended although it is another one's turn")
		}
		return len(asked) > 2
	})
	if err := first.Return(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.line(t, "told to stop")
	take(t, first, false)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	eventually(t, "a process that is gone has the turn", func() bool {
		mine, err := first.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return mine
	})
}

func eventually(t *testing.T, otherwise string, ok func() bool) {
	t.Helper()
	tick, end := time.NewTicker(20*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal(otherwise)
		}
	}
}

func take(t *testing.T, turn *pg.Turn, want bool) {
	t.Helper()
	if mine, err := turn.Take(t.Context()); err != nil || mine != want {
		t.Fatalf("got %t, %v, want %t", mine, err, want)
	}
}
