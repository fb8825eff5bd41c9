package e2e_test

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/test/harness"
)

const (
	lebenis   = "lebenis"
	daily     = "lebenis/payouts/daily"
	reset     = "lebenis/payouts/reset-breaks"
	january24 = "2025-01-24T23:59:00Z"
	january25 = "2025-01-25T23:59:00Z"
)

// world is an installation on which the sample evening was paid, as examples/README.md says, with everything that was
// published meanwhile. Tests that only look, or whose changes disturb nobody, share it.
type world struct {
	*harness.Install
	dev   *harness.Process
	heard *ear
	spans *harness.Collector
	run   *schedulerv1.Run // of the evening of 24 January
	first snapshot         // right after it
}

var shared fixture

type fixture struct {
	once sync.Once
	dir  string
	it   *world
	done bool
}

// evening is the shared world; the first test that asks for it pays the evening.
func evening(t *testing.T) *world {
	t.Helper()
	shared.once.Do(func() { shared.begin(t) })
	if !shared.done {
		t.Fatal("the evening could not be set up; the first test that needed it says why")
	}
	return shared.it
}

func (f *fixture) begin(t *testing.T) {
	t.Helper()
	var err error
	if f.dir, err = os.MkdirTemp("", "agogo-e2e-evening-"); err != nil {
		t.Fatal(err)
	}
	w := &world{Install: &harness.Install{Binary: binary, Dir: f.dir, Tenant: lebenis}, heard: &ear{}}
	f.it = w
	if w.spans, err = harness.Collect(); err != nil {
		t.Fatal(err)
	}
	w.Env = []string{"AGOGO_LOG=debug,text", "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + w.spans.Addr, "OTEL_BSP_SCHEDULE_DELAY=200"}
	if w.dev, err = w.Launch(); err != nil {
		t.Fatal(err)
	}
	w.dev.AwaitReady(t)
	if w.heard.nc, err = w.ConnectNATS(); err != nil {
		t.Fatal(err)
	}
	if err := w.heard.listen(); err != nil {
		t.Fatal(err)
	}
	w.pay(t)
	f.done = true
}

// pay is the evening of 24 January 2025 in Abidjan. drv-01 rests 45 minutes, and again over midnight.
func (w *world) pay(t *testing.T) {
	t.Helper()
	for _, s := range []string{"daily", "check-pending", "reset-breaks"} {
		w.CLI(t, "schedules", "pause", "lebenis/payouts/"+s, "--reason", "ticks are fired by hand")
	}
	w.CLI(t, "payments", "import", harness.Example(t, "lebenis/payments-2025-01-24.csv"))
	w.CLI(t, "devices", "import", harness.Example(t, "lebenis/devices.csv"))
	w.CLI(t, "breaks", "start", "drv-01", "--at", "2025-01-24T15:59:00Z")
	w.CLI(t, "breaks", "end", "drv-01", "--at", "2025-01-24T16:44:00Z")
	w.CLI(t, "breaks", "start", "drv-01", "--at", "2025-01-24T23:29:00Z")
	w.run = harness.One[schedulerv1.Run](t, w.Install, "schedules", "trigger", daily, "--at", january24, "--wait")
	w.first = w.snapshot(t)
}

func (f *fixture) end() {
	if f.it != nil {
		if f.it.heard.nc != nil {
			f.it.heard.nc.Close()
		}
		if f.it.dev != nil {
			f.it.dev.Kill()
		}
		if f.it.spans != nil {
			f.it.spans.Stop()
		}
	}
	if f.dir != "" {
		if err := harness.Remove(f.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// snapshot is everything that paying leaves behind, as the command line and the provider show it.
type snapshot struct {
	Payouts, Payments, Ledger, Batches, Runs string
	Book                                     []harness.Entry
}

func (w *world) snapshot(t *testing.T) snapshot {
	t.Helper()
	return snapshot{
		Payouts: w.CLI(t, "payouts", "list", "-o", "json"), Payments: w.CLI(t, "payments", "list", "-o", "json"),
		Ledger: w.CLI(t, "ledger", "entries", "-o", "json"), Batches: w.CLI(t, "batches", "list", "-o", "json"),
		Runs: w.CLI(t, "runs", "list", "-o", "json"), Book: w.Book(t),
	}
}

// ear hears every message that is published, as a subscriber outside does that asked before anything happened.
type ear struct {
	nc  *nats.Conn
	mu  sync.Mutex
	all []*nats.Msg
}

func (e *ear) listen() error {
	_, err := e.nc.Subscribe("agogo.>", func(m *nats.Msg) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.all = append(e.all, m)
	})
	if err != nil {
		return err
	}
	return e.nc.Flush()
}

// messages are those heard so far.
func (e *ear) messages(t *testing.T) []*nats.Msg {
	t.Helper()
	if err := e.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*nats.Msg(nil), e.all...)
}
