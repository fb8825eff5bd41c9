package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/agogopay/agogo/simulator"
)

// installation is `agogo dev` with a tenant that nothing holds back, used through the command line like anybody's.
type installation struct {
	binary, dir string
	dev         *exec.Cmd
	info        struct {
		Simulator string            `json:"simulator"`
		HTTP      map[string]string `json:"http"`
	}
}

const tenants = `tenants:
  - id: bench
    timezone: Africa/Abidjan
    currency: XOF
    locale: fr-CI
    mode: sandbox
    payouts: {commission_bps: 2000, minimum: 100, default_provider: orange, payable_methods: [orange_money], max_attempts: 3}
    providers:
      orange: {kind: orange_omr, base_url: "http://127.0.0.1:9900/orange-money-b2b/v1/ci", token_url: "http://127.0.0.1:9900/oauth/v3/token",
               client_id: "${ORANGE_CLIENT_ID}", client_secret: "${ORANGE_CLIENT_SECRET}", pos_id: "${ORANGE_POS_ID}",
               callback_authorization: "${ORANGE_CALLBACK_AUTH}", forms_step: true, rate_per_second: 100000, concurrency: %d, timeout: 10s}
    schedules:
      - {name: daily, job: payouts/daily, cron: "59 23 * * *"}
notifier:
  fcm: {project_id: demo, endpoint: "http://127.0.0.1:9900/fcm/v1", credentials: ""}
`

func start(ctx context.Context, binary string, concurrency int) (*installation, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "agogo-bench-")
	if err != nil {
		return nil, err
	}
	in := &installation{binary: binary, dir: dir}
	file := filepath.Join(dir, "tenants.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, tenants, concurrency), 0o600); err != nil {
		return nil, err
	}
	in.dev = in.command(ctx, "dev", "--ports", "free", "--data-dir", filepath.Join(dir, "data"), "--config", file)
	in.dev.Cancel = func() error { return in.dev.Process.Signal(os.Interrupt) }
	in.dev.Stderr = os.Stderr
	out, err := in.dev.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := in.dev.Start(); err != nil {
		return nil, fmt.Errorf("%w (make build first)", err)
	}
	if err := awaitReady(out); err != nil {
		in.stop()
		return nil, err
	}
	raw, err := os.ReadFile(in.context())
	if err != nil {
		in.stop()
		return nil, err
	}
	_, err = in.cli(ctx, nil, "schedules", "pause", "bench/payouts/daily", "--reason", "benchmark")
	return in, joinStop(in, err, json.Unmarshal(raw, &in.info))
}

func joinStop(in *installation, errs ...error) error {
	for _, err := range errs {
		if err != nil {
			in.stop()
			return err
		}
	}
	return nil
}

// awaitReady reads until the line that begins with "ready", and lets the rest flow away.
func awaitReady(out io.Reader) error {
	buf, seen := make([]byte, 4096), ""
	for !strings.Contains("\n"+seen, "\nready") {
		n, err := out.Read(buf)
		if err != nil {
			return fmt.Errorf("agogo dev ended before it was ready: %w", err)
		}
		seen += string(buf[:n])
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return nil
}

func (in *installation) context() string { return filepath.Join(in.dir, "data", "dev.json") }

func (in *installation) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, in.binary, args...)
	c.Env = append(os.Environ(), "AGOGO_CONTEXT="+in.context(), "XDG_DATA_HOME="+in.dir, "AGOGO_TENANT=bench",
		"ORANGE_CLIENT_ID=bench", "ORANGE_CLIENT_SECRET=bench", "ORANGE_POS_ID=bench", "ORANGE_CALLBACK_AUTH=bench")
	return c
}

func (in *installation) cli(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	c := in.command(ctx, args...)
	c.Stdin = stdin
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("agogo %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out, nil
}

func (in *installation) stop() {
	_ = in.dev.Process.Signal(os.Interrupt)
	_ = in.dev.Wait()
	_ = os.RemoveAll(in.dir)
}

// callbacks has the provider call back at an address, as it does about every transfer.
func (in *installation) callbacks(ctx context.Context, url string) error {
	body, err := json.Marshal(map[string]string{"provider": simulator.Orange, "authorization": "bench", "url": url})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, in.info.Simulator+"/_control/callback", bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the simulator's callbacks cannot be set: %s", answer.Status)
	}
	return nil
}

// result is one measured evening.
type result struct {
	payouts        int64
	imported, took time.Duration
	used           usage
}

// cpu is what a payout cost of a core: in the process of all services (the simulator and NATS included), and in Postgres.
func (r result) cpu() string {
	per := func(d time.Duration) int64 { return (d / time.Duration(r.payouts)).Microseconds() }
	return fmt.Sprintf("cpu a payout %d µs + %d µs Postgres", per(r.used.services), per(r.used.postgres))
}

func (r result) perSecond() float64 { return float64(r.payouts) / r.took.Seconds() }

// evening imports one payment for each of n payees and pays them: from the tick's trigger to the run's end, when every
// outcome is committed with its postings and events.
func (in *installation) evening(ctx context.Context, round, n int) (result, error) {
	day := time.Date(2025, 3, 1+round, 23, 59, 0, 0, time.UTC)
	began := time.Now()
	if _, err := in.cli(ctx, payments(n, day), "payments", "import", "-"); err != nil {
		return result{}, err
	}
	r := result{imported: time.Since(began)}
	if err := in.callbacks(ctx, "http://"+in.info.HTTP["payouts"]+"/webhooks/payouts/bench/orange"); err != nil {
		return r, err
	}
	before := in.usage()
	began = time.Now()
	raw, err := in.cli(ctx, nil, "schedules", "trigger", "bench/payouts/daily", "--at", day.Format(time.RFC3339), "--wait", "-o", "json")
	r.took, r.used = time.Since(began), in.usage().since(before)
	if err != nil {
		return r, err
	}
	var run struct {
		Counts map[string]string `json:"counts"`
	}
	if err := json.Unmarshal(raw, &run); err != nil {
		return r, err
	}
	if r.payouts, err = strconv.ParseInt(run.Counts["succeeded"], 10, 64); err != nil || r.payouts != int64(n) {
		return r, fmt.Errorf("%d payouts were wanted, the run says %v", n, run.Counts)
	}
	return r, nil
}

func payments(n int, day time.Time) io.Reader {
	var b bytes.Buffer
	b.WriteString("payment_id,payee_id,payee_name,phone,amount,currency,method,status,completed_at\n")
	at := day.Add(-time.Hour).Format(time.RFC3339)
	for i := range n {
		fmt.Fprintf(&b, "pay-%s-%07d,payee-%07d,,+22507%08d,%d,XOF,orange_money,completed,%s\n", day.Format(time.DateOnly), i, i, i, 1000+i%9000, at)
	}
	return &b
}
