// Package pgserver runs a Postgres server as a child process for development and tests: it finds or downloads the
// programs, makes the cluster, starts it on the loopback address, clears up what a killed predecessor left, and stops it.
package pgserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/clock"
)

const (
	superuser    = "agogo"
	database     = "agogo"
	startTimeout = 2 * time.Minute // recovery after a crash replays the log first
	fastStop     = 3 * time.Second
	hardStop     = 2 * time.Second
	pollInterval = 15 * time.Millisecond
)

// ErrInUse is the error of a second start on a data directory.
var ErrInUse = errors.New("data directory is in use")

// Options say where and how to run.
type Options struct {
	DataDir  string            // belongs to this package alone
	Port     int               // 0: a free one
	Settings map[string]string // over the defaults, as in postgresql.conf
	BinDir   string            // "": looked for, see [Find]
	Logger   *slog.Logger
	Progress io.Writer // told about a download; nil: nobody

	// Disposable gives durability up for speed: for tests.
	Disposable bool
	// Template is a folder that keeps a new cluster to copy instead of making one each time; it is filled when missing.
	Template string
}

// Server is a running child.
type Server struct {
	dsn    string
	log    *slog.Logger
	lock   *os.File
	child  *child
	stop   atomic.Bool
	closed chan struct{}
}

// DSN is the superuser's connection string.
func (s *Server) DSN() string { return s.dsn }

// Done is closed when the child has ended, wanted or not.
func (s *Server) Done() <-chan struct{} { return s.closed }

// Start makes the cluster when there is none, runs the server and returns when it answers.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.DataDir, 0o711); err != nil {
		return nil, fmt.Errorf("postgres data directory: %w", err)
	}
	if o.DataDir, err = realPath(o.DataDir); err != nil {
		return nil, fmt.Errorf("postgres data directory: %w", err)
	}
	lock, err := lockDir(o.DataDir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = lock.Close() // gives the lock back
		}
	}()
	user, err := childUser()
	if err != nil {
		return nil, err
	}
	cl, err := openCluster(ctx, o, user)
	if err != nil {
		return nil, err
	}
	if err := cl.clearRemains(ctx); err != nil {
		return nil, err
	}
	c, port, err := cl.run(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Server{dsn: cl.dsn(port), log: o.Logger, lock: lock, child: c, closed: make(chan struct{})}
	go s.watch()
	o.Logger.InfoContext(ctx, "postgres runs", "pid", c.pid, "port", port, "bin", cl.bin, "data", cl.dir)
	return s, nil
}

// realPath is what the kernel calls a folder, so that it can be compared with where a process is.
func realPath(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// watch frees the data directory when the child is gone, and says so when nobody asked it to go.
func (s *Server) watch() {
	<-s.child.done
	if !s.stop.Load() {
		s.log.Error("postgres ended by itself", "err", s.child.err, "tail", s.child.tail())
	}
	_ = s.lock.Close()
	close(s.closed)
}

// Stop ends every session and the server: fast first, which writes a checkpoint, then without one. Either way nothing
// committed is lost.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Store(true)
	for _, step := range []struct {
		sig  syscall.Signal
		wait time.Duration
	}{{syscall.SIGINT, fastStop}, {syscall.SIGQUIT, hardStop}, {syscall.SIGKILL, hardStop}} {
		if err := syscall.Kill(s.child.pid, step.sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal postgres %d: %w", s.child.pid, err)
		}
		t := time.NewTimer(step.wait)
		select {
		case <-s.closed:
			t.Stop()
			return nil
		case <-ctx.Done(): // go on to the harder signal
			t.Stop()
			ctx = context.WithoutCancel(ctx)
		case <-t.C:
		}
		s.log.WarnContext(ctx, "postgres does not stop", "pid", s.child.pid, "signal", step.sig.String())
	}
	return fmt.Errorf("postgres %d did not end: kill it by hand", s.child.pid)
}

