package mutation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

type desk struct {
	mutation.Runner
	t   *testing.T
	ctx context.Context
}

func open(t *testing.T) *desk {
	t.Helper()
	pool := pgtest.Pool(t, outbox.Migrations, auth.Migrations)
	if _, err := pool.Exec(t.Context(), "CREATE TABLE things (name text)"); err != nil {
		t.Fatal(err)
	}
	return &desk{t: t, Runner: mutation.Runner{
		Pool: pool, Outbox: outbox.New(outbox.Config{Service: "payouts"}, outbox.Deps{Pool: pool}), Service: "payouts",
		Clock: clock.NewVirtual(time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)),
	}, ctx: auth.WithActor(t.Context(), auth.Actor{Name: "user:ada", Role: auth.Operator, Tenants: []string{"lebenis"}})}
}

// add stores a thing and answers with its name, or fails after it was stored.
func (d *desk) add(m mutation.Mutation, name string, fault error) (string, error) {
	d.t.Helper()
	out := &wrapperspb.StringValue{}
	err := d.Run(d.ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		if _, err := tx.Exec(d.ctx, "INSERT INTO things VALUES ($1)", name); err != nil {
			return nil, err
		}
		return wrapperspb.String(name), fault
	})
	return out.GetValue(), err
}

func (d *desk) strings(pool *pgxpool.Pool, query string) []string {
	d.t.Helper()
	rows, err := pool.Query(d.t.Context(), query)
	if err != nil {
		d.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

func TestAMutationIsDoneOnceAndOnRecord(t *testing.T) {
	t.Parallel()
	d := open(t)
	m := mutation.Mutation{Tenant: "lebenis", Action: "AddThing", Target: "t", Detail: "why", RequestID: "r-1", Became: func() string { return "done" }}
	for range 2 {
		if got, err := d.add(m, "one", nil); got != "one" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	m.RequestID, m.Became = "", nil
	for range 2 { // without an id each request is one of its own
		if _, err := d.add(m, "two", nil); err != nil {
			t.Error(err)
		}
	}
	fault := errors.New("no")
	if _, err := d.add(m, "three", fault); !errors.Is(err, fault) {
		t.Errorf("the handler's error came back as %v", err)
	}
	if diff := cmp.Diff([]string{"one", "two", "two"}, d.strings(d.Pool, "SELECT name FROM things ORDER BY name")); diff != "" {
		t.Errorf("things (-want +got):\n%s", diff)
	}
	want := []string{"user:ada AddThing t done: why r-1", "user:ada AddThing t why ", "user:ada AddThing t why "}
	if diff := cmp.Diff(want, d.strings(d.Pool, "SELECT concat_ws(' ', actor, action, target, detail, request_id) FROM audit_entries ORDER BY seq")); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
}

func TestNobodyMutatesWithoutAName(t *testing.T) {
	t.Parallel()
	d := open(t)
	d.ctx = t.Context()
	if _, err := d.add(mutation.Mutation{Tenant: "lebenis", Action: "AddThing"}, "one", nil); err == nil {
		t.Error("nobody added a thing")
	}
	if left := d.strings(d.Pool, "SELECT name FROM things"); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}
