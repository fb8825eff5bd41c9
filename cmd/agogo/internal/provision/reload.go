package provision

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/renewal"
)

// Reloader sees to it that a broker takes up what was renewed in its place: its certificate, authorities and the public keys of
// its users. A NATS server reads its files when it starts and when it is told to, and looks at none of them by itself.
type Reloader struct {
	PIDFile     string   // of the server, which must be visible to this process
	Certificate string   // the file whose certificate the server should serve; "": it serves none
	Address     string   // where it serves
	Watch       []string // files and folders after whose change it is told too
	Monitor     string   // base URL of the server's monitoring, which says whether it has taken its files; "": it is believed
	Every       time.Duration
	Logger      *slog.Logger

	reloads  prometheus.Counter
	refusals prometheus.Counter
	mu       sync.Mutex
	expires  time.Time // of the certificate that was served last
	failed   error     // why that is not known
	told     renewal.Print
	lastTold error // what was logged last, so that a state is told once
}

const lookTimeout = 5 * time.Second

// Register adds its metrics.
func (r *Reloader) Register(reg prometheus.Registerer) error {
	r.reloads = prometheus.NewCounter(prometheus.CounterOpts{Name: "agogo_broker_reloads_total", Help: "How often the broker was told to read its files again."})
	r.refusals = prometheus.NewCounter(prometheus.CounterOpts{Name: "agogo_broker_reloads_refused_total", Help: "How often the broker went on with what it had, because its files were wrong."})
	if err := errors.Join(reg.Register(r.reloads), reg.Register(r.refusals)); err != nil || r.Certificate == "" {
		return err
	}
	return reg.Register(renewal.Expiry{"nats": r.served})
}

func (r *Reloader) served() (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.expires, r.failed
}

// Run looks until ctx ends. The first look tells the server in any case: what changed before nobody knows.
func (r *Reloader) Run(ctx context.Context) error {
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	for {
		err := r.look(ctx)
		if err != nil && (r.lastTold == nil || r.lastTold.Error() != err.Error()) && ctx.Err() == nil {
			r.Logger.WarnContext(ctx, "the broker could not be looked at", "error", err)
		}
		r.lastTold = err
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look tells the server when files have changed since it was told last, or when it serves another certificate than the file
// holds. That second question is what counts: it is asked until the answer is right, whatever was missed or failed.
func (r *Reloader) look(ctx context.Context) error {
	now, err := renewal.Take(r.Watch)
	if err != nil {
		return err
	}
	due := now != r.told
	if r.Certificate != "" {
		other, err := r.compare(ctx)
		if err != nil {
			return err
		}
		due = due || other
	}
	if !due {
		return nil
	}
	before, err := r.loaded(ctx)
	if err != nil {
		return err
	}
	if err := r.tell(); err != nil {
		return err
	}
	if err := r.taken(ctx, before); err != nil {
		return err
	}
	r.told = now
	r.Logger.InfoContext(ctx, "the broker was told to read its files again")
	return nil
}

// compare reports whether the server serves another certificate than the file holds, and keeps when that ends.
func (r *Reloader) compare(ctx context.Context) (other bool, err error) {
	served, err := leafOf(ctx, r.Address)
	r.mu.Lock()
	if r.failed = err; err == nil {
		r.expires = served.NotAfter
	}
	r.mu.Unlock()
	if err != nil {
		return false, err
	}
	raw, err := os.ReadFile(r.Certificate)
	if err != nil {
		return false, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return false, fmt.Errorf("%s holds no certificate", r.Certificate)
	}
	wanted, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return false, fmt.Errorf("%s: %w", r.Certificate, err)
	}
	return !wanted.Equal(served), nil
}

// tell sends the server the signal after which it reads its files.
func (r *Reloader) tell() error {
	raw, err := os.ReadFile(r.PIDFile)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	// 1 and below would be others than the server, and so would be who asks: a number left behind may be anybody's by now.
	if err != nil || pid < 2 || pid == os.Getpid() {
		return fmt.Errorf("%s does not name the server's process", r.PIDFile)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("process %d of %s: %w", pid, r.PIDFile, err)
	}
	r.reloads.Inc()
	return nil
}

// leafOf shakes hands as far as to see the server's certificate. Whether it is trusted is no question of ours: it is compared.
func leafOf(ctx context.Context, addr string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	// A NATS server speaks first, in plaintext, and then waits for the handshake.
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(line, "INFO ") {
		return nil, fmt.Errorf("%s is no NATS server: %w", addr, errors.Join(err, errors.New("it does not begin with INFO")))
	}
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // it is looked at and nothing is said to it
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("handshake with %s: %w", addr, err)
	}
	return secure.ConnectionState().PeerCertificates[0], nil
}
