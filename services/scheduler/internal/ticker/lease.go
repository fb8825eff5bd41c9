package ticker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Times of the lease. Two renewals may fail before it is lost; the margin covers what the clocks of this process and of the
// database, read at different moments, may differ by while it lasts.
const (
	LeaseTTL    = 9 * time.Second
	LeaseRenew  = 3 * time.Second
	leaseMargin = 1500 * time.Millisecond
	leaseCall   = 2 * time.Second // one attempt
)

// Leases keeps the lease row, in database time.
type Leases interface {
	TakeLease(ctx context.Context, holder string, ttl time.Duration) (term int64, err error)
	RenewLease(ctx context.Context, holder string, term int64, ttl time.Duration) (held bool, err error)
	ResignLease(ctx context.Context, holder string, term int64) error
}

// Lease makes one replica of several the one that wakes. It saves the others work and guarantees nothing: whoever fires
// beside the leader finds its ticks settled.
type Lease struct {
	rows   Leases
	holder string
	log    *slog.Logger
	now    func() time.Time // must not jump: the monotonic clock of this process
	onWon  func()

	mu      sync.Mutex
	term    int64     // 0: not the leader
	trusted time.Time // until then, whatever became of the database meanwhile
}

// NewLease makes a lease that nobody holds yet. holder must differ between processes and between starts of one; onWon is
// called whenever this replica becomes the leader.
func NewLease(rows Leases, holder string, now func() time.Time, onWon func(), log *slog.Logger) *Lease {
	return &Lease{rows: rows, holder: holder, now: now, onWon: onWon, log: log}
}

// Leads reports whether this replica may trust its lease.
func (l *Lease) Leads() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term != 0 && l.now().Before(l.trusted)
}

var errNotLeader = errors.New("another replica leads")

// IsLeader is Leads in the words of gocron, which asks before every run.
func (l *Lease) IsLeader(context.Context) error {
	if l.Leads() {
		return nil
	}
	return errNotLeader
}

// Run contends for the lease until ctx ends, then gives it back.
func (l *Lease) Run(ctx context.Context) error {
	beat := time.NewTicker(LeaseRenew)
	defer beat.Stop()
	for {
		l.contend(ctx)
		select {
		case <-ctx.Done():
			return l.resign(ctx)
		case <-beat.C:
		}
	}
}

// contend is one attempt to take or renew the lease. It is trusted from the moment before the attempt, not after the
// answer: the database began to count somewhere in between.
func (l *Lease) contend(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaseCall)
	defer cancel()
	began := l.now()
	l.mu.Lock()
	term := l.term
	l.mu.Unlock()
	if term != 0 {
		held, err := l.rows.RenewLease(ctx, l.holder, term, LeaseTTL)
		if err != nil {
			l.log.WarnContext(ctx, "lease not renewed; it is trusted until it runs out", "error", err)
			return
		}
		if held {
			l.hold(term, began)
			return
		}
		l.drop()
		l.log.WarnContext(ctx, "lease lost, another replica wakes now", "term", term)
	}
	term, err := l.rows.TakeLease(ctx, l.holder, LeaseTTL)
	switch {
	case err != nil:
		l.log.WarnContext(ctx, "cannot contend for the lease", "error", err)
	case term != 0:
		l.hold(term, began)
		l.log.InfoContext(ctx, "this replica wakes", "term", term)
		l.onWon()
	}
}

func (l *Lease) hold(term int64, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term, l.trusted = term, began.Add(LeaseTTL-leaseMargin)
}

func (l *Lease) drop() (term int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	term, l.term = l.term, 0
	return term
}

func (l *Lease) resign(ctx context.Context) error {
	term := l.drop()
	if term == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseCall)
	defer cancel()
	if err := l.rows.ResignLease(ctx, l.holder, term); err != nil {
		l.log.WarnContext(ctx, "lease not given back; the others wait until it runs out", "error", err)
	}
	return nil
}
