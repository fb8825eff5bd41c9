package natsserver_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/stream/natsserver"
)

func start(t *testing.T, o natsserver.Options) *natsserver.Server {
	t.Helper()
	s, err := natsserver.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func connect(t *testing.T, url, creds string) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, nats.UserCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestStreamsAndCredentialsSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, natsserver.Options{StoreDir: dir})
	js := connect(t, first.URL(), first.Creds())
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEEP", Subjects: []string{"keep"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "keep", []byte("me")); err != nil {
		t.Fatal(err)
	}
	creds, err := os.ReadFile(first.Creds())
	if err != nil {
		t.Fatal(err)
	}
	first.Stop()

	second := start(t, natsserver.Options{StoreDir: dir})
	again, err := os.ReadFile(second.Creds())
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(creds) {
		t.Error("the credentials changed over a restart")
	}
	s, err := connect(t, second.URL(), second.Creds()).Stream(t.Context(), "KEEP")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(t.Context(), 1)
	if err != nil || string(m.Data) != "me" {
		t.Errorf("after the restart: %v, %v", m, err)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t, natsserver.Options{StoreDir: t.TempDir()})
	other := start(t, natsserver.Options{StoreDir: t.TempDir()})
	for name, opt := range map[string]nats.Option{
		"nobody": nats.Name("nobody"), "password": nats.UserInfo("agogo", "agogo"), "other server's": nats.UserCredentials(other.Creds()),
	} {
		if nc, err := nats.Connect(s.URL(), opt); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: got %v, %v", name, nc, err)
		}
	}
}

func TestSecretsAreReadableByTheOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, natsserver.Options{StoreDir: dir})
	for _, name := range []string{"agogo.creds", "account.nk"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

func TestOneServerPerDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, natsserver.Options{StoreDir: dir})
	_, err := natsserver.Start(t.Context(), natsserver.Options{StoreDir: dir})
	if !errors.Is(err, natsserver.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("got %v", err)
	}
	first.Stop()
	start(t, natsserver.Options{StoreDir: dir})
}

func TestAFileOfADeadProcessIsNoLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lock"), []byte("12345678"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, natsserver.Options{StoreDir: dir})
}

func TestAPortInUseIsNamed(t *testing.T) {
	t.Parallel()
	first := start(t, natsserver.Options{StoreDir: t.TempDir()})
	js := connect(t, first.URL(), first.Creds())
	_, number, _ := strings.Cut(js.Conn().ConnectedAddr(), ":")
	port, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	_, err = natsserver.Start(t.Context(), natsserver.Options{StoreDir: t.TempDir(), Port: port})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("got %v", err)
	}
}

func TestALostAccountKeyIsNotReplacedInSilence(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, natsserver.Options{StoreDir: dir})
	js := connect(t, first.URL(), first.Creds())
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEEP", Subjects: []string{"keep"}}); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	if err := os.Remove(filepath.Join(dir, "account.nk")); err != nil {
		t.Fatal(err)
	}
	_, err := natsserver.Start(t.Context(), natsserver.Options{StoreDir: dir})
	if err == nil || !strings.Contains(err.Error(), "account.nk is missing") {
		t.Fatalf("got %v", err)
	}
}
