package histories

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/outcome"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
)

// backup is what the tables can be put back to.
type backup struct {
	restore func()
	epoch   int // of the tables when it was made
}

// told is what events have said of a payout last, in a time that a restore has undone.
type told struct {
	ID       uuid.UUID
	Owner    string
	Provider string
	Amount   int64
	State    string
	Version  int64
	epoch    int
}

// keep makes a backup in place of the one before.
func (w *world) keep() {
	w.t.Helper()
	w.backup = &backup{restore: pgtest.Backup(w.t, w.Pool), epoch: w.epoch}
}

// restoring is how long it takes until the tables are back, and people have brought back what they know: longer than a bank is blind.
const restoring = 15 * time.Minute

// restore puts the tables back to the backup, as docs/runbooks/restore.md has people do it: every process has ended, what was published
// since is read, the mark made, the files imported again, and the ticks since come again. Untold, nothing was published since: then only what
// comes again under its own id can be asked about, and a payment that comes to be in another payout than before may be paid by both.
func (w *world) restore(published bool) {
	w.t.Helper()
	if w.backup == nil {
		return
	}
	for len(w.frozen) > 0 {
		w.thaw()
	}
	w.leasesEnd()
	for _, p := range w.payouts() {
		if version, ok := w.stood[p.ID]; ok && version == p.Version { // nothing was told of it since the restore before
			continue
		}
		if p.epoch = w.epoch; published {
			w.told[p.ID] = p
		}
	}
	w.backup.restore()
	w.stood = map[uuid.UUID]int64{}
	for _, p := range w.payouts() {
		w.stood[p.ID] = p.Version
	}
	w.bank.forget()
	w.judge.restored()
	w.Clock.Advance(restoring)
	w.mark()
	if len(w.rows) > 0 {
		w.importRows(w.rows...)
	}
	w.tenant(nil, "start")
	for i, nominal := range w.evenings {
		w.fire(payoutstest.Daily(nominal), fmt.Sprintf("restored-%d-%d", w.epoch, i))
	}
	w.reconcile()
}

// mark raises the epoch and keeps what was lost, as internal/restore reads it from EVENTS.
func (w *world) mark() {
	w.t.Helper()
	w.epoch++
	now := w.Clock.Now()
	w.SQL("INSERT INTO restore_marks (epoch, marked_at, sent_since, careful_until, reason, actor) VALUES ($1, $2, $3, $4, 'the disk is lost', 'user:ada')",
		w.epoch, now, now.Add(-restoring), now.AddDate(0, 0, 2))
	standing := map[uuid.UUID]told{}
	for _, p := range w.payouts() {
		standing[p.ID] = p
	}
	for _, id := range slices.SortedFunc(maps.Keys(w.told), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }) {
		t := w.told[id]
		if p, ok := standing[id]; ok && p.Version >= t.Version && t.epoch <= w.backup.epoch || slices.Contains(outcome.Tracking().Harmless, t.State) {
			continue
		}
		w.SQL(`INSERT INTO restore_lost (subject_id, tenant, owner_id, provider, amount, state, epoch, version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (subject_id) DO UPDATE SET amount = EXCLUDED.amount, state = EXCLUDED.state, epoch = EXCLUDED.epoch, version = EXCLUDED.version, passed_at = NULL, settled_at = NULL`,
			t.ID, tenant, t.Owner, t.Provider, t.Amount, t.State, t.epoch, t.Version)
	}
}

func (w *world) payouts() []told {
	w.t.Helper()
	rows, err := w.Pool.Query(w.Ctx(), "SELECT payout_id, payee_id, provider, net, state, version FROM payouts")
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (p told, err error) {
		return p, r.Scan(&p.ID, &p.Owner, &p.Provider, &p.Amount, &p.State, &p.Version)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// restored reports whether a payout is held for what its payee was sent before a restore.
func (w *world) restored(id string) bool {
	w.t.Helper()
	return w.Count("SELECT count(*) FROM payouts WHERE payout_id = $1 AND state = 'held' AND reason_code = 'restored'", id) > 0
}

// breakable has the next plan fail at a page, as it does when the tenants file names no payouts of the tenant any more.
func (w *world) breakable() {
	daily := w.Exec.Jobs[runs.JobDaily]
	tenants := w.Tenants
	w.Exec.Jobs[runs.JobDaily] = func(ctx context.Context, tx pgx.Tx, r run.Run) (run.Page, error) {
		if w.breaks > 0 {
			if w.breaks--; w.breaks == 0 {
				rules := tenants.Tenants[0].Payouts
				tenants.Tenants[0].Payouts = nil
				defer func() { tenants.Tenants[0].Payouts = rules }()
			}
		}
		return daily(ctx, tx, r)
	}
}
