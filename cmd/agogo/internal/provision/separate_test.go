package provision_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
	"github.com/agogopay/agogo/examples"
	"github.com/agogopay/agogo/internal/pg/pgserver"
)

// separate is an installation as people run it without Kubernetes: every service a process, with its own key at the broker, its
// own role in the database and TLS everywhere, made by the commands of docs/howto/install-on-one-machine.md.
type separate struct {
	t        *testing.T
	bin, dir string
	admin    string // DSN
	nats     string
	sim      string
	grpc     map[string]string
	http     map[string]string
	logs     map[string]*log
	pids     map[string]int
}

// log is what a process has written so far.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (s *separate) keys() string { return filepath.Join(s.dir, "keys") }

func (s *separate) ca() string { return filepath.Join(s.keys(), "tls", "ca.crt") }

func TestSeparateProcessesWithTLSAndLeastPrivilege(t *testing.T) {
	t.Parallel()
	s := &separate{t: t, dir: t.TempDir(), grpc: map[string]string{}, http: map[string]string{}, logs: map[string]*log{}, pids: map[string]int{}}
	s.build()
	s.run("provision", "keys", "--dir", s.keys(), "--host", "localhost,127.0.0.1")
	s.startPostgres()
	s.startNATS()
	s.startSimulator()
	// The services first: they wait for what they need, and no start is in vain.
	for _, name := range provision.Services {
		s.startService(name)
	}
	apply := []string{"provision", "apply", "--keys", s.keys(), "--postgres-dsn", s.admin, "--nats-url", s.nats, "--nats-ca", s.ca()}
	s.run(apply...)
	for _, name := range provision.Services {
		s.awaitReady(name)
	}
	out := s.run("demo", "--installed", "--once", "--context", s.context())
	if n := strings.Count(out, "as the customer expects"); n != 6 { // the drivers' evening and five ticks of the club
		t.Errorf("%d stages are as the customer expects, want 6:\n%s", n, out)
	}
	s.withinEconomy()
	s.measured()
	s.run(apply...) // an upgrade while everything runs
	s.encrypted()
	for name, l := range s.logs {
		if strings.Contains(l.String(), "ermissions violation") || strings.Contains(l.String(), "no permission") {
			t.Errorf("%s was refused something that it needs:\n%s", name, l)
		}
	}
	if out := s.run("events", "tail", "--follow=false", "--context", s.context()); !strings.Contains(out, "payout.succeeded") || !strings.Contains(out, "charge.succeeded") {
		t.Errorf("the auditor does not see both tenants' events:\n%s", out)
	}
	s.run("events", "verify", "--context", s.context())
}

// build builds what is installed.
func (s *separate) build() {
	s.t.Helper()
	s.bin = filepath.Join(s.dir, "bin") + "/"
	args := []string{"build", "-ldflags=-s -w", "-o", s.bin, "github.com/agogopay/agogo/cmd/agogo"}
	for _, name := range provision.Services {
		args = append(args, "github.com/agogopay/agogo/services/"+name+"/cmd/"+name)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		s.t.Fatalf("go build: %v\n%s", err, out)
	}
}

// run runs a command of agogo to its end.
func (s *separate) run(args ...string) string {
	s.t.Helper()
	cmd := exec.Command(s.bin+"agogo", args...)
	cmd.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		for name, l := range s.logs {
			s.t.Logf("%s:\n%s", name, l)
		}
		s.t.Fatalf("agogo %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// startPostgres runs a server that takes TLS, with the installation's certificate.
func (s *separate) startPostgres() {
	s.t.Helper()
	dir := filepath.Join(s.dir, "postgres")
	if err := os.Chmod(s.dir, 0o711); err != nil { // Postgres runs as another user where the test is root
		s.t.Fatal(err)
	}
	p, err := pgserver.Start(s.t.Context(), pgserver.Options{DataDir: dir, Disposable: true})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			s.t.Error(err)
		}
	})
	conn, err := pgx.Connect(s.t.Context(), p.DSN())
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	data := filepath.Join(dir, "pgdata")
	s.giveKey(data)
	for _, sql := range []string{"ALTER SYSTEM SET ssl_cert_file = 'agogo.crt'", "ALTER SYSTEM SET ssl_key_file = 'agogo.key'", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		if _, err := conn.Exec(s.t.Context(), sql); err != nil {
			s.t.Fatal(err)
		}
	}
	u, err := url.Parse(p.DSN())
	if err != nil {
		s.t.Fatal(err)
	}
	u.Path, u.RawQuery = "/agogo_live", url.Values{"sslmode": {"verify-full"}, "sslrootcert": {s.ca()}}.Encode()
	s.admin = u.String()
}

