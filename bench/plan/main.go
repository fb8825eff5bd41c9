// Command plan measures how long a run takes to plan many payments of many payees, from the tick's trigger until the last page
// is committed, and what that costs where there is a history. Payments and history are written by SQL: it is planning that is
// measured. The provider answers so slowly, and one call at a time, that next to nothing is sent meanwhile.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/bench/installation"
)

//go:embed history.sql
var history string

//go:embed due.sql
var due string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("plan", flag.ContinueOnError)
	binary := flags.String("agogo", "bin/agogo", "the built command (make build)")
	payments := flags.Int("payments", 1_000_000, "payments to plan")
	payees := flags.Int("payees", 100_000, "of so many payees")
	old := flags.Int("history", 0, "payments that were paid before, ten to a payout")
	plans := flags.String("plans", "", "a file for Postgres's plans of what the run asks (needs its auto_explain)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	in, err := installation.Start(ctx, installation.Options{Binary: *binary, Concurrency: 1})
	if err != nil {
		return err
	}
	defer in.Stop()
	if err := in.Latency(ctx, 9*time.Second); err != nil {
		return err
	}
	db, err := pgx.Connect(ctx, in.Info.PostgresDSN)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(context.Background()) }()
	if *plans != "" {
		if err := explain(ctx, db); err != nil {
			return err
		}
	}
	if err := fill(ctx, db, *payments, *payees, *old, out); err != nil {
		return err
	}
	before := in.Usage()
	began := time.Now()
	if _, err := in.CLI(ctx, nil, "schedules", "trigger", installation.Tenant+"/payouts/daily", "--at", evening.Format(time.RFC3339)); err != nil {
		return err
	}
	planned, err := await(ctx, db)
	if err != nil {
		return err
	}
	took, used := time.Since(began), in.Usage().Since(before)
	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(*payments) }
	fmt.Fprintf(out, "planned  %d payments into %d payouts in %.1fs, cpu a payment %.1f µs + %.1f µs Postgres, resident %d MB, at most %d MB, %d old payments\n",
		*payments, planned, took.Seconds(), per(used.Services), per(used.Postgres), used.Resident>>20, used.Peak>>20, *old)
	if *plans != "" {
		return in.PostgresLog(*plans)
	}
	return nil
}

var evening = time.Date(2025, 3, 1, 23, 59, 0, 0, time.UTC)

// fill writes the payments, and the history before them.
func fill(ctx context.Context, db *pgx.Conn, payments, payees, old int, out io.Writer) error {
	began := time.Now()
	for _, sql := range []string{
		"SET search_path = payouts", "SET synchronous_commit = off", "SET statement_timeout = 0",
		// What is written here is right by construction; its foreign keys would be looked up one by one.
		"SET session_replication_role = replica",
		fmt.Sprintf("SET bench.payments = %d", payments), fmt.Sprintf("SET bench.payees = %d", payees), fmt.Sprintf("SET bench.old = %d", old),
		history, due, "RESET session_replication_role", "VACUUM ANALYZE", "CHECKPOINT",
	} {
		if _, err := db.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("fill the tables: %w", err)
		}
	}
	var size string
	if err := db.QueryRow(ctx, "SELECT pg_size_pretty(pg_database_size(current_database()))").Scan(&size); err != nil {
		return err
	}
	fmt.Fprintf(out, "filled   %d payments of %d payees and %d old ones in %.0fs: %s\n", payments, payees, old, time.Since(began).Seconds(), size)
	return nil
}

// explain has the server log the plan of a statement in ten, with what it read. Sessions that are open already would go on
// without it: those of the services are ended, and begin anew while the tables are filled.
func explain(ctx context.Context, db *pgx.Conn) error {
	for _, sql := range []string{
		"LOAD 'auto_explain'", "ALTER SYSTEM SET session_preload_libraries = 'auto_explain'", "ALTER SYSTEM SET auto_explain.log_min_duration = 0",
		"ALTER SYSTEM SET auto_explain.log_analyze = on", "ALTER SYSTEM SET auto_explain.log_buffers = on",
		"ALTER SYSTEM SET auto_explain.log_timing = off", "ALTER SYSTEM SET auto_explain.sample_rate = 0.1", "SELECT pg_reload_conf()",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
		"SET auto_explain.log_min_duration = -1",
	} {
		if _, err := db.Exec(ctx, sql); err != nil {
			return fmt.Errorf("have plans logged: %w", err)
		}
	}
	return nil
}

// await returns the number of payouts when the run is planned.
func await(ctx context.Context, db *pgx.Conn) (payouts int, err error) {
	for {
		var planned bool
		err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM payouts.runs WHERE nominal_time = $1 AND planned)`, evening).Scan(&planned)
		if err != nil {
			return 0, err
		}
		if planned {
			err = db.QueryRow(ctx, `SELECT count(*) FROM payouts.payouts p JOIN payouts.runs r ON r.run_id = p.run_id WHERE r.nominal_time = $1`, evening).Scan(&payouts)
			return payouts, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
