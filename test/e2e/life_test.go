package e2e_test

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/test/harness"
)

// defaultPorts are those that DESIGN promises.
var defaultPorts = map[string]int{
	"scheduler grpc": 7101, "scheduler http": 8101, "payouts grpc": 7102, "payouts http": 8102,
	"recurrences grpc": 7103, "recurrences http": 8103, "notifier grpc": 7104, "notifier http": 8104,
	"nats": 4222, "simulator": 9900,
}

// One data directory through everything that happens to a dev: first start, a second one beside it, kill -9, Ctrl-C in the
// middle of a run, and starts with less.
func TestDevOverItsLife(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Tenant = lebenis
	in.Env = []string{"AGOGO_CONTEXT="} // commands find the dev that was started last by themselves
	in.UseConfig(t, slowConfig(t))
	shift := freeShift(t)
	ports := fmt.Sprintf("+%d", shift)
	dev := in.Dev(t, "--ports", ports)
	t.Logf("first start: ready after %s", dev.ReadyAfter)
	checkDevJSON(t, in, shift)

	t.Run("a second dev on the data directory", func(t *testing.T) {
		second := in.DevWith(t, nil)
		if code := second.AwaitExit(t, 20*time.Second); code != 1 || !strings.Contains(second.Log(), "another agogo dev uses "+in.DataDir()) {
			t.Errorf("exit %d\n%s", code, second.Log())
		}
	})
	t.Run("a second dev on the ports", func(t *testing.T) {
		second := harness.New(t, binary).DevWith(t, nil, "--ports", ports)
		if code := second.AwaitExit(t, 20*time.Second); code != 1 || !strings.Contains(second.Log(), "is taken") || !strings.Contains(second.Log(), "--ports free") {
			t.Errorf("exit %d\n%s", code, second.Log())
		}
	})
	in.CLI(t, "doctor")
	for _, s := range harness.Items[schedulerv1.Schedule](t, in, "schedules", "list") {
		in.CLI(t, "schedules", "pause", s.Name, "--reason", "ticks are fired by hand")
	}
	in.CLI(t, "payments", "import", harness.Example(t, "lebenis/payments-2025-01-24.csv"))
	tokens := in.Info(t).Tokens

	dev.Kill()
	dev = in.Dev(t, "--ports", ports) // at once, on the same ports
	t.Logf("start after kill -9: ready after %s", dev.ReadyAfter)
	if dev.ReadyAfter > 15*time.Second {
		t.Errorf("ready after %s, want 5 s on a machine with nothing else to do, and 15 s in any case", dev.ReadyAfter)
	}
	if again := in.Info(t).Tokens; !maps.Equal(tokens, again) {
		t.Error("the tokens changed with the start")
	}
	interruptRun(t, in, dev)

	dev = in.Dev(t, "--ports", ports)
	t.Logf("start after Ctrl-C: ready after %s", dev.ReadyAfter)
	in.CLI(t, "schedules", "trigger", daily, "--at", january24, "--wait", "--timeout", runEnds)
	checkOnce(t, in)
	dev.Interrupt(t)
	checkGone(t, in)
	startWithLess(t, in)
}

// slowConfig is the example with a provider that is waited for longer than Ctrl-C may take.
func slowConfig(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(harness.Example(t, "tenants.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(raw), "timeout: 2s", "timeout: 6s", 1)
	return strings.Replace(text, "concurrency: 16", "concurrency: 2", 1)
}

// freeShift finds a shift under which all default ports are free. They stay below those that systems give to outgoing
// connections: one of these could take a port between this look and the next start.
func freeShift(t *testing.T) int {
	t.Helper()
	for shift := 2000 + os.Getpid()%1000*10; shift < 22000; shift += 7 {
		free := true
		for _, p := range defaultPorts {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p+shift))
			if err != nil {
				free = false
				break
			}
			_ = l.Close()
		}
		if free {
			return shift
		}
	}
	t.Fatal("no shift leaves all ports free")
	return 0
}

func checkDevJSON(t *testing.T, in *harness.Install, shift int) {
	t.Helper()
	file, err := os.Stat(filepath.Join(in.DataDir(), "dev.json"))
	if err != nil || file.Mode().Perm() != 0o600 {
		t.Fatalf("dev.json: %v %v, want mode 0600", file, err)
	}
	info := in.Info(t)
	got := map[string]string{"nats": strings.TrimPrefix(info.NATS.URL, "nats://"), "simulator": strings.TrimPrefix(info.Simulator, "http://")}
	for service, addr := range info.GRPC {
		got[service+" grpc"] = addr
	}
	for service, addr := range info.HTTP {
		got[service+" http"] = addr
	}
	for name, port := range defaultPorts {
		if want := fmt.Sprintf("127.0.0.1:%d", port+shift); got[name] != want {
			t.Errorf("%s is at %s, want %s", name, got[name], want)
		}
	}
	if len(got) != len(defaultPorts) || info.Version != 1 {
		t.Errorf("version %d, addresses %v", info.Version, got)
	}
	if dsn, err := url.Parse(info.PostgresDSN); err != nil || dsn.Scheme != "postgres" {
		t.Errorf("postgres_dsn: %v", err)
	}
	if creds, err := os.Stat(info.NATS.Creds); err != nil || creds.Mode().Perm() != 0o600 {
		t.Errorf("nats credentials: %v %v, want mode 0600", creds, err)
	}
	if names := slices.Sorted(maps.Keys(info.Tokens)); !slices.Equal(names, []string{"admin", "approver", "approver2", "operator"}) {
		t.Errorf("tokens: %v", names)
	}
}