// giveKey copies certificate and key to where the server's user may read them, and nobody else.
func (s *separate) giveKey(data string) {
	s.t.Helper()
	owner, err := os.Stat(data)
	if err != nil {
		s.t.Fatal(err)
	}
	ids := owner.Sys().(*syscall.Stat_t)
	for _, ext := range []string{".crt", ".key"} {
		raw, err := os.ReadFile(filepath.Join(s.keys(), "tls", "postgres"+ext))
		if err != nil {
			s.t.Fatal(err)
		}
		to := filepath.Join(data, "agogo"+ext)
		if err := os.WriteFile(to, raw, 0o600); err != nil {
			s.t.Fatal(err)
		}
		if err := os.Chown(to, int(ids.Uid), int(ids.Gid)); err != nil {
			s.t.Fatal(err)
		}
	}
}

// startNATS runs a server from a configuration file that includes what `agogo provision nats-conf` writes.
func (s *separate) startNATS() {
	s.t.Helper()
	for name, content := range map[string]string{
		"agogo-accounts.conf": s.run("provision", "nats-conf", "--dir", s.keys()),
		"nats.conf": fmt.Sprintf("listen: 127.0.0.1:-1\njetstream { store_dir: %q, max_file_store: 16GB }\ntls { cert_file: %q, key_file: %q }\ninclude ./agogo-accounts.conf\n",
			filepath.Join(s.dir, "jetstream"), filepath.Join(s.keys(), "tls", "nats.crt"), filepath.Join(s.keys(), "tls", "nats.key")),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	opts, err := server.ProcessConfigFile(filepath.Join(s.dir, "nats.conf"))
	if err != nil {
		s.t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	n, err := server.NewServer(opts)
	if err != nil {
		s.t.Fatal(err)
	}
	n.Start()
	s.t.Cleanup(func() { n.Shutdown(); n.WaitForShutdown() })
	if !n.ReadyForConnections(30 * time.Second) {
		s.t.Fatal("NATS does not start")
	}
	s.nats = "tls://localhost:" + n.Addr().String()[strings.LastIndex(n.Addr().String(), ":")+1:]
}

func (s *separate) startSimulator() {
	s.t.Helper()
	addr := s.free()
	s.sim = "http://" + addr
	s.start("simulator", s.bin+"agogo", nil, "simulator", "--addr", addr)
	text := strings.ReplaceAll(string(examples.Tenants), "http://127.0.0.1:9900", s.sim) + s.run("provision", "auth", "--dir", s.keys())
	if err := os.WriteFile(filepath.Join(s.dir, "tenants.yaml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *separate) startService(name string) {
	s.t.Helper()
	passwords, err := provision.Keys{Dir: s.keys()}.Passwords()
	if err != nil {
		s.t.Fatal(err)
	}
	dsn, err := provision.ServiceDSN(s.admin, name, passwords[name])
	if err != nil {
		s.t.Fatal(err)
	}
	s.grpc[name], s.http[name] = s.free(), s.free()
	tls := filepath.Join(s.keys(), "tls")
	s.start(name, s.bin+name, append(s.secrets(name),
		"AGOGO_CONFIG="+filepath.Join(s.dir, "tenants.yaml"), "AGOGO_POSTGRES_DSN="+dsn, "AGOGO_NATS_URL="+s.nats,
		"AGOGO_NATS_CREDS="+filepath.Join(s.keys(), "nats", name+".nk"), "AGOGO_NATS_CA="+s.ca(),
		"AGOGO_TLS_CERT="+filepath.Join(tls, "grpc.crt"), "AGOGO_TLS_KEY="+filepath.Join(tls, "grpc.key"),
		"AGOGO_GRPC_ADDR="+s.grpc[name], "AGOGO_HTTP_ADDR="+s.http[name],
		fmt.Sprintf("GOMEMLIMIT=%dMiB", economy[name]*85/100)))
}

// secrets are the variables that the service needs, and no others.
func (s *separate) secrets(service string) (env []string) {
	s.t.Helper()
	of := map[string]string{"payouts": "ORANGE_", "recurrences": "CIELO_"}
	for _, name := range strings.Fields(s.run("provision", "variables", "--config", filepath.Join(s.dir, "tenants.yaml"), "--service", service)) {
		if of[service] == "" || !strings.HasPrefix(name, of[service]) {
			s.t.Errorf("%s asks for %s", service, name)
		}
		value := strings.Repeat("K", 40)
		if name == "CIELO_MERCHANT_ID" {
			value = "c4b1d27e-58f0-4e93-9a6d-0f7e2b3c8d15"
		}
		env = append(env, name+"="+value)
	}
	return env
}

// start starts a process that ends with the test, by the signal that systemd and Kubernetes send too.
func (s *separate) start(name, binary string, env []string, args ...string) {
	s.t.Helper()
	cmd, l := exec.Command(binary, args...), &log{}
	cmd.Env, cmd.Stdout, cmd.Stderr = append(env, "HOME="+s.dir), l, l
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.logs[name], s.pids[name] = l, cmd.Process.Pid
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		patience := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("%s did not end well: %v\n%s", name, err, l)
		}
		patience.Stop()
	})
}

func (s *separate) awaitReady(name string) {
	s.t.Helper()
	deadline, tick := time.After(90*time.Second), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for {
		res, err := http.Get("http://" + s.http[name] + "/readyz")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%s does not get ready:\n%s", name, s.logs[name])
		}
	}
}

