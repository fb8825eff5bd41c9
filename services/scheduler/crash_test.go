package scheduler_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/rpc"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/store"
)

// Promise 4, restart: whoever dies between the commit of a tick and its publication leaves the order in the outbox, and the
// next one that starts publishes it.
func TestATickThatWasCommittedAndNotPublishedGoesOutAfterARestart(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-24T12:00:00Z")
	if err := in.start().Stop(); err != nil { // makes tables and schedules
		t.Fatal(err)
	}
	in.clock.Set(instant(t, "2025-01-24T23:59:01Z"))
	pool := in.Pool()
	dying := store.Store{Pool: pool, Clock: in.clock, Outbox: outbox.New(outbox.Config{Service: "scheduler"}, outbox.Deps{Pool: pool})}
	if err := dying.Fire(in.Ctx); err != nil {
		t.Fatal(err)
	}
	if n := in.stored("TICKS"); n != 0 {
		t.Fatalf("%d orders although nobody published", n)
	}
	in.start()
	orders := in.Follow("TICKS", "agogo.tick.>")
	got := []string{in.Next(orders).Headers().Get("Nats-Msg-Id"), in.Next(orders).Headers().Get("Nats-Msg-Id")}
	if !strings.Contains(strings.Join(got, " "), evening) {
		t.Errorf("orders %v", got)
	}
	if n := in.stored("TICKS"); n != 2 { // the evening, and the latest of the hourly ones
		t.Errorf("%d orders, want 2", n)
	}
}

// The same with a real process and a real kill -9.
func TestAProcessKilledRightAfterTheCommitOfATick(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-24T12:00:00Z")
	binary := filepath.Join(t.TempDir(), "scheduler")
	build := exec.CommandContext(in.Ctx, "go", "build", "-tags", "crashpoints", "-o", binary, "./cmd/scheduler")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	env := in.environment(t)
	first := in.launch(t, binary, env, "AGOGO_CRASHPOINT=scheduler.after_tick_commit")
	req := &schedulerv1.TriggerScheduleRequest{Name: "lebenis/payouts/daily", NominalTime: timestamppb.New(instant(t, eveningTime))}
	if resp, err := first.client(t).TriggerSchedule(in.Ctx, req, grpc.WaitForReady(true)); err == nil {
		t.Fatalf("the process answered %v instead of dying", resp)
	}
	_ = first.Wait()
	if status, ok := first.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("ended with %v: %s", first.ProcessState, first.log)
	}

	second := in.launch(t, binary, env)
	resp, err := second.client(t).TriggerSchedule(in.Ctx, req, grpc.WaitForReady(true))
	if err != nil || !resp.GetAlreadyFired() || resp.GetTickId() != evening {
		t.Errorf("after the restart: %v, %v", resp, err)
	}
	if got := in.Next(in.Follow("TICKS", "agogo.tick.>")).Headers().Get("Nats-Msg-Id"); got != evening {
		t.Errorf("order %s", got)
	}
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v: %s", err, second.log)
	}
	if n := in.stored("TICKS"); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

// environment is that of a production process on this installation.
func (in *installation) environment(t *testing.T) []string {
	t.Helper()
	file, err := os.ReadFile("../../examples/tenants.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file = append(file, "\nauth: {tokens: [{name: operator, role: operator, tenants: [lebenis], token_sha256: \"9dc7e965ab02c5a2ee34d2900af082b3ab9e75a6e092150f6eee488db9340e82\"}]}\n"...)
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(),
		"AGOGO_CONFIG="+path, "AGOGO_NATS_URL="+in.NATS.URL, "AGOGO_NATS_CREDS="+in.NATS.Creds, "AGOGO_POSTGRES_DSN="+in.DSN,
		"TOKEN=operator-of-a-test-installation", "ORANGE_CLIENT_ID=x", "ORANGE_CLIENT_SECRET=x", "ORANGE_POS_ID=x", "ORANGE_CALLBACK_AUTH=x",
		"CIELO_MERCHANT_ID=00000000-0000-4000-8000-000000000001", "CIELO_MERCHANT_KEY="+strings.Repeat("x", 40))
}

// launched is a scheduler in a process of its own.
type launched struct {
	*exec.Cmd
	addr string
	log  *bytes.Buffer
}

func (in *installation) launch(t *testing.T, binary string, env []string, more ...string) *launched {
	t.Helper()
	p := &launched{Cmd: exec.Command(binary), addr: freeAddr(t), log: &bytes.Buffer{}}
	p.Env = append(append(append([]string{}, env...), "AGOGO_GRPC_ADDR="+p.addr, "AGOGO_HTTP_ADDR="+freeAddr(t)), more...)
	p.Stderr = p.log
	p.WaitDelay = 5 * time.Second
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
			t.Logf("the scheduler's log:\n%s", p.log)
		}
	})
	return p
}

func (p *launched) client(t *testing.T) schedulerv1.SchedulerServiceClient {
	t.Helper()
	conn, err := rpc.Dial(p.addr, "operator-of-a-test-installation")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return schedulerv1.NewSchedulerServiceClient(conn)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
