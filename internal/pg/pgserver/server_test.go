package pgserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// helperVariable turns the test binary into a program that starts a server in the folder named and waits.
const helperVariable = "AGOGO_PGSERVER_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperVariable); dir != "" {
		s, err := Start(context.Background(), Options{DataDir: dir})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(s.child.pid, s.DSN())
		select {}
	}
	os.Exit(m.Run())
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func stop(t *testing.T, s *Server) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	return time.Since(begin)
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func exec1(t *testing.T, c *pgx.Conn, sql string) {
	t.Helper()
	if _, err := c.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func query(t *testing.T, dsn, sql string) string {
	t.Helper()
	var s string
	if err := connect(t, dsn).QueryRow(t.Context(), sql).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStartStopStartKeepsDataAndPassword(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, Options{DataDir: dir, Settings: map[string]string{"max_connections": "37"}})
	c := connect(t, s.DSN())
	exec1(t, c, "CREATE TABLE t AS SELECT 42 AS n")
	for setting, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on",
		"max_connections": "37", "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "server_encoding": "UTF8",
		"log_error_verbosity": "terse", "shared_buffers": "256MB",
	} {
		if got := query(t, s.DSN(), "SHOW "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	exec1(t, c, "BEGIN") // a session that would wait forever does not hold the stop up
	if took := stop(t, s); took > 3*time.Second {
		t.Errorf("stop took %s", took)
	}
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Stop")
	}
	again := start(t, Options{DataDir: dir})
	if got := query(t, again.DSN(), "SELECT n::text FROM t"); got != "42" {
		t.Errorf("after the restart n = %s", got)
	}
	fi, err := os.Stat(filepath.Join(dir, "password"))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("password file: %v, %v; want mode 0600", fi.Mode(), err)
	}
}

func TestPasswordIsDemanded(t *testing.T) {
	t.Parallel()
	s := start(t, Options{DataDir: t.TempDir(), Disposable: true})
	cc, err := pgx.ParseConfig(s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	cc.Password = "wrong"
	if c, err := pgx.ConnectConfig(t.Context(), cc); err == nil {
		_ = c.Close(t.Context())
		t.Fatal("a wrong password was accepted")
	}
}

func TestSecondStartOnOneDirectorySaysSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, Options{DataDir: dir, Disposable: true})
	_, err := Start(t.Context(), Options{DataDir: dir})
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("error %v, want ErrInUse that names process %d", err, os.Getpid())
	}
	if got := query(t, first.DSN(), "SELECT 'there'"); got != "there" {
		t.Error("the first one does not answer any more")
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = Start(t.Context(), Options{DataDir: t.TempDir(), Port: port, Disposable: true})
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(port)) {
		t.Errorf("error %v, want one that names port %d", err, port)
	}
}

func TestBrokenSettingIsQuoted(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Options{DataDir: t.TempDir(), Disposable: true, Settings: map[string]string{"shared_buffers": "nonsense"}})
	if err == nil || !strings.Contains(err.Error(), "shared_buffers") {
		t.Errorf("error %v, want what Postgres wrote", err)
	}
}

func TestStartAfterTheServerWasKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, Options{DataDir: dir})
	exec1(t, connect(t, s.DSN()), "CREATE TABLE t AS SELECT 42 AS n")
	if err := syscall.Kill(s.child.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	again := start(t, Options{DataDir: dir})
	if got := query(t, again.DSN(), "SELECT n::text FROM t"); got != "42" {
		t.Errorf("n = %s", got)
	}
}

func TestStartAfterOurProcessWasKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parent, pid, dsn := startHelper(t, dir)
	exec1(t, connect(t, dsn), "CREATE TABLE t AS SELECT 42 AS n")
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	s := start(t, Options{DataDir: dir})
	if got := query(t, s.DSN(), "SELECT n::text FROM t"); got != "42" {
		t.Errorf("n = %s", got)
	}
	if c, err := pgx.Connect(t.Context(), dsn); err == nil {
		_ = c.Close(t.Context())
		t.Errorf("the server of the killed process, %d, still answers", pid)
	}
}

// startHelper runs a process that runs a server.
func startHelper(t *testing.T, dir string) (parent *exec.Cmd, pid int, dsn string) {
	t.Helper()
	parent = exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), helperVariable+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parent.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(line, &pid, &dsn); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return parent, pid, dsn
}

// Where no death signal exists the server outlives us. The next start stops it, and nothing that is not it.
func TestOrphanIsStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stop(t, start(t, Options{DataDir: dir, Disposable: true}))
	orphan := startOrphan(t, dir)
	s := start(t, Options{DataDir: dir, Disposable: true})
	select {
	case <-orphan.done:
	case <-time.After(10 * time.Second):
		t.Error("the orphan still runs")
	}
	if got := query(t, s.DSN(), "SELECT 'there'"); got != "there" {
		t.Error(got)
	}
}

// startOrphan runs a server without a lock on the folder, as after a kill of its parent.
func startOrphan(t *testing.T, dir string) *child {
	t.Helper()
	user, err := childUser()
	if err != nil {
		t.Fatal(err)
	}
	o := Options{DataDir: dir, Disposable: true}
	real, err := realPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	o.DataDir = real
	cl, err := openCluster(t.Context(), o, user)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := cl.run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.kill() })
	return c
}

func TestStalePidFileOfAReusedNumberIsNoObstacle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stop(t, start(t, Options{DataDir: dir, Disposable: true}))
	user, err := childUser()
	if err != nil {
		t.Fatal(err)
	}
	// A process of the server's own user that has nothing to do with it: Postgres itself would refuse to start.
	other := exec.Command("sleep", "1000")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	other.Dir = "/"
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	data := filepath.Join(dir, "pgdata")
	pidFile := filepath.Join(data, "postmaster.pid")
	text := fmt.Sprintf("%d\n%s\n1700000000\n5432\n\n127.0.0.1\n", other.Process.Pid, data)
	if err := errors.Join(os.WriteFile(pidFile, []byte(text), 0o600), give(pidFile, user)); err != nil {
		t.Fatal(err)
	}
	start(t, Options{DataDir: dir, Disposable: true})
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the innocent process is gone: %v", err)
	}
}

func TestHalfMadeClusterIsMadeAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	half := filepath.Join(dir, "pgdata.new", "base")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "rubbish"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{DataDir: dir, Disposable: true})
	if got := query(t, s.DSN(), "SELECT current_database()"); got != "agogo" {
		t.Errorf("database %s", got)
	}
}

func TestClusterOfAnotherVersionIsNotTouched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "pgdata")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "made by Postgres 9") {
		t.Errorf("error %v", err)
	}
}

func TestTemplateIsFilledAndCopied(t *testing.T) {
	t.Parallel()
	template := filepath.Join(t.TempDir(), "kept", "cluster")
	var dsn [2]string
	for i := range dsn {
		s := start(t, Options{DataDir: t.TempDir(), Disposable: true, Template: template})
		dsn[i] = query(t, s.DSN(), "SELECT system_identifier::text FROM pg_control_system()")
	}
	if dsn[0] != dsn[1] {
		t.Errorf("clusters %v: the second was not copied from the template", dsn)
	}
}
