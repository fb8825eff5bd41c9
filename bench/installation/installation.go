// Package installation is what benchmarks measure: `agogo dev` with a tenant that nothing holds back, in a folder of its own,
// with everything that makes a commit durable left on, used through the command line like anybody's.
package installation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/agogopay/agogo/simulator"
)

// Installation is one that runs.
type Installation struct {
	Info struct {
		Simulator   string            `json:"simulator"`
		HTTP        map[string]string `json:"http"`
		PostgresDSN string            `json:"postgres_dsn"`
		NATS        struct {
			URL   string `json:"url"`
			Creds string `json:"creds"`
		} `json:"nats"`
	}
	binary, dir string
	dev         *exec.Cmd
	simulator   *exec.Cmd // nil: in dev's process
}

// Options are what differs between installations.
type Options struct {
	Binary      string // the built command
	Concurrency int    // calls at once
	Apart       bool   // the simulator in a process of its own, so that what dev uses is the services' and NATS's
}

// Tenant is whose payouts are measured.
const Tenant = "bench"

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

// memory is what the process of all services, NATS and the simulator is told that it may take, as each of them is told in a
// container.
const memory = "1GiB"

// Start runs the built command, and returns when everything is up.
func Start(ctx context.Context, o Options) (*Installation, error) {
	binary, err := filepath.Abs(o.Binary)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "agogo-bench-")
	if err != nil {
		return nil, err
	}
	in := &Installation{binary: binary, dir: dir}
	if err := in.start(ctx, o); err != nil {
		in.Stop()
		return nil, err
	}
	return in, nil
}

func (in *Installation) start(ctx context.Context, o Options) (err error) {
	file, config := filepath.Join(in.dir, "tenants.yaml"), fmt.Sprintf(tenants, o.Concurrency)
	args := []string{"dev", "--ports", "free", "--data-dir", filepath.Join(in.dir, "data"), "--config", file}
	var apart string
	if o.Apart {
		if apart, err = in.simulate(ctx); err != nil {
			return err
		}
		config, args = strings.ReplaceAll(config, "127.0.0.1:9900", apart), append(args, "--no-simulator")
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	in.dev = in.command(ctx, args...)
	if err := await(in.dev); err != nil {
		return err
	}
	raw, err := os.ReadFile(in.context())
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &in.Info); err != nil {
		return err
	}
	if o.Apart {
		in.Info.Simulator = "http://" + apart
	}
	_, err = in.CLI(ctx, nil, "schedules", "pause", "bench/payouts/daily", "--reason", "benchmark")
	return err
}

// simulate starts a simulator of its own and returns its address.
func (in *Installation) simulate(ctx context.Context) (address string, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0") // finds a free port
	if err != nil {
		return "", err
	}
	address = l.Addr().String()
	if err := l.Close(); err != nil {
		return "", err
	}
	in.simulator = in.command(ctx, "simulator", "--addr", address)
	return address, await(in.simulator)
}

// await starts a process and returns when it says that it is ready.
func await(c *exec.Cmd) error {
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("%w (make build first)", err)
	}
	return awaitReady(out)
}

// awaitReady reads until the line that begins with "ready", and lets the rest flow away.
func awaitReady(out io.Reader) error {
	buf, seen := make([]byte, 4096), ""
	for !strings.Contains("\n"+seen, "\nready") {
		n, err := out.Read(buf)
		if err != nil {
			return fmt.Errorf("it ended before it was ready: %w", err)
		}
		seen += string(buf[:n])
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return nil
}

func (in *Installation) context() string { return filepath.Join(in.dir, "data", "dev.json") }

func (in *Installation) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, in.binary, args...)
	c.Env = append([]string{"GOMEMLIMIT=" + memory}, os.Environ()...) // whoever runs the benchmark may say otherwise
	c.Env = append(c.Env, "AGOGO_CONTEXT="+in.context(), "XDG_DATA_HOME="+in.dir, "AGOGO_TENANT=bench",
		"ORANGE_CLIENT_ID=bench", "ORANGE_CLIENT_SECRET=bench", "ORANGE_POS_ID=bench", "ORANGE_CALLBACK_AUTH=bench")
	return c
}

// CLI runs the command line against it, and returns what it prints.
func (in *Installation) CLI(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
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

// Stop ends it and removes its folder.
func (in *Installation) Stop() {
	for _, c := range []*exec.Cmd{in.dev, in.simulator} {
		if c != nil && c.Process != nil {
			_ = c.Process.Signal(os.Interrupt)
			_ = c.Wait()
		}
	}
	_ = os.RemoveAll(in.dir)
}

// Callbacks has the provider call back at an address, as it does about every transfer.
func (in *Installation) Callbacks(ctx context.Context, url string) error {
	return in.control(ctx, "callback", map[string]string{"provider": simulator.Orange, "authorization": "bench", "url": url})
}

// Latency is how long the provider takes for a transfer from now on.
func (in *Installation) Latency(ctx context.Context, d time.Duration) error {
	return in.control(ctx, "latency", map[string]string{"provider": simulator.Orange, "operation": "cashin", "fixed": d.String()})
}

func (in *Installation) control(ctx context.Context, what string, words map[string]string) error {
	body, err := json.Marshal(words)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, in.Info.Simulator+"/_control/"+what, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the simulator's %s cannot be set: %s", what, answer.Status)
	}
	return nil
}

// PostgresLog copies what the server has logged so far to a file.
func (in *Installation) PostgresLog(to string) error {
	found, err := filepath.Glob(filepath.Join(in.dir, "data", "postgres*", "*.log"))
	if err != nil || len(found) == 0 {
		return fmt.Errorf("no log of Postgres in %s: %w", in.dir, errors.Join(err, os.ErrNotExist))
	}
	raw, err := os.ReadFile(found[0])
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o600)
}
