package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	restorev1 "github.com/agogopay/agogo/proto/gen/go/agogo/restore/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/test/harness"
)

// disaster is an installation whose Postgres is lost after an evening and a morning, and put back as it was before both. The streams
// and the providers know what the tables have forgotten.
type disaster struct {
	*harness.Install
	t      *testing.T
	dev    *harness.Process
	backup string
}

const morning30 = "2025-10-30T11:00:00Z"

func newDisaster(t *testing.T) *disaster {
	t.Helper()
	in := harness.New(t, binary)
	in.WithSimulator(t)
	config, err := os.ReadFile(harness.Example(t, "tenants.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	in.UseConfig(t, string(config))
	d := &disaster{Install: in, t: t, backup: filepath.Join(in.Dir, "backup")}
	d.dev = in.Dev(t)
	for _, s := range harness.Items[schedulerv1.Schedule](t, in, "schedules", "list") {
		in.CLI(t, "schedules", "pause", s.Name, "--reason", "ticks are fired by hand")
	}
	in.CLI(t, "recurrences", "import", "--tenant", "wallclub", harness.Example(t, "wallclub/recurrences-2025-10-30.csv"))
	return d
}

// takeBackup copies the files of the Postgres that dev runs, as a snapshot of its disk would.
func (d *disaster) takeBackup() {
	d.t.Helper()
	d.dev.Interrupt(d.t)
	d.copy(d.postgres(), d.backup)
	d.dev = d.Dev(d.t)
}

// restore puts the files back while nothing runs, and starts again.
func (d *disaster) restore() {
	d.t.Helper()
	d.dev.Interrupt(d.t)
	if err := harness.Remove(d.postgres()); err != nil {
		d.t.Fatal(err)
	}
	d.copy(d.backup, d.postgres())
	d.dev = d.Dev(d.t)
}

func (d *disaster) postgres() string { return filepath.Join(d.DataDir(), "postgres") }

func (d *disaster) copy(from, to string) {
	d.t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil { // owners and modes too: Postgres insists
		d.t.Fatalf("%v: %s", err, out)
	}
}

// work is the evening of the drivers, with what was imported on the day, and the morning of the club.
func (d *disaster) work() {
	d.t.Helper()
	d.CLI(d.t, "payments", "import", "--tenant", lebenis, harness.Example(d.t, "lebenis/payments-2025-01-24.csv"))
	d.CLI(d.t, "schedules", "trigger", daily, "--tenant", lebenis, "--at", january24, "--wait", "--timeout", "3m")
	d.CLI(d.t, "schedules", "trigger", "wallclub/recurrences/charge-due", "--tenant", "wallclub", "--at", morning30, "--wait", "--timeout", "3m")
	harness.Eventually(d.t, 2*waiting, "every payout and charge decided", func() (bool, string) {
		left := d.states("submitting", "processing", "unknown", "approved", "due")
		return len(left) == 0, fmt.Sprint(left)
	})
}

// states lists what is in one of the states.
func (d *disaster) states(open ...string) (left []string) {
	d.t.Helper()
	for _, p := range harness.Items[payoutsv1.Payout](d.t, d.Install, "payouts", "list", "--tenant", lebenis) {
		if slices.Contains(open, p.State) {
			left = append(left, p.PayeeId+" "+p.State)
		}
	}
	for _, c := range harness.Items[recurrencesv1.Charge](d.t, d.Install, "charges", "list", "--tenant", "wallclub") {
		if slices.Contains(open, c.State) {
			left = append(left, c.RecurrenceId+" "+c.State)
		}
	}
	return left
}

// moved is how often the providers moved money, by who paid or was paid, by their own books.
func (d *disaster) moved() map[string]int {
	d.t.Helper()
	moved := map[string]int{}
	for _, e := range append(d.Book(d.t), d.Orders(d.t)...) {
		if e.Moved > 1 {
			d.t.Errorf("reference %s moved money %d times", e.Reference, e.Moved)
		}
		moved[fmt.Sprint(e.Peer, " ", e.Amount)] += e.Moved
	}
	return moved
}

func (d *disaster) marks() []*restorev1.Restore {
	d.t.Helper()
	return harness.Items[restorev1.Restore](d.t, d.Install, "restore", "list")
}

// The reason why there are epochs: a backup from before an evening's run is restored over what came of it, the evening is run
// again, and nobody is paid or charged twice; without the mark nothing is done at all.
func TestARestoredBackupPaysNobodyTwice(t *testing.T) {
	t.Parallel()
	d := newDisaster(t)
	d.takeBackup()
	d.work()
	before := d.moved()
	first := d.states("succeeded")
	if len(first) < 20 || len(before) < 20 {
		t.Fatalf("there was little to pay twice: %d succeeded, %d moved", len(first), len(before))
	}

	d.restore()
	if left := d.states("succeeded", "failed", "manual_review"); len(left) > 0 {
		t.Fatalf("the backup was not restored: %v", left)
	}
	for _, r := range d.marks() {
		if r.State != "unmarked" || r.Epoch != 0 {
			t.Errorf("%s is %s in epoch %d although EVENTS is ahead of its tables", r.Service, r.State, r.Epoch)
		}
	}
	for _, args := range [][]string{
		{"payments", "import", "--tenant", lebenis, harness.Example(t, "lebenis/payments-2025-01-24.csv")},
		{"schedules", "trigger", daily, "--tenant", lebenis, "--at", january24},
		{"schedules", "resume", daily, "--tenant", lebenis},
	} {
		if r := d.Try(t, args...); r.Code == 0 || !strings.Contains(r.String(), "restore") {
			t.Errorf("agogo %s before the mark: exit %d\n%s", strings.Join(args, " "), r.Code, r)
		}
	}
	if r := d.Try(t, "restore", "mark", "--reason", "disk lost", "--token", "operator"); r.Code != 4 {
		t.Errorf("an operator marks a restore: exit %d\n%s", r.Code, r)
	}

	d.CLI(t, "restore", "mark", "--reason", "disk lost; backup from before the evening")
	d.work()
	for who, n := range d.moved() {
		if n != before[who] {
			t.Errorf("%s: money moved %d times, %d before the restore", who, n, before[who])
		}
	}
	again := d.states("succeeded")
	slices.Sort(first)
	slices.Sort(again)
	if !slices.Equal(first, again) {
		t.Errorf("succeeded before: %v\nand after the restore: %v", first, again)
	}
	for _, r := range d.marks() {
		if r.State != "running" || r.Epoch != 1 || r.Asking != 0 || (r.Service == "payouts" || r.Service == "recurrences") && r.Found == 0 {
			t.Errorf("after the evening: %v", r)
		}
	}
	d.CLI(t, "ledger", "verify", "--tenant", lebenis)
	d.CLI(t, "ledger", "verify", "--tenant", "wallclub")
	d.CLI(t, "events", "verify")
	d.CLI(t, "audit", "verify")
	if strings.Contains(d.dev.Log(), "panic") {
		t.Error(d.dev.Log())
	}
}
