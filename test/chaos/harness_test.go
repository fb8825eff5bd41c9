//go:build crash

package chaos_test

import (
	"bufio"
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
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

const tenant = "lebenis"

// binary is agogo, built with crash points.
func binary(t *testing.T) string {
	t.Helper()
	b := os.Getenv("AGOGO_CRASH_BINARY")
	if b == "" {
		t.Fatal("AGOGO_CRASH_BINARY is not set: run 'make test/crash'")
	}
	return b
}

// child is a process under test.
type child struct {
	cmd    *exec.Cmd
	ready  chan string // the line that begins with "ready"
	exited chan struct{}
	err    error
	mu     sync.Mutex
	stderr bytes.Buffer
}

func (c *child) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stderr.Write(p)
}

func (c *child) log() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stderr.String()
}

func start(t *testing.T, env []string, args ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(binary(t), args...), ready: make(chan string, 1), exited: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stderr = c
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "ready") {
				c.ready <- lines.Text()
			}
		}
		c.err = c.cmd.Wait()
		close(c.exited)
	}()
	t.Cleanup(func() { c.kill() })
	return c
}

func (c *child) awaitReady(t *testing.T) string {
	t.Helper()
	select {
	case line := <-c.ready:
		return line
	case <-c.exited:
		t.Fatalf("the process ended before it was ready: %v\n%s", c.err, c.log())
	case <-time.After(60 * time.Second):
		t.Fatalf("not ready after a minute\n%s", c.log())
	}
	return ""
}

// awaitDeath waits until the process was killed by its armed crash point.
func (c *child) awaitDeath(t *testing.T, within time.Duration) {
	t.Helper()
	select {
	case <-c.exited:
	case <-time.After(within):
		t.Fatalf("the crash point was not reached within %s\n%s", within, c.log())
	}
	var exit *exec.ExitError
	if !errors.As(c.err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended otherwise than by SIGKILL: %v\n%s", c.err, c.log())
	}
}

func (c *child) stop(t *testing.T) {
	t.Helper()
	began := time.Now()
	_ = c.cmd.Process.Signal(os.Interrupt)
	select {
	case <-c.exited:
	case <-time.After(15 * time.Second):
		t.Fatalf("still running %s after an interrupt\n%s", time.Since(began), c.log())
	}
	if c.err != nil {
		t.Fatalf("an interrupt must end it cleanly: %v\n%s", c.err, c.log())
	}
}

func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.exited
}

// install is one installation: a data directory and a simulator that outlives the processes.
type install struct {
	t         *testing.T
	dir       string
	config    string
	simulator string
}

func newInstall(t *testing.T) *install {
	t.Helper()
	in := &install{t: t, dir: t.TempDir()}
	in.simulator = "http://" + freeAddr(t)
	start(t, nil, "simulator", "--addr", strings.TrimPrefix(in.simulator, "http://"), "--book", filepath.Join(in.dir, "book.jsonl")).awaitReady(t)
	in.config = filepath.Join(in.dir, "tenants.yaml")
	raw, err := os.ReadFile("../../examples/tenants.yaml")
	if err != nil {
		t.Fatal(err)
	}
	raw = bytes.ReplaceAll(raw, []byte("http://127.0.0.1:9900"), []byte(in.simulator))
	if err := os.WriteFile(in.config, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return in
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// env is what every process of the installation gets; crash is "" or a crash point.
func (in *install) env(crash string) []string {
	return []string{
		"AGOGO_CRASHPOINT=" + crash, "AGOGO_CONTEXT=" + filepath.Join(in.dir, "data", "dev.json"), "XDG_DATA_HOME=" + in.dir,
		"ORANGE_CLIENT_ID=sandbox", "ORANGE_CLIENT_SECRET=sandbox", "ORANGE_POS_ID=sandbox", "ORANGE_CALLBACK_AUTH=sandbox",
	}
}

func (in *install) dev(crash string) *child {
	in.t.Helper()
	c := start(in.t, in.env(crash), "dev", "--ports", "free", "--data-dir", filepath.Join(in.dir, "data"), "--config", in.config, "--no-simulator")
	c.awaitReady(in.t)
	return c
}

// cli runs a command to its end and fails the test when it fails.
func (in *install) cli(args ...string) string {
	in.t.Helper()
	out, err := in.try(args...)
	if err != nil {
		in.t.Fatalf("agogo %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (in *install) try(args ...string) (string, error) {
	cmd := exec.Command(binary(in.t), append(args, "--tenant", tenant)...)
	cmd.Env = append(os.Environ(), in.env("")...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// clients connect to the running dev as admin.
type clients struct {
	scheduler schedulerv1.SchedulerServiceClient
	payouts   payoutsv1.PayoutsServiceClient
}

type devInfo struct {
	GRPC   map[string]string `json:"grpc"`
	Tokens map[string]string `json:"tokens"`
}

func (in *install) clients() (clients, context.Context) {
	in.t.Helper()
	raw, err := os.ReadFile(filepath.Join(in.dir, "data", "dev.json"))
	if err != nil {
		in.t.Fatal(err)
	}
	var info devInfo
	if err := json.Unmarshal(raw, &info); err != nil {
		in.t.Fatal(err)
	}
	dial := func(service string) *grpc.ClientConn {
		c, err := grpc.NewClient(info.GRPC[service], grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			in.t.Fatal(err)
		}
		in.t.Cleanup(func() { _ = c.Close() })
		return c
	}
	ctx := metadata.AppendToOutgoingContext(in.t.Context(), "authorization", "Bearer "+info.Tokens["admin"])
	return clients{schedulerv1.NewSchedulerServiceClient(dial("scheduler")), payoutsv1.NewPayoutsServiceClient(dial("payouts"))}, ctx
}

func (in *install) payoutsOf(run string) []*payoutsv1.Payout {
	in.t.Helper()
	c, ctx := in.clients()
	r, err := c.payouts.ListPayouts(ctx, &payoutsv1.ListPayoutsRequest{Tenant: tenant, RunId: run, PageSize: 1000})
	if err != nil {
		in.t.Fatal(err)
	}
	return r.Items
}

// entry is a line of the provider's book.
type entry struct {
	Reference string `json:"reference"`
	Peer      string `json:"peer"`
	Amount    int64  `json:"amount"`
	Status    string `json:"status"`
	Moved     int    `json:"moved"`
}

func (in *install) book() []entry {
	in.t.Helper()
	var book struct {
		Entries []entry `json:"entries"`
	}
	in.control(http.MethodGet, "/_control/book?provider=orange_omr", nil, &book)
	return book.Entries
}

func (in *install) control(method, path string, body, into any) {
	in.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		in.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(in.t.Context(), method, in.simulator+path, bytes.NewReader(raw))
	if err != nil {
		in.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		in.t.Fatal(err)
	}
	if res.StatusCode/100 != 2 {
		in.t.Fatalf("%s %s: %s %s", method, path, res.Status, answer)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			in.t.Fatal(err)
		}
	}
}

// eventually polls until ok, and says what it last saw otherwise.
func eventually(t *testing.T, within time.Duration, what string, ok func() (bool, string)) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for {
		done, saw := ok()
		if done {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within %s; last seen: %s", what, within, saw)
		case <-poll.C:
		}
	}
}

func describe(payouts []*payoutsv1.Payout) string {
	states := map[string]int{}
	for _, p := range payouts {
		states[p.State]++
	}
	return fmt.Sprint(states)
}
