//go:build cluster

package cluster_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/test/harness"
)

// dir is where tools/cluster keeps the node.
const dir = "/var/lib/agogo-cluster"

var services = []string{"scheduler", "payouts", "recurrences", "notifier"}

// installation is the chart in a namespace of the node that carries the name of its profile. Commands of agogo reach it from the
// machine, by gRPC with TLS.
type installation struct {
	*testing.T
	*harness.Install
	root      string
	namespace string
}

// install has tools/cluster install the chart, with the rights of an installer.
func install(t *testing.T, profile string) installation {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	in := installation{t, harness.New(t, filepath.Join(root, "bin", "agogo")), root, profile}
	in.Simulator = "http://10.213.0.1:9900"
	in.Tenant = "lebenis"
	in.Env = []string{"AGOGO_CONTEXT=" + filepath.Join(dir, profile, "context.json")}
	in.do(filepath.Join(root, "bin", "tools", "cluster"), "install", "-root", root, "-profile", profile)
	return in
}

// try runs a program with the node's administrator or, for helm, with an installer's rights.
func (in installation) try(program string, args ...string) (string, error) {
	cmd := exec.CommandContext(in.Context(), program, args...)
	who := map[bool]string{true: "installer", false: "admin"}[filepath.Base(program) == "helm"]
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(dir, "kubeconfig-"+who), "HOME="+in.Dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (in installation) do(program string, args ...string) string {
	in.Helper()
	out, err := in.try(program, args...)
	if err != nil {
		in.Fatalf("%s %s: %v\n%s\n%s", filepath.Base(program), strings.Join(args, " "), err, out, in.state())
	}
	return out
}

func (in installation) tool(name string) string { return filepath.Join(in.root, "bin", "tools", name) }

func (in installation) kubectl(args ...string) string {
	in.Helper()
	return in.do(in.tool("kubectl"), append([]string{"-n", in.namespace}, args...)...)
}

func (in installation) helm(args ...string) string {
	in.Helper()
	return in.do(in.tool("helm"), append([]string{"-n", in.namespace}, args...)...)
}

// state is what there is to see when something fails.
func (in installation) state() string {
	var all strings.Builder
	for _, args := range [][]string{{"get", "pods", "-o", "wide"}, {"get", "events", "--sort-by=.lastTimestamp"}, {"logs", "-l", "app.kubernetes.io/name=agogo", "--tail=15", "--prefix", "--max-log-requests=30"}} {
		out, _ := in.try(in.tool("kubectl"), append([]string{"-n", in.namespace}, args...)...) // it is for people
		all.WriteString(out[max(0, len(out)-6000):] + "\n")
	}
	return all.String()
}

// pod is a pod as far as the tests look at it.
type pod struct {
	Metadata struct {
		Name   string
		Labels map[string]string
	}
	Spec struct {
		NodeName string
	}
	Status struct {
		Conditions        []struct{ Type, Status string }
		ContainerStatuses []container
	}
}

type container struct {
	Name         string
	ContainerID  string
	RestartCount int
	LastState    map[string]struct{ Reason string }
}

// main is the container that a pod is for; it carries the name of its component.
func (in installation) main(p pod) container {
	in.Helper()
	for _, c := range p.Status.ContainerStatuses {
		if c.Name == p.Metadata.Labels["app.kubernetes.io/component"] {
			return c
		}
	}
	in.Fatalf("%s has no container that does its work: %+v", p.Metadata.Name, p.Status)
	return container{}
}

// pods are those of a component, or all.
func (in installation) pods(component string) []pod {
	in.Helper()
	selector := "app.kubernetes.io/instance=agogo"
	if component != "" {
		selector += ",app.kubernetes.io/component=" + component
	}
	var list struct{ Items []pod }
	if err := json.Unmarshal([]byte(in.kubectl("get", "pods", "-l", selector, "-o", "json")), &list); err != nil {
		in.Fatal(err)
	}
	return list.Items
}

func (p pod) ready() bool {
	return slices.Contains(p.Status.Conditions, struct{ Type, Status string }{"Ready", "True"})
}

// pid is the process of a pod's main container.
func (in installation) pid(p pod) int {
	in.Helper()
	_, id, _ := strings.Cut(in.main(p).ContainerID, "://")
	for line := range strings.Lines(in.do("ctr", "-a", filepath.Join(dir, "containerd.sock"), "-n", "k8s.io", "tasks", "list")) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == id {
			pid, err := strconv.Atoi(fields[1])
			if err != nil {
				in.Fatal(err)
			}
			return pid
		}
	}
	in.Fatalf("%s: containerd runs no %s", p.Metadata.Name, id)
	return 0
}

