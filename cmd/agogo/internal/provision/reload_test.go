package provision_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
	"github.com/agogopay/agogo/internal/process"
)

// broker is a NATS server of its own process, as a pod has it: its files, and the keys that they are made from.
type broker struct {
	t    *testing.T
	dir  string
	keys provision.Keys
	addr string
	http string // of its monitoring
	pid  int
}

const reloadPatience = 30 * time.Second

func startBroker(t *testing.T, issued time.Time) *broker {
	t.Helper()
	dir := t.TempDir()
	b := &broker{t: t, dir: dir, keys: provision.Keys{Dir: filepath.Join(dir, "made")}}
	if err := b.keys.Make(); err != nil {
		t.Fatal(err)
	}
	b.issue(issued)
	b.publicKeys()
	accounts := bytes.NewBufferString("include \"./keys.conf\"\n")
	if err := provision.Accounts(accounts, func(user string) (string, error) { return "$" + provision.KeyVariable(user), nil }); err != nil {
		t.Fatal(err)
	}
	b.write("accounts.conf", accounts.String())
	b.write("nats.conf", fmt.Sprintf("listen: 127.0.0.1:-1\nhttp: 127.0.0.1:-1\nports_file_dir: %q\npid_file: %q\njetstream { store_dir: %q }\ntls { cert_file: %q, key_file: %q }\ninclude ./accounts.conf\n",
		dir, filepath.Join(dir, "nats.pid"), filepath.Join(dir, "store"), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")))
	binary := filepath.Join(dir, "nats-server")
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", binary, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(binary, "--config", filepath.Join(dir, "nats.conf"))
	var said log
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	b.pid = cmd.Process.Pid
	b.await("the server's ports", func() bool {
		found, _ := filepath.Glob(filepath.Join(dir, "*.ports"))
		if len(found) == 0 {
			return false
		}
		raw, err := os.ReadFile(found[0])
		_, rest, ok := strings.Cut(string(raw), "tls://")
		if err != nil || !ok {
			return false
		}
		b.addr, _, ok = strings.Cut(rest, "\"")
		_, rest, monitored := strings.Cut(string(raw), "http://")
		b.http, _, _ = strings.Cut(rest, "\"")
		return ok && monitored
	})
	return b
}

// issue puts a new certificate, as it would be made at the time, where the server reads it.
func (b *broker) issue(now time.Time) {
	b.t.Helper()
	_ = os.Remove(filepath.Join(b.keys.Dir, "tls", "nats.crt"))
	if err := b.keys.Certificates(now, []string{"nats"}, []string{"localhost", "127.0.0.1"}); err != nil {
		b.t.Fatal(err)
	}
	for _, ext := range []string{"key", "crt"} {
		raw, err := os.ReadFile(filepath.Join(b.keys.Dir, "tls", "nats."+ext))
		if err != nil {
			b.t.Fatal(err)
		}
		b.write("tls."+ext, string(raw))
	}
}

// publicKeys writes them as the Secret has them.
func (b *broker) publicKeys() {
	b.t.Helper()
	all, err := b.keys.Secrets("x", false)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == "x-keys-nats" {
			b.write("keys.conf", s.Data[provision.PublicFile])
		}
	}
}

func (b *broker) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.dir, name)
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *broker) await(what string, done func() bool) {
	b.t.Helper()
	tick, end := time.NewTicker(50*time.Millisecond), time.After(reloadPatience)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			b.t.Fatalf("%s: never", what)
		}
	}
}

func (b *broker) connect(user string) (*nats.Conn, error) {
	return process.Connect(b.t.Context(), process.Server{URL: "tls://" + b.addr, Creds: b.keys.NATS(user), CA: b.keys.Authority()}, user, nil)
}

// ends is when the certificate ends that a new connection is shown.
func (b *broker) ends() time.Time {
	b.t.Helper()
	nc, err := b.connect("auditor")
	if err != nil {
		b.t.Fatal(err)
	}
	defer nc.Close()
	state, err := nc.TLSConnectionState()
	if err != nil {
		b.t.Fatal(err)
	}
	return state.PeerCertificates[0].NotAfter
}

// reloader runs beside the broker until the test ends.
func (b *broker) reloader() (*prometheus.Registry, *log) {
	b.t.Helper()
	said := &log{}
	r := &provision.Reloader{
		PIDFile: filepath.Join(b.dir, "nats.pid"), Certificate: filepath.Join(b.dir, "tls.crt"), Address: b.addr, Monitor: "http://" + b.http, Every: 50 * time.Millisecond,
		Watch: []string{filepath.Join(b.dir, "tls.crt"), filepath.Join(b.dir, "keys.conf")}, Logger: slog.New(slog.NewTextHandler(said, nil)),
	}
	registry := prometheus.NewRegistry()
	if err := r.Register(registry); err != nil {
		b.t.Fatal(err)
	}
	go func() { _ = r.Run(b.t.Context()) }() // it ends with the test, without an error
	return registry, said
}