// interruptRun presses Ctrl-C while the provider keeps two payouts waiting for longer than a stop may take.
func interruptRun(t *testing.T, in *harness.Install, dev *harness.Process) {
	t.Helper()
	in.Misbehave(t, harness.Rule{"provider": "orange_omr", "operation": "cashin", "fault": "slow", "delay": "30s"})
	in.CLI(t, "schedules", "trigger", daily, "--at", january24)
	awaitState(t, in, "submitting", 1)
	interruptInTime(t, dev)
}

func awaitState(t *testing.T, in *harness.Install, state string, least int) {
	t.Helper()
	harness.Eventually(t, waiting, fmt.Sprintf("%d payouts %s", least, state), func() (bool, string) {
		all := harness.Items[payoutsv1.Payout](t, in, "payouts", "list", "--state", state)
		return len(all) >= least, fmt.Sprint(all)
	})
}

func interruptInTime(t *testing.T, dev *harness.Process) {
	t.Helper()
	took := dev.Interrupt(t)
	t.Logf("Ctrl-C in the middle of a run: stopped after %s", took)
	if took > 5*time.Second {
		t.Errorf("stopped after %s, want 5 s at most", took)
	}
}

// A provider that answers within a second has nobody in doubt after Ctrl-C: nothing new is sent, and what is under way is
// seen to its answer. The next start goes on where the last one stopped.
func TestCtrlCLeavesNothingInDoubt(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Tenant = lebenis
	in.WithSimulator(t)
	in.UseConfig(t, slowConfig(t))
	in.Misbehave(t, harness.Rule{"provider": "orange_omr", "operation": "cashin", "fault": "slow", "delay": "600ms"})
	dev := in.Dev(t)
	for _, s := range harness.Items[schedulerv1.Schedule](t, in, "schedules", "list") {
		in.CLI(t, "schedules", "pause", s.Name, "--reason", "ticks are fired by hand")
	}
	in.CLI(t, "payments", "import", harness.Example(t, "lebenis/payments-2025-01-24.csv"))
	in.CLI(t, "schedules", "trigger", daily, "--at", january24)
	awaitState(t, in, "succeeded", 2)
	interruptInTime(t, dev)
	moved := len(in.Book(t))
	in.Dev(t)
	if moved >= 15 {
		t.Errorf("all %d were paid before the process stopped: nothing was interrupted", moved)
	}
	for _, p := range printedPayouts(t, in) {
		if p.State != "succeeded" && p.State != "approved" && p.State != "submitting" {
			t.Errorf("%s is %s after a clean stop: %+v", p.PayeeID, p.State, p.Attempts)
		}
	}
	in.CLI(t, "schedules", "trigger", daily, "--at", january24, "--wait", "--timeout", runEnds)
	for _, p := range printedPayouts(t, in) {
		if p.State != "succeeded" || len(p.Attempts) != 1 {
			t.Errorf("%s is %s with attempts %+v", p.PayeeID, p.State, p.Attempts)
		}
	}
	for _, e := range in.Book(t) {
		if e.Moved != 1 || e.Requests != 1 {
			t.Errorf("%+v: want one request and one movement", e)
		}
	}
}

// checkOnce holds the payouts of the interrupted evening against the provider's book: nobody is paid twice, and no more are
// in doubt than could be on their way.
func checkOnce(t *testing.T, in *harness.Install) {
	t.Helper()
	paid := map[string]int{}
	for _, e := range in.Book(t) {
		paid[e.Reference] += e.Moved
	}
	doubtful, payouts := 0, printedPayouts(t, in)
	for _, p := range payouts {
		moved := 0
		for _, a := range p.Attempts {
			moved += paid[a.Reference]
		}
		switch {
		case p.State == "succeeded" && moved == 1:
		case (p.State == "unknown" || p.State == "manual_review") && moved <= 1:
			doubtful++
		default:
			t.Errorf("%s is %s, and money moved %d times", p.PayeeID, p.State, moved)
		}
	}
	if len(payouts) != 15 || doubtful > 2 {
		t.Errorf("%d payouts, %d in doubt; want 15, and at most the two that were on their way", len(payouts), doubtful)
	}
}

// checkGone finds nothing left of a dev that ended.
func checkGone(t *testing.T, in *harness.Install) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(in.DataDir(), "dev.json")); !os.IsNotExist(err) {
		t.Errorf("dev.json is still there (%v)", err)
	}
	if r := in.Try(t, "payouts", "list"); r.Code != 1 || !strings.Contains(r.Err, "agogo dev") {
		t.Errorf("a command without a dev: exit %d\n%s", r.Code, r)
	}
}

func startWithLess(t *testing.T, in *harness.Install) {
	t.Helper()
	dev := in.Dev(t, "--only", "scheduler,payouts", "--no-simulator")
	info := in.Info(t)
	if len(info.GRPC) != 2 || len(info.HTTP) != 2 || info.GRPC["scheduler"] == "" || info.GRPC["payouts"] == "" || info.Simulator != "" {
		t.Errorf("dev.json: %+v", info)
	}
	in.CLI(t, "doctor")
	if r := in.Try(t, "notifications", "list"); r.Code != 1 || !strings.Contains(r.Err, "started without") {
		t.Errorf("a command for a service that is not there: exit %d\n%s", r.Code, r)
	}
	if n := len(harness.Items[payoutsv1.Payout](t, in, "payouts", "list")); n != 15 {
		t.Errorf("%d payouts, want those of before", n)
	}
	dev.Interrupt(t)
}