// kill is kill -9 of a pod's process.
func (in installation) kill(p pod) {
	in.Helper()
	if err := syscall.Kill(in.pid(p), syscall.SIGKILL); err != nil {
		in.Fatal(err)
	}
}

// memory is what a pod's process has resident, and the most it ever had, in MiB.
func (in installation) memory(p pod) (now, most int) {
	in.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", in.pid(p)))
	if err != nil {
		in.Fatal(err)
	}
	for key, into := range map[string]*int{"VmRSS:": &now, "VmHWM:": &most} {
		_, rest, _ := strings.Cut(string(raw), key)
		if _, err := fmt.Sscan(rest, into); err != nil {
			in.Fatal(errors.Join(errors.New(key), err))
		}
		*into = (*into + 1023) / 1024
	}
	return now, most
}

// evening is one evening of drivers, each with one payment and a wallet of their own.
type evening struct {
	installation
	day    int // of February 2025
	payees int
}

func (e evening) wallet(payee int) string {
	return fmt.Sprintf("07%08d", 500_000+100_000*e.day+payee)
}

func (e evening) trigger(wait ...string) string {
	e.Helper()
	return e.CLI(e.T, append([]string{"schedules", "trigger", "lebenis/payouts/daily", "--at", fmt.Sprintf("2025-02-%02dT23:59:00Z", e.day)}, wait...)...)
}

// begin imports the payments and fires the tick; it returns while the evening is under way.
func (e evening) begin() {
	e.Helper()
	var file strings.Builder
	file.WriteString("payment_id,payee_id,payee_name,phone,amount,currency,method,status,completed_at\n")
	for i := range e.payees {
		fmt.Fprintf(&file, "pay-%[1]d-%[2]d,drv-%[1]d-%[2]d,Mariam Bamba,+225%[3]s,5000,XOF,orange_money,completed,2025-02-%02[1]dT12:00:00Z\n", e.day, i, e.wallet(i))
	}
	e.CLI(e.T, "payments", "import", harness.WriteFile(e.T, "payments.csv", file.String()))
	e.trigger()
	harness.Eventually(e.T, patience, "the evening is under way", func() (bool, string) {
		n := len(e.paid())
		return n >= e.payees/10, fmt.Sprint(n, " paid")
	})
	if n := len(e.paid()); n > e.payees/2 {
		e.Errorf("%d of %d are paid already: what happens next happens to an evening that is nearly over", n, e.payees)
	}
}

// paid are this evening's drivers in the provider's book, and how often each was paid.
func (e evening) paid() map[string]int {
	e.Helper()
	first, last := e.wallet(0), e.wallet(e.payees-1)
	paid := map[string]int{}
	for _, entry := range e.Book(e.T) {
		if entry.Peer >= first && entry.Peer <= last {
			paid[entry.Peer] += entry.Moved
		}
	}
	return paid
}

// end waits for the run and holds the provider's book against the payouts: each driver was paid once, except that so many may be
// in doubt, unpaid and shown to people, because whoever was about to pay them was killed.
func (e evening) end(inDoubt int) {
	e.Helper()
	e.trigger("--wait", "--timeout", "8m")
	period := fmt.Sprintf("2025-02-%02d", e.day)
	var of []*payoutsv1.Payout
	harness.Eventually(e.T, patience, "every payout decided", func() (bool, string) {
		of = of[:0]
		open := 0
		for _, p := range harness.Items[payoutsv1.Payout](e.T, e.Install, "payouts", "list") {
			if p.PeriodDate != period {
				continue
			}
			of = append(of, p)
			if !slices.Contains([]string{"succeeded", "manual_review"}, p.State) {
				open++
			}
		}
		return open == 0, fmt.Sprint(open, " open")
	})
	paid, succeeded, doubtful := e.paid(), 0, 0
	for _, p := range of {
		if p.State == "succeeded" {
			succeeded++
		} else {
			doubtful++
		}
	}
	once := 0
	for i := range e.payees {
		switch n := paid[e.wallet(i)]; n {
		case 0:
		case 1:
			once++
		default:
			e.Errorf("%s was paid %d times", e.wallet(i), n)
		}
	}
	if len(of) != e.payees || once < succeeded || e.payees-once > doubtful || doubtful > inDoubt {
		e.Errorf("%d drivers: %d payouts, %d succeeded, %d in doubt (%d at most); the book has %d paid once", e.payees, len(of), succeeded, doubtful, inDoubt, once)
	}
	e.Logf("evening of %s: %d payouts, %d in doubt, %d paid once by the provider's book", period, len(of), doubtful, once)
}
