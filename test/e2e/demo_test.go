package e2e_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/test/harness"
)

// The demo's payments are invented. With everything exported that leads to an installation of the user's, it must neither
// speak to that nor fail for it.
func TestDemoKeepsToItself(t *testing.T) {
	t.Parallel()
	theirs, calls := listener(t)
	in := harness.New(t, binary)
	text, err := os.ReadFile(harness.Example(t, "tenants.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	in.UseConfig(t, strings.ReplaceAll(string(text), "127.0.0.1:9900", theirs))
	env := []string{
		"AGOGO_CONFIG=" + in.Config, "AGOGO_NATS_URL=nats://" + theirs, "AGOGO_NATS_CREDS=" + in.Config,
		"AGOGO_POSTGRES_DSN=postgres://admin:secret@" + theirs + "/agogo", "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + theirs,
	}
	r := in.TryWith(t, env, nil, "demo", "--once")
	if r.Code != 0 || strings.Count(r.Out, "as the customer expects") != 6 { // the drivers' evening and five ticks of the club
		t.Errorf("exit %d\n%s", r.Code, r)
	}
	if !strings.Contains(r.Out, "lebenis (sandbox)") {
		t.Error("the report shows no mode")
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("what the environment names was called %d times", n)
	}
	for _, flag := range []string{"--config=" + in.Config, "--nats-url=nats://" + theirs, "--postgres-dsn=postgres://" + theirs} {
		if r := in.Try(t, "demo", "--once", flag); r.Code != 2 {
			t.Errorf("demo %s: exit %d, want 2\n%s", flag, r.Code, r)
		}
	}
}

// listener counts who calls, and hangs up.
func listener(t *testing.T) (addr string, calls *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	calls = &atomic.Int64{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			_ = c.Close()
		}
	}()
	return l.Addr().String(), calls
}

// Half an installation is worse than none: a dev whose Postgres has died ends, and says why.
func TestDevEndsWithItsPostgres(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Tenant = lebenis
	dev := in.Dev(t)
	checkModes(t, in, dev)
	killPostgres(t, in)
	if code := dev.AwaitExit(t, waiting); code != 1 || !strings.Contains(dev.Log(), "postgres stopped") {
		t.Errorf("exit %d\n%s", code, dev.Log())
	}
}

func killPostgres(t *testing.T, in *harness.Install) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(in.DataDir(), "postgres", "pgdata", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// A demo that stays up ends with its Postgres too.
func TestDemoEndsWithItsPostgres(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	demo := in.Start(t, nil, "demo", "--ports", "free", "--data-dir", in.DataDir())
	demo.AwaitOutput(t, "Everything stays up")
	killPostgres(t, in)
	if code := demo.AwaitExit(t, waiting); code != 1 || !strings.Contains(demo.Log(), "postgres stopped") {
		t.Errorf("exit %d\n%s", code, demo.Log())
	}
}

// checkModes looks for the tenant's mode wherever somebody could take one installation for another, and for its stop.
func checkModes(t *testing.T, in *harness.Install, dev *harness.Process) {
	t.Helper()
	if !strings.Contains(dev.Output(), "tenants lebenis (sandbox)") {
		t.Errorf("ready:\n%s", dev.Output())
	}
	raw, err := os.ReadFile(filepath.Join(in.DataDir(), "dev.json"))
	if err != nil || !strings.Contains(string(raw), `"lebenis": "sandbox"`) {
		t.Errorf("dev.json: %v\n%s", err, raw)
	}
	for _, command := range [][]string{{"doctor"}, {"schedules", "list"}, {"schedules", "list", "-o", "json"}, {"tenants", "list"}} {
		if out := in.CLI(t, command...); !strings.Contains(out, "sandbox") {
			t.Errorf("%v shows no mode:\n%s", command, out)
		}
	}
	in.CLI(t, "stop", "--reason", "to be seen")
	if out := in.CLI(t, "tenants", "list"); !strings.Contains(out, "stopped") || !strings.Contains(out, "to be seen") {
		t.Errorf("tenants list shows no stop:\n%s", out)
	}
	in.CLI(t, "start")
	if all := harness.Items[payoutsv1.Tenant](t, in, "tenants", "list"); len(all) != 1 || all[0].GetOutflow().GetState() != "running" || all[0].GetMode() != "sandbox" {
		t.Errorf("tenants: %v", all)
	}
}

func TestAnswersSayTheMode(t *testing.T) {
	w := evening(t)
	for _, p := range harness.Items[payoutsv1.Payout](t, w.Install, "payouts", "list") {
		if p.GetMode() != "sandbox" {
			t.Errorf("payout %s has mode %q", p.GetId(), p.GetMode())
		}
	}
	if w.run.GetMode() != "sandbox" {
		t.Errorf("run %s has mode %q", w.run.GetTickId(), w.run.GetMode())
	}
}
