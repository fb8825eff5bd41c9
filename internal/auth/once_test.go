package auth_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

// once calls auth.Once in a transaction of its own.
func once(ctx context.Context, db pg.Beginner, tenant, method, id string, fn func() ([]byte, error)) (string, error) {
	var out []byte
	err := pg.InTx(ctx, db, func(tx pgx.Tx) (err error) {
		out, err = auth.Once(ctx, tx, tenant, method, id, fn)
		return err
	})
	return string(out), err
}

func TestOnce(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, auth.Migrations)
	calls := 0
	count := func() ([]byte, error) {
		calls++
		return fmt.Appendf(nil, "answer %d", calls), nil
	}
	bob := auth.WithActor(t.Context(), auth.Actor{Name: "user:bob", Role: auth.Operator, Tenants: []string{"*"}})
	for _, tc := range []struct {
		name                   string
		ctx                    context.Context
		tenant, method, id, as string
	}{
		{"first", asAda(t.Context()), "lebenis", "HoldPayout", "r1", "answer 1"},
		{"repeated", asAda(t.Context()), "lebenis", "HoldPayout", "r1", "answer 1"},
		{"other id", asAda(t.Context()), "lebenis", "HoldPayout", "r2", "answer 2"},
		{"other method", asAda(t.Context()), "lebenis", "CancelPayout", "r1", "answer 3"},
		{"other tenant", asAda(t.Context()), "wallclub", "HoldPayout", "r1", "answer 4"},
		{"other actor", bob, "lebenis", "HoldPayout", "r1", "answer 5"},
		{"no id", asAda(t.Context()), "lebenis", "HoldPayout", "", "answer 6"},
		{"no id again", asAda(t.Context()), "lebenis", "HoldPayout", "", "answer 7"},
		{"with a NUL", asAda(t.Context()), "lebenis", "HoldPayout", "r\x00", "answer 8"},
		{"with a NUL again", asAda(t.Context()), "lebenis", "HoldPayout", "r\x00", "answer 8"},
	} {
		if got, err := once(tc.ctx, pool, tc.tenant, tc.method, tc.id, count); err != nil || got != tc.as {
			t.Errorf("%s: %q, %v, want %q", tc.name, got, err, tc.as)
		}
	}
	if _, err := once(t.Context(), pool, "lebenis", "HoldPayout", "r9", count); err == nil {
		t.Error("a request id was taken from nobody")
	}
}

func TestOnceWithoutAnAnswerBody(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, auth.Migrations)
	calls := 0
	for range 2 {
		got, err := once(asAda(t.Context()), pool, "lebenis", "m", "r", func() ([]byte, error) { calls++; return nil, nil })
		if err != nil || got != "" {
			t.Errorf("%q, %v", got, err)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestOnceRefusesAnotherBody(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, auth.Migrations)
	call := func(body string) error {
		ctx := auth.WithRequest(asAda(t.Context()), []byte(body))
		_, err := once(ctx, pool, "lebenis", "HoldPayout", "r1", func() ([]byte, error) { return []byte(body), nil })
		return err
	}
	for _, body := range []string{"payout 1", "payout 1"} {
		if err := call(body); err != nil {
			t.Fatal(err)
		}
	}
	err := call("payout 2")
	if status.Code(err) != codes.InvalidArgument {
		t.Fatalf("another body: %v", err)
	}
	want := "was used for another request: make a new id for each request, and repeat one only to repeat the request"
	for _, d := range status.Convert(err).Details() {
		if v := d.(*errdetails.BadRequest).GetFieldViolations()[0]; v.GetField() != "request_id" || v.GetDescription() != want {
			t.Errorf("detail %v", v)
		}
	}
	if d := cmp.Diff(1, len(status.Convert(err).Details())); d != "" {
		t.Errorf("details (-want +got):\n%s", d)
	}
}

func TestOnceForgetsAFailure(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, auth.Migrations)
	failure := errors.New("no")
	_, err := once(asAda(t.Context()), pool, "lebenis", "m", "r", func() ([]byte, error) { return nil, failure })
	if !errors.Is(err, failure) {
		t.Fatalf("got %v", err)
	}
	got, err := once(asAda(t.Context()), pool, "lebenis", "m", "r", func() ([]byte, error) { return []byte("yes"), nil })
	if err != nil || got != "yes" {
		t.Errorf("after a failure: %q, %v", got, err)
	}
}

// TestOnceAtTheSameTime sends one request many times at once: it is run once, and everybody gets its answer.
func TestOnceAtTheSameTime(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, auth.Migrations)
	var calls atomic.Int64
	group, ctx := errgroup.WithContext(asAda(t.Context()))
	for range 12 {
		group.Go(func() error {
			got, err := once(ctx, pool, "lebenis", "m", "r", func() ([]byte, error) {
				return fmt.Appendf(nil, "answer %d", calls.Add(1)), nil
			})
			if err == nil && got != "answer 1" {
				err = fmt.Errorf("got %q", got)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if calls.Load() != 1 {
		t.Errorf("run %d times", calls.Load())
	}
}

func TestRetentionForgetsOldAnswersAndNothingElse(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, auth.Migrations)
	count := func() func() ([]byte, error) {
		calls := 0
		return func() ([]byte, error) { calls++; return fmt.Appendf(nil, "answer %d", calls), nil }
	}()
	ask := func(id string) string {
		t.Helper()
		got, err := once(asAda(t.Context()), pool, "lebenis", "HoldPayout", id, count)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	ages := map[string]string{"old": "7 days 1 minute", "older": "8 days", "oldest": "1 year", "almost": "6 days 23 hours 59 minutes", "young": "0"}
	first := map[string]string{}
	for id, age := range ages {
		first[id] = ask(id)
		_, err := pool.Exec(t.Context(), `UPDATE idempotent_requests SET created_at = now() - $2::interval WHERE request_id = $1`, id, age)
		if err != nil {
			t.Fatal(err)
		}
	}
	rule := auth.Retention(pool)
	for _, want := range []int64{2, 1, 0} {
		if n, err := rule.Delete(t.Context(), 2); err != nil || n != want {
			t.Fatalf("forgot %d, %v; want %d of at most 2", n, err, want)
		}
		if want == 2 && ask("old") != first["old"] {
			t.Error("the oldest answers do not go first")
		}
	}
	for id := range ages {
		kept := id == "almost" || id == "young"
		if got := ask(id); (got == first[id]) != kept {
			t.Errorf("request %s, repeated: %q, at first %q", id, got, first[id])
		}
	}
}