// context is what `agogo provision context` prints, with the addresses of this test.
func (s *separate) context() string {
	s.t.Helper()
	args := []string{"provision", "context", "--dir", s.keys(), "--nats-url", s.nats, "--simulator", s.sim}
	for name, addr := range s.grpc {
		args = append(args, "--grpc", name+"="+addr)
	}
	path := filepath.Join(s.dir, "context.json")
	if err := os.WriteFile(path, []byte(s.run(args...)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// economy is what the chart's profile gives each service, in MiB.
var economy = map[string]int{"payouts": 512, "recurrences": 512, "scheduler": 256, "notifier": 256}

// withinEconomy holds the most memory that each service ever had resident against its limit in the profile. Linux alone tells.
func (s *separate) withinEconomy() {
	s.t.Helper()
	for name, limit := range economy {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pids[name]))
		if errors.Is(err, fs.ErrNotExist) {
			s.t.Log("this system does not tell how much memory a process has had")
			return
		}
		if err != nil {
			s.t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(raw), "VmHWM:")
		var kib int
		if _, err := fmt.Sscan(rest, &kib); err != nil {
			s.t.Fatal(err)
		}
		s.t.Logf("%s had %d MiB at most, of %d", name, kib/1024, limit)
		if kib/1024 >= limit {
			s.t.Errorf("%s had %d MiB, and the profile economy gives it %d", name, kib/1024, limit)
		}
	}
}

// encrypted asks Postgres and the services themselves.
func (s *separate) encrypted() {
	s.t.Helper()
	conn := open(s.t, s.admin)
	rows, err := pgx.CollectRows(must(conn.Query(s.t.Context(), `
		SELECT usename || ' as ' || application_name || ' ' || coalesce(version, 'in plaintext') FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
		WHERE datname = current_database() AND application_name LIKE 'agogo-%'
		  AND (NOT ssl OR (usename <> replace(application_name, '-', '_') AND application_name <> 'agogo-provision'))`)), pgx.RowTo[string]) // which migrates as each
	if err != nil || len(rows) > 0 {
		s.t.Errorf("connections that are not encrypted or not the service's own: %v, %v", rows, err)
	}
	for name, addr := range s.grpc {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			s.t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = c.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
		answer := make([]byte, 9)
		n, _ := c.Read(answer)
		if n > 3 && answer[3] == 4 { // settings of HTTP/2; an alert of TLS has another shape
			s.t.Errorf("%s answers in plaintext", name)
		}
		_ = c.Close()
	}
	raw, err := os.ReadFile(filepath.Join(s.dir, "context.json"))
	if err != nil || !json.Valid(raw) {
		s.t.Errorf("context: %v", err)
	}
}

func (s *separate) free() string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