func (b *broker) fileEnds() time.Time {
	b.t.Helper()
	raw, err := os.ReadFile(filepath.Join(b.dir, "tls.crt"))
	if err != nil {
		b.t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		b.t.Fatal(err)
	}
	return c.NotAfter
}

// A certificate is renewed in its place while services are connected: they stay, and who comes next is shown the new one.
func TestTheBrokerTakesUpARenewedCertificate(t *testing.T) {
	t.Parallel()
	b := startBroker(t, time.Now().Add(-800*24*time.Hour)) // 25 days are left
	connected, err := b.connect("payouts")
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	registry, said := b.reloader()
	metric := func() float64 { return gauge(t, registry, "agogo_certificate_expires_timestamp_seconds") }
	old := b.fileEnds()
	b.await("the metric of the old certificate", func() bool { return metric() == float64(old.Unix()) })
	b.issue(time.Now())
	renewed := b.fileEnds()
	if !renewed.After(old) {
		t.Fatalf("%s is no renewal of %s", renewed, old)
	}
	b.await("the renewed certificate", func() bool { return b.ends().Equal(renewed) })
	b.await("the metric of what is served", func() bool { return metric() == float64(renewed.Unix()) })
	if err := connected.Flush(); err != nil || connected.Stats().Reconnects != 0 {
		t.Errorf("who was connected lost the connection: %v, %d reconnections", err, connected.Stats().Reconnects)
	}
	told := gauge(t, registry, "agogo_broker_reloads_total")
	b.write("tls.crt", "half a certificate")
	b.await("a warning", func() bool { return strings.Contains(said.String(), "holds no certificate") })
	if !b.ends().Equal(renewed) || gauge(t, registry, "agogo_broker_reloads_total") != told {
		t.Error("the broker was told to read half a certificate")
	}
}

// A key that was rotated: the old one is shut out and the new one let in, without a restart of the broker.
func TestTheBrokerTakesUpARotatedKey(t *testing.T) {
	t.Parallel()
	b := startBroker(t, time.Now())
	old, err := b.connect("payouts")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	other, err := b.connect("scheduler")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	b.reloader()
	b.rotate("payouts")
	b.await("the old key to be shut out", func() bool { return !old.IsConnected() })
	b.await("the new key to be let in", func() bool {
		nc, err := b.connect("payouts")
		if err != nil {
			return false
		}
		nc.Close()
		return true
	})
	if err := other.Flush(); err != nil || other.Stats().Reconnects != 0 {
		t.Errorf("another user lost its connection: %v", err)
	}
}

// rotate gives a user another key, and the broker's files its public half.
func (b *broker) rotate(user string) {
	b.t.Helper()
	for _, f := range []string{b.keys.NATS(user), strings.TrimSuffix(b.keys.NATS(user), ".nk") + ".pub"} {
		if err := os.Remove(f); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := b.keys.Make(); err != nil {
		b.t.Fatal(err)
	}
	b.publicKeys()
}

// A broker that finds an error in any of its files takes none of them: it is told again until it has.
func TestTheBrokerIsToldAgainWhatItRefused(t *testing.T) {
	t.Parallel()
	b := startBroker(t, time.Now())
	registry, said := b.reloader()
	b.await("the first look", func() bool { return strings.Contains(said.String(), "was told") })
	good, err := os.ReadFile(filepath.Join(b.dir, "accounts.conf"))
	if err != nil {
		t.Fatal(err)
	}
	b.write("accounts.conf", string(good)+"\nnonsense {\n")
	b.rotate("payouts")
	b.await("a refusal", func() bool { return gauge(t, registry, "agogo_broker_reloads_refused_total") > 0 })
	b.write("accounts.conf", string(good))
	nc, err := b.connect("payouts") // which waits for its key to be known
	if err != nil {
		t.Fatalf("the new key is still refused: %v", err)
	}
	nc.Close()
}

func TestTheReloaderSignalsNobodyElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "nats.pid")
	for _, text := range []string{"", "x", "0", "1", "-1", fmt.Sprint(os.Getpid())} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var said log
		r := &provision.Reloader{PIDFile: file, Every: time.Millisecond, Logger: slog.New(slog.NewTextHandler(&said, nil))}
		registry := prometheus.NewRegistry()
		if err := r.Register(registry); err != nil {
			t.Fatal(err)
		}
		go func() { _ = r.Run(t.Context()) }() // it ends with the test
		tick, end := time.NewTicker(5*time.Millisecond), time.After(reloadPatience)
		for !strings.Contains(said.String(), "does not name the server") {
			select {
			case <-tick.C:
			case <-end:
				t.Fatalf("%q: %s", text, said.String())
			}
		}
		tick.Stop()
		if n := gauge(t, registry, "agogo_broker_reloads_total"); n != 0 {
			t.Errorf("%q was signalled", text)
		}
	}
}

// gauge is the value of a metric that has one series.
func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("%s is not among the metrics", name)
	return 0
}
