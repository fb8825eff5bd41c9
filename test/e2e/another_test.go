package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/agogopay/agogo/test/harness"
)

// another is a process of a service beside the dev that runs one already.
type another struct {
	*testing.T
	cmd   *exec.Cmd
	addr  string
	ended bool
}

// buildService builds a service as production runs it.
func buildService(t *testing.T, service string) (path string) {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), service)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./services/"+service+"/cmd/"+service)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// replica builds a service and starts it; see [startReplica].
func replica(t *testing.T, in *harness.Install, service string) *another {
	t.Helper()
	return startReplica(t, in, service, buildService(t, service))
}

// startReplica starts a service's binary as production does, against the dev's database and NATS, and waits until it is ready.
func startReplica(t *testing.T, in *harness.Install, service, path string) *another {
	t.Helper()
	info := in.Info(t)
	// dev moved the file's simulator addresses to where its own simulator listens; so does this copy.
	raw, err := os.ReadFile(in.Config)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(raw), "http://127.0.0.1:9900", info.Simulator)
	for name, token := range map[string]string{"AUDITOR_TOKEN": auditorToken, "CLERK_TOKEN": clerkToken} { // a process of one service takes hashes alone
		text = strings.ReplaceAll(text, `token: "${`+name+`}"`, fmt.Sprintf(`token_sha256: "%x"`, sha256.Sum256([]byte(token))))
	}
	config := harness.WriteFile(t, "tenants.yaml", text)
	a := &another{T: t, cmd: exec.CommandContext(t.Context(), path), addr: freeAddr(t)}
	var log bytes.Buffer
	a.cmd.Stderr = &log
	a.cmd.Env = append(os.Environ(), "AGOGO_CONFIG="+config, "AGOGO_NATS_URL="+info.NATS.URL, "AGOGO_NATS_CREDS="+info.NATS.Creds,
		"AGOGO_POSTGRES_DSN="+roleDSN(t, in, service, info.PostgresDSN), "AGOGO_GRPC_ADDR=127.0.0.1:0", "AGOGO_HTTP_ADDR="+a.addr,
		"AUDITOR_TOKEN="+auditorToken, "CLERK_TOKEN="+clerkToken, "CIELO_WEBHOOK_SECRET="+webhookSecret,
		"CIELO_MERCHANT_ID="+harness.MerchantID, "CIELO_MERCHANT_KEY="+harness.MerchantKey,
		"ORANGE_CLIENT_ID="+harness.ClientID, "ORANGE_CLIENT_SECRET="+harness.ClientSecret, "ORANGE_POS_ID="+harness.PosID, "ORANGE_CALLBACK_AUTH="+harness.CallbackAuth)
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.kill()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	a.awaitReady()
	return a
}

func (a *another) awaitReady() {
	a.Helper()
	harness.Eventually(a.T, waiting, "the replica is ready", func() (bool, string) {
		res, err := http.Get("http://" + a.addr + "/readyz")
		if err != nil {
			return false, err.Error()
		}
		why, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK, fmt.Sprintf("%s: %s", res.Status, bytes.TrimSpace(why))
	})
}

// kill is kill -9.
func (a *another) kill() {
	if !a.ended {
		a.ended = true
		_ = a.cmd.Process.Kill()
		_ = a.cmd.Wait() // killed: that is its error
	}
}

// signal is kill with another signal.
func (a *another) signal(s syscall.Signal) {
	a.Helper()
	if err := a.cmd.Process.Signal(s); err != nil {
		a.Fatal(err)
	}
}

// freeAddr is an address that nobody listened on a moment ago; the process that is to listen there starts at once.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// roleDSN is the address of the database with a service's own role.
func roleDSN(t *testing.T, in *harness.Install, service, admin string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(in.DataDir(), "secrets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Roles map[string]string `json:"roles"`
	}
	if err := json.Unmarshal(raw, &kept); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("agogo_"+service, kept.Roles[service])
	return u.String()
}