// dsn is the superuser's connection string.
func (cl cluster) dsn(port int) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, cl.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// run starts the server until it answers. A free port may be taken by somebody else between finding and using it, and
// backends of a killed predecessor hold its shared memory until they notice; both are worth another try.
func (cl cluster) run(ctx context.Context, o Options) (*child, int, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for try := 1; ; try++ {
		port, err := choosePort(ctx, o.Port)
		if err != nil {
			return nil, 0, err
		}
		c, err := cl.spawn(ctx, port, o)
		if err == nil {
			if err = cl.awaitReady(ctx, c, port); err == nil {
				return c, port, nil
			}
			c.kill()
		}
		again := o.Port == 0 && strings.Contains(err.Error(), "could not create any TCP/IP sockets") ||
			strings.Contains(err.Error(), "shared memory block")
		if !again || try == 40 {
			return nil, 0, fmt.Errorf("start postgres in %s: %w", cl.dir, err)
		}
		if err := clock.Real().Sleep(ctx, 250*time.Millisecond); err != nil {
			return nil, 0, err
		}
	}
}

func choosePort(ctx context.Context, port int) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0, fmt.Errorf("postgres port %d is taken: stop what listens there or choose another port: %w", port, err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (cl cluster) spawn(ctx context.Context, port int, o Options) (*child, error) {
	arg, extra, err := cl.dataArg(cl.dir)
	if err != nil {
		return nil, err
	}
	defer closeAll(extra)
	args := []string{"-D", arg}
	for k, v := range settings(port, o) {
		args = append(args, "-c", k+"="+v)
	}
	return startChild(ctx, filepath.Join(cl.bin, "postgres"), args, extra, cl.user, cl.logFile)
}

// settings fit a development machine: small memory, no parallel plans, everything that makes a commit durable left on. An
// evening of 100,000 payouts writes 1 GB of log and works on some 200 MB of pages, most of them of indexes whose keys come in no order;
// with less room for either, sessions read and write pages instead of working, and a payout costs more the more there are.
func settings(port int, o Options) map[string]string {
	m := map[string]string{
		"port": strconv.Itoa(port), "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
		"password_encryption": "scram-sha-256",
		"max_connections":     "100", "shared_buffers": "256MB", "work_mem": "4MB", "maintenance_work_mem": "32MB",
		"effective_cache_size": "512MB", "autovacuum_max_workers": "2", "jit": "off", "huge_pages": "off",
		"max_parallel_workers_per_gather": "0", "max_parallel_maintenance_workers": "0",
		"wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "2GB", "min_wal_size": "32MB",
		"timezone": "UTC", "log_timezone": "UTC",
		// DETAIL lines quote rows, and rows hold phone numbers.
		"log_error_verbosity": "terse",
		"logging_collector":   "off", "log_destination": "stderr",
	}
	if o.Disposable {
		m["fsync"], m["synchronous_commit"], m["full_page_writes"], m["autovacuum"] = "off", "off", "off", "off"
		m["max_connections"], m["shared_buffers"] = "200", "64MB"
	}
	for k, v := range o.Settings {
		m[k] = v
	}
	return m
}

// awaitReady connects until the server answers, the child ends or the time is over.
func (cl cluster) awaitReady(ctx context.Context, c *child, port int) error {
	cc, err := pgx.ParseConfig(cl.dsn(port))
	if err != nil {
		return err
	}
	cc.ConnectTimeout = 2 * time.Second
	for {
		conn, err := pgx.ConnectConfig(ctx, cc)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-c.done:
			return fmt.Errorf("postgres ended at once (%w): %s", cmp.Or(c.err, errors.New("exit status 0")), c.tail())
		default:
		}
		if err := clock.Real().Sleep(ctx, pollInterval); err != nil {
			return fmt.Errorf("postgres does not answer: %w: %s", err, c.tail())
		}
	}
}
