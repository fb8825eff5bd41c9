package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/bench/installation"
)

// result is one measured evening.
type result struct {
	payouts        int64
	imported, took time.Duration // took: until the last notification row
	paid           time.Duration // until the run was complete
	used           installation.Usage
}

// cpu is what a payout cost of a core: in the process of all services (the simulator and NATS included), and in Postgres.
func (r result) cpu() string {
	per := func(d time.Duration) int64 { return (d / time.Duration(r.payouts)).Microseconds() }
	return fmt.Sprintf("cpu a payout %d µs + %d µs Postgres", per(r.used.Services), per(r.used.Postgres))
}

func (r result) String() string {
	return fmt.Sprintf("imported in %.1fs, paid in %.1fs, all told after %.1fs, %s, resident %d MB, at most %d MB",
		r.imported.Seconds(), r.paid.Seconds(), r.took.Seconds(), r.cpu(), r.used.Resident>>20, r.used.Peak>>20)
}

func (r result) perSecond() float64 { return float64(r.payouts) / r.took.Seconds() }

// evening imports one payment for each of n payees and pays them: from the tick's trigger, or from the first claim of what was
// planned before, until every outcome is committed with its postings and events, and every payee's notification is in its row.
func evening(ctx context.Context, in *installation.Installation, round, n int, planned bool) (result, error) {
	day := time.Date(2025, 3, 1+round, 23, 59, 0, 0, time.UTC)
	began := time.Now()
	if _, err := in.CLI(ctx, payments(n, day), "payments", "import", "-"); err != nil {
		return result{}, err
	}
	r := result{imported: time.Since(began)}
	if err := in.Callbacks(ctx, "http://"+in.Info.HTTP["payouts"]+"/webhooks/payouts/"+installation.Tenant+"/orange"); err != nil {
		return r, err
	}
	told, err := newTold(ctx, in.Info.PostgresDSN)
	if err != nil {
		return r, err
	}
	defer told.close()
	if planned {
		return fromClaim(ctx, in, day, n, told, r)
	}
	before := in.Usage()
	began = time.Now()
	raw, err := in.CLI(ctx, nil, "schedules", "trigger", installation.Tenant+"/payouts/daily", "--at", day.Format(time.RFC3339), "--wait", "-o", "json")
	if err != nil {
		return r, err
	}
	r.paid = time.Since(began)
	var run struct {
		Counts map[string]string `json:"counts"`
	}
	if err := json.Unmarshal(raw, &run); err != nil {
		return r, err
	}
	if r.payouts, err = strconv.ParseInt(run.Counts["succeeded"], 10, 64); err != nil || r.payouts != int64(n) {
		return r, fmt.Errorf("%d payouts were wanted, the run says %v", n, run.Counts)
	}
	err = told.await(ctx, n)
	r.took, r.used = time.Since(began), in.Usage().Since(before)
	return r, err
}

// fromClaim has an evening planned while its batch is paused, lets what that has caused come to rest, and measures from when it is resumed.
func fromClaim(ctx context.Context, in *installation.Installation, day time.Time, n int, told *told, r result) (result, error) {
	if _, err := in.CLI(ctx, nil, "schedules", "trigger", installation.Tenant+"/payouts/daily", "--at", day.Format(time.RFC3339)); err != nil {
		return r, err
	}
	batch, err := until(ctx, told.db, "SELECT coalesce(max(b.batch_id::text), '') FROM payouts.batches b JOIN payouts.runs r USING (run_id) WHERE r.nominal_time = $1", day)
	if err != nil {
		return r, err
	}
	if _, err := in.CLI(ctx, nil, "batches", "pause", batch, "--reason", "benchmark"); err != nil {
		return r, err
	}
	// What was sent before the pause is told of, and nothing waits to be published.
	sent, err := until(ctx, told.db, `SELECT CASE WHEN r.planned AND count(p) FILTER (WHERE p.state NOT IN ('approved', 'succeeded')) = 0
			AND NOT EXISTS (SELECT FROM payouts.outbox_parcels WHERE waits) AND NOT EXISTS (SELECT FROM notifier.outbox_parcels WHERE waits)
			AND (SELECT count(*) FROM notifier.notifications WHERE tenant = '`+installation.Tenant+`' AND created_at >= $2 AND kind = 'payout.succeeded') = count(p) FILTER (WHERE p.state = 'succeeded')
		THEN count(p) FILTER (WHERE p.state = 'succeeded')::text ELSE '' END
		FROM payouts.runs r LEFT JOIN payouts.payouts p USING (run_id) WHERE r.nominal_time = $1 GROUP BY r.run_id, r.planned`, day, told.since)
	if err != nil {
		return r, err
	}
	before, began := in.Usage(), time.Now()
	if _, err := in.CLI(ctx, nil, "batches", "resume", batch); err != nil {
		return r, err
	}
	if err := told.await(ctx, n); err != nil {
		return r, err
	}
	r.took, r.used = time.Since(began), in.Usage().Since(before)
	r.paid = r.took
	early, err := strconv.Atoi(sent)
	r.payouts = int64(n - early)
	return r, err
}

// until asks until the answer is not empty.
func until(ctx context.Context, db *pgx.Conn, question string, args ...any) (answer string, err error) {
	for answer == "" {
		err := db.QueryRow(ctx, question, args...).Scan(&answer)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return "", err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return answer, nil
}

// told counts the notifications that an evening adds.
type told struct {
	db    *pgx.Conn
	since time.Time
}

func newTold(ctx context.Context, dsn string) (*told, error) {
	db, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, err
	}
	return &told{db: db, since: time.Now()}, nil
}

func (t *told) await(ctx context.Context, want int) error {
	for {
		began, n := time.Now(), 0
		// By the index of what is newest: whoever counts all there ever was makes each round slower than the one before.
		err := t.db.QueryRow(ctx, "SELECT count(*) FROM notifier.notifications WHERE tenant = $1 AND created_at >= $2 AND kind = 'payout.succeeded'",
			installation.Tenant, t.since).Scan(&n)
		if err != nil || n >= want {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d payees have been told: %w", n, want, ctx.Err())
		case <-time.After(max(50*time.Millisecond, 20*time.Since(began))):
		}
	}
}

func (t *told) close() { _ = t.db.Close(context.Background()) }

func payments(n int, day time.Time) io.Reader {
	var b bytes.Buffer
	b.WriteString("payment_id,payee_id,payee_name,phone,amount,currency,method,status,completed_at\n")
	at := day.Add(-time.Hour).Format(time.RFC3339)
	for i := range n {
		fmt.Fprintf(&b, "pay-%s-%07d,payee-%07d,,+22507%08d,%d,XOF,orange_money,completed,%s\n", day.Format(time.DateOnly), i, i, i, 1000+i%9000, at)
	}
	return &b
}
