//go:build cluster

package cluster_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/test/harness"
)

// patience is long: two cores build, install and pay at once.
const patience = 4 * time.Minute

// slots are the sends that one process has under way at most: the concurrency of examples/tenants.yaml.
const slots = 16

// The profile standard: two of each service, three servers of NATS, TLS everywhere. The demo's own expectations judge the quiet
// installation; then evenings are paid while it is upgraded, while its processes are killed, and while somebody drains the node.
func TestStandardLivesThroughUpgradeKillAndDrain(t *testing.T) {
	in := install(t, "standard")
	in.helm("test", "agogo")
	in.demo()
	t.Run("upgrade", func(t *testing.T) { in.on(t).upgraded() })
	t.Run("kill", func(t *testing.T) { in.on(t).killed() })
	t.Run("drain", func(t *testing.T) { in.on(t).drained() })
	in.CLI(t, "ledger", "verify")
	in.CLI(t, "events", "verify")
	in.helm("rollback", "agogo", "1", "--wait", "--timeout", "10m")
	in.CLI(t, "payouts", "list", "--state", "held")
	in.helm("uninstall", "agogo", "--wait", "--timeout", "5m")
	harness.Eventually(t, patience, "no pod left", func() (bool, string) {
		left := len(in.pods(""))
		return left == 0, fmt.Sprint(left, " left")
	})
	if secrets := in.kubectl("get", "secrets", "-o", "name"); !strings.Contains(secrets, "agogo-keys-payouts") {
		t.Errorf("the keys are gone with the installation:\n%s", secrets)
	}
}

// on is the same installation for a test of its own.
func (in installation) on(t *testing.T) installation {
	in.T = t
	return in
}

// demo shows both tenants' days through gRPC from outside, against the customers' own expectations.
func (in installation) demo() {
	in.Helper()
	all := *in.Install
	all.Tenant = ""
	out := all.CLI(in.T, "demo", "--installed", "--once")
	if n := strings.Count(out, "as the customer expects"); n != 6 { // the drivers' evening and five ticks of the club
		in.Errorf("%d stages are as the customer expects, want 6:\n%s", n, out)
	}
}

// upgraded pays an evening while every pod is replaced by one of the next version.
func (in installation) upgraded() {
	e := evening{in, 1, 1500}
	before := map[string]bool{}
	for _, p := range in.pods("payouts") {
		before[p.Metadata.Name] = true
	}
	e.begin()
	in.helm("upgrade", "agogo", filepath.Join(in.root, "deploy", "helm", "agogo"), "--reuse-values", "--set", "image.tag=two", "--wait", "--timeout", "10m")
	e.end(0)
	for _, p := range in.pods("payouts") {
		if before[p.Metadata.Name] {
			in.Errorf("%s was not replaced", p.Metadata.Name)
		}
	}
	if images := in.kubectl("get", "pods", "-l", "app.kubernetes.io/component in (nats,scheduler,payouts,recurrences,notifier)", "-o", "jsonpath={.items[*].spec.containers[*].image}"); strings.Contains(images, ":one") {
		in.Errorf("pods of the old version: %s", images)
	}
}

// killed pays an evening while a replica of payouts and a server of NATS die between any two statements.
func (in installation) killed() {
	e := evening{in, 2, 1500}
	e.begin()
	in.kill(in.pods("payouts")[0])
	in.kill(in.pods("nats")[0])
	e.end(slots)
	in.settled()
	for _, component := range []string{"payouts", "nats"} {
		restarts := 0
		for _, p := range in.pods(component) {
			restarts += in.main(p).RestartCount
		}
		if restarts != 1 {
			in.Errorf("%s: %d restarts, want the one that was killed", component, restarts)
		}
	}
}

// drained pays an evening while somebody empties the only node: one pod of each may go and finds no place, and the budgets keep
// the others.
func (in installation) drained() {
	e := evening{in, 3, 1500}
	e.begin()
	out, err := in.try(in.tool("kubectl"), "drain", "agogo", "--delete-emptydir-data", "--pod-selector=app.kubernetes.io/instance=agogo", "--timeout=30s")
	if err == nil || !strings.Contains(out, "would violate the pod's disruption budget") {
		in.Errorf("the node was drained although nothing else is there: %v\n%s", err, out)
	}
	for _, component := range append([]string{"nats"}, services...) {
		ready, total := 0, 0
		for _, p := range in.pods(component) {
			total++
			if p.ready() {
				ready++
			}
		}
		if want := map[bool]int{true: 2, false: 1}[component == "nats"]; ready != want || total != want+1 {
			in.Errorf("%s: %d of %d ready during the drain, want %d of %d", component, ready, total, want, want+1)
		}
	}
	in.kubectl("uncordon", "agogo")
	e.end(0)
	in.settled()
}

// settled waits until every pod that should be there is ready.
func (in installation) settled() {
	in.Helper()
	harness.Eventually(in.T, patience, "every pod ready", func() (bool, string) {
		ready := 0
		for _, component := range append([]string{"nats"}, services...) {
			for _, p := range in.pods(component) {
				if p.ready() {
					ready++
				}
			}
		}
		return ready == 2*len(services)+3, fmt.Sprint(ready, " ready")
	})
}

// limits are what the profile economy gives each service, in MiB: the machines of the systems before it.
var limits = map[string]int{"payouts": 512, "recurrences": 512, "scheduler": 256, "notifier": 256, "nats": 256}

// The profile economy runs both days, and an evening of many drivers, within the memory and the processors of the old machines.
func TestEconomyKeepsWithinTheOldMachines(t *testing.T) {
	in := install(t, "economy")
	in.Control(t, "POST", "/_control/reset", nil, nil) // the demo's references are always the same
	idle := map[string]int{}
	for component := range limits {
		idle[component], _ = in.memory(in.pods(component)[0])
	}
	in.demo()
	days := map[string]int{}
	for component := range limits {
		_, days[component] = in.memory(in.pods(component)[0])
	}
	e := evening{in, 4, 3000}
	e.begin()
	e.end(0)
	for component, limit := range limits {
		p := in.pods(component)[0]
		now, most := in.memory(p)
		t.Logf("%-12s idle %3d MiB, both days %3d MiB at most, %d payouts in an evening %3d MiB at most and %3d MiB after, of %d MiB", component, idle[component], days[component], e.payees, most, now, limit)
		if s := in.main(p); s.RestartCount != 0 || s.LastState["terminated"].Reason != "" {
			t.Errorf("%s was ended: %+v", component, s)
		}
		if most >= limit {
			t.Errorf("%s had %d MiB, and the profile gives it %d", component, most, limit)
		}
	}
	in.CLI(t, "ledger", "verify")
	in.CLI(t, "events", "verify")
	in.helm("uninstall", "agogo", "--wait", "--timeout", "5m")
}
