package process_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/agogopay/agogo/internal/process"
)

// door is a broker that lets in who its configuration names, and nobody else.
type door struct {
	*server.Server
	t    *testing.T
	conf string
	port int
}

func startDoor(t *testing.T, key string) *door {
	t.Helper()
	return startDoorAt(t, server.RANDOM_PORT, key)
}

func startDoorAt(t *testing.T, port int, key string) *door {
	t.Helper()
	d := &door{t: t, conf: filepath.Join(t.TempDir(), "nats.conf"), port: port}
	d.write(key)
	opts, err := server.ProcessConfigFile(d.conf)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	if d.Server, err = server.NewServer(opts); err != nil {
		t.Fatal(err)
	}
	d.Start()
	t.Cleanup(func() { d.Shutdown(); d.WaitForShutdown() })
	if !d.ReadyForConnections(patience) {
		t.Fatal("the broker does not start")
	}
	return d
}

func (d *door) write(key string) {
	d.t.Helper()
	if err := os.WriteFile(d.conf, fmt.Appendf(nil, "listen: 127.0.0.1:%d\nauthorization { users: [ {nkey: %s} ] }\n", d.port, key), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *door) letsIn(key string) {
	d.t.Helper()
	d.write(key)
	if err := d.Reload(); err != nil {
		d.t.Fatal(err)
	}
}

// user makes a key, and puts its seed into the file.
func user(t *testing.T, file string) (public string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err == nil {
		public, err = pair.PublicKey()
	}
	if err := errors.Join(err, os.WriteFile(file+".new", seed, 0o600), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
	return public
}

// A broker that refuses a key for a while has not seen the last of who holds it.
func TestTheConnectionComesBackWhenItsKeyIsLetInAgain(t *testing.T) {
	t.Parallel()
	file, other := filepath.Join(t.TempDir(), "nk"), filepath.Join(t.TempDir(), "nk")
	key := user(t, file)
	d := startDoor(t, key)
	nc, err := process.Connect(t.Context(), process.Server{URL: d.ClientURL(), Creds: file}, "payouts", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	refused := make(chan struct{}, 100)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrAuthorization) {
			refused <- struct{}{}
		}
	})
	changed := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	d.letsIn(user(t, other))
	for range 4 { // the library gives up after the second
		select {
		case <-refused:
		case got := <-changed:
			t.Fatalf("status %v", got)
		case <-time.After(patience):
			t.Fatal("it does not try again")
		}
	}
	d.letsIn(key)
	awaitStatus(t, changed, nats.CONNECTED)
	if err := nc.Flush(); err != nil {
		t.Error(err)
	}
}

// A pod may have its key before the broker has: it waits, and needs no second start.
func TestAKeyThatTheBrokerGetsLater(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nk")
	key := user(t, file)
	d := startDoor(t, user(t, filepath.Join(t.TempDir(), "nk")))
	var log lines
	connected := make(chan error, 1)
	go func() {
		nc, err := process.Connect(t.Context(), process.Server{URL: d.ClientURL(), Creds: file}, "payouts", slog.New(slog.NewTextHandler(&log, nil)))
		if err == nil {
			nc.Close()
		}
		connected <- err
	}()
	// Who has given a wrong key reads so at once, and once, and not when patience ends.
	for tries := d.refusals(); tries < 3 || !strings.Contains(log.String(), "the server refuses this user"); tries = d.refusals() {
		select {
		case err := <-connected:
			t.Fatalf("it did not wait: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	d.letsIn(key)
	if err := <-connected; err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "not connected yet"); n != 1 {
		t.Errorf("it was told %d times: %s", n, log.String())
	}
}

// Why there is no connection changes: first nobody is there, and then somebody who refuses us. Each is told when it is so.
func TestWhyThereIsNoConnectionIsToldWhileItIsWaitedFor(t *testing.T) {
	t.Parallel()
	file, port := filepath.Join(t.TempDir(), "nk"), freePort(t)
	key := user(t, file)
	var log lines
	connected := make(chan error, 1)
	go func() {
		nc, err := process.Connect(t.Context(), process.Server{URL: fmt.Sprintf("nats://127.0.0.1:%d", port), Creds: file}, "payouts", slog.New(slog.NewTextHandler(&log, nil)))
		if err == nil {
			nc.Close()
		}
		connected <- err
	}()
	eventually(t, "it does not say that nobody is there", func() bool { return strings.Contains(log.String(), "is the server up") })
	d := startDoorAt(t, port, user(t, filepath.Join(t.TempDir(), "nk")))
	eventually(t, "it does not say that it is refused", func() bool { return strings.Contains(log.String(), "the server refuses this user") })
	d.letsIn(key)
	if err := <-connected; err != nil {
		t.Error(err)
	}
}

// refusals are how many connections the broker has taken; while it knows nobody, it has refused all of them.
func (d *door) refusals() uint64 {
	v, err := d.Varz(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return v.TotalConnections
}

// Who is shut out does nothing that others would miss: it does not wait for its turn with a key that is let in.
func TestAReplicaThatIsShutOutDoesNotWaitForItsTurn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nk")
	d := startDoor(t, user(t, file))
	env := append(environment(t), "AGOGO_NATS_URL="+d.ClientURL(), "AGOGO_NATS_CREDS="+file, "AGOGO_WATCH="+file, "AGOGO_WATCH_SPREAD=1h")
	c := startChild(t, "runs", env...)
	c.line(t, "running lebenis true")
	key := user(t, file)
	c.says(t, "the server refuses this user")
	d.letsIn(key)
	if err := c.Wait(); err != nil { // the test's own time bounds it
		t.Errorf("it did not end well: %v: %s", err, c.err.String())
	}
	if got := c.err.String(); !strings.Contains(got, "AGOGO_WATCH have changed") {
		t.Errorf("it does not say why it ended: %s", got)
	}
}

// A process that is given a key before the broker knows it goes on with the one that is let in, until the new one is.
func TestANewKeyIsTriedBeforeTheProcessEnds(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nk")
	d := startDoor(t, user(t, file))
	env := environment(t)
	env = append(env, "AGOGO_NATS_URL="+d.ClientURL(), "AGOGO_NATS_CREDS="+file, "AGOGO_WATCH="+file, "AGOGO_WATCH_SPREAD=0s")
	c := startChild(t, "runs", env...)
	c.line(t, "running lebenis true")
	key := user(t, file)
	c.says(t, "the server refuses this user")
	if got := c.err.String(); strings.Contains(got, "AGOGO_WATCH have changed") {
		t.Fatalf("it ends: %s", got)
	}
	d.letsIn(key)
	if err := c.Wait(); err != nil {
		t.Errorf("it did not end well: %v: %s", err, c.err.String())
	}
}
