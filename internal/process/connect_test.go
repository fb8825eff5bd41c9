package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/stream/natsserver"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

const patience = 30 * time.Second

func TestConnectHasANameAndAnInboxOfItsOwn(t *testing.T) {
	t.Parallel()
	node := natstest.Server(t)
	nc, err := process.Connect(t.Context(), process.Server{URL: node.URL, Creds: node.Creds}, "payouts", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if inbox := nc.NewRespInbox(); !strings.HasPrefix(inbox, "_INBOX_payouts.") {
		t.Errorf("inbox %q", inbox)
	}
	if nc.Opts.Name != "agogo-payouts" || nc.Opts.MaxReconnect != -1 {
		t.Errorf("name %q, reconnects %d", nc.Opts.Name, nc.Opts.MaxReconnect)
	}
}

func TestConnectSaysWhatToDoAboutCredentials(t *testing.T) {
	t.Parallel()
	node, other := natstest.Server(t), natstest.Server(t)
	for name, c := range map[string]struct{ creds, want string }{
		"none":    {"", "set AGOGO_NATS_CREDS"},
		"foreign": {other.Creds, "check AGOGO_NATS_CREDS"},
		"no file": {filepath.Join(t.TempDir(), "absent.creds"), "absent.creds"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc, err := process.Connect(t.Context(), process.Server{URL: node.URL, Creds: c.creds}, "payouts", nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v", nc, err)
			}
		})
	}
}

func TestConnectWaitsForAServerThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePort(t)
	first, err := natsserver.Start(t.Context(), natsserver.Options{StoreDir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	creds := first.Creds()
	first.Stop()

	var log lines
	connected := make(chan error, 1)
	go func() {
		nc, err := process.Connect(t.Context(), process.Server{URL: fmt.Sprintf("nats://127.0.0.1:%d", port), Creds: creds}, "payouts", slog.New(slog.NewTextHandler(&log, nil)))
		if err == nil {
			defer nc.Close()
		}
		connected <- err
	}()
	second, err := natsserver.Start(t.Context(), natsserver.Options{StoreDir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	select {
	case err := <-connected:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("not connected")
	}
}

func TestConnectEndsWithItsContextAndHidesPasswords(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := process.Connect(ctx, process.Server{URL: fmt.Sprintf("nats://agogo:tellnobody@127.0.0.1:%d", freePort(t))}, "payouts", nil)
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "tellnobody") || !strings.Contains(err.Error(), "AGOGO_NATS_URL") {
		t.Errorf("got %v", err)
	}
}

func TestTheConnectionComesBackAfterARestartAndSaysSo(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePort(t)
	first, err := natsserver.Start(t.Context(), natsserver.Options{StoreDir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	var log lines
	nc, err := process.Connect(t.Context(), process.Server{URL: first.URL(), Creds: first.Creds()}, "payouts", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	changed := nc.StatusChanged(nats.RECONNECTING, nats.CONNECTED)
	first.Stop()
	awaitStatus(t, changed, nats.RECONNECTING)
	second, err := natsserver.Start(t.Context(), natsserver.Options{StoreDir: dir, Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	awaitStatus(t, changed, nats.CONNECTED)
	if err := nc.Flush(); err != nil {
		t.Error(err)
	}
	if got := log.String(); !strings.Contains(got, "disconnected, reconnecting") {
		t.Errorf("log: %s", got)
	}
}

func awaitStatus(t *testing.T, changed <-chan nats.Status, want nats.Status) {
	t.Helper()
	select {
	case got := <-changed:
		if got != want {
			t.Fatalf("status %v, want %v", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("never %v", want)
	}
}

// freePort is one that no connection gets as its own while nobody listens on it: the system gives those numbers from 32768 on, and a client
// that tries to reconnect may even be given the very port that it dials.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		return port
	}
	t.Fatal("no port is free")
	return 0
}

// lines is a log that goroutines may write together.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
