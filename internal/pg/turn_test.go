package pg_test

import (
	"context"
	"errors"
	"testing"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

func TestATurnIsOneProcesssAtATime(t *testing.T) {
	t.Parallel()
	c := pgtest.Config(t)
	first, second, other := pg.NewTurn(c), pg.NewTurn(c), pg.NewTurn(pgtest.Config(t))
	t.Cleanup(func() {
		if err := errors.Join(first.Return(context.Background()), second.Return(context.Background()), other.Return(context.Background())); err != nil {
			t.Error(err)
		}
	})
	taken(t, first, true)
	taken(t, first, true) // it still has it
	taken(t, second, false)
	taken(t, other, true) // of another service
	if err := first.Return(t.Context()); err != nil {
		t.Fatal(err)
	}
	taken(t, second, true) // asking twice has not made it the first one's twice
	taken(t, first, false)
}

// Whose session the database has lost has lost its turn, learns so, and may take it again.
func TestATurnThatTheDatabaseHasLost(t *testing.T) {
	t.Parallel()
	c := pgtest.Config(t)
	c.AppName = c.Schema
	second := pg.NewTurn(c)
	c.AppName += "-first"
	first := pg.NewTurn(c)
	t.Cleanup(func() {
		if err := errors.Join(first.Return(context.Background()), second.Return(context.Background())); err != nil {
			t.Error(err)
		}
	})
	taken(t, first, true)
	if _, err := pgtest.Open(t, pg.Config{DSN: c.DSN, Schema: c.Schema}).Exec(t.Context(), "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = $1", c.AppName); err != nil {
		t.Fatal(err)
	}
	taken(t, second, true)
	if mine, err := first.Take(t.Context()); err == nil || mine {
		t.Errorf("it was not told: %t, %v", mine, err)
	}
	taken(t, first, false)
	if err := second.Return(t.Context()); err != nil {
		t.Fatal(err)
	}
	taken(t, first, true)
}

func taken(t *testing.T, turn *pg.Turn, want bool) {
	t.Helper()
	if mine, err := turn.Take(t.Context()); err != nil || mine != want {
		t.Fatalf("got %t, %v, want %t", mine, err, want)
	}
}
