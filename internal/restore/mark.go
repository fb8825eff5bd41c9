package restore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/restore/db"
	restorev1 "github.com/agogopay/agogo/proto/gen/go/agogo/restore/v1"
)

// Marker takes people's word that a service's tables were restored.
type Marker struct {
	Guard    *Guard
	Outbox   *outbox.Outbox
	Clock    clock.Clock
	Tenants  []string // in whose audit trails it is entered
	Tracking Tracking
	// Count fills in how many first sends are being asked about; nil where nothing is sent.
	Count func(ctx context.Context, q db.DBTX, r *restorev1.Restore) error
}

// rereadBefore is how long before the newest row of the tables the reading of EVENTS begins: for clocks of the database and of the
// broker that differ.
const rereadBefore = time.Hour

// Mark raises the epoch. What was published since the backup is read first, in chunks that are kept as they come: a mark that fails
// is made again, and finds them kept.
func (m *Marker) Mark(ctx context.Context, reason, requestID string) (*restorev1.Restore, error) {
	g := m.Guard
	t, err := readTold(ctx, g.JS, g.Service)
	if err != nil {
		return nil, err
	}
	before, err := Newest(ctx, g.Pool)
	if err != nil {
		return nil, err
	}
	known, err := outbox.ReadKnown(ctx, g.Pool)
	if err != nil {
		return nil, err
	}
	now := m.Clock.Now()
	lost := func(epoch int, seq int64) bool {
		return epoch > before.Epoch || epoch == before.Epoch && seq > known.Seq
	}
	err = m.Tracking.history(ctx, g.JS, g.Service, begin(known), lost, func(chunk []lostEvent) error { return keepLost(ctx, g.Pool, chunk) })
	if err != nil {
		return nil, err
	}
	mark := Mark{Epoch: max(before.Epoch, t.epoch, g.Epoch.Now()) + 1, At: now, Until: until(latest(now, t.at)), Reason: reason}
	if known.Idle >= 0 {
		mark.SentSince = now.Add(-known.Idle)
	}
	out := &restorev1.Restore{}
	if err := m.write(ctx, mark, requestID, out); err != nil {
		return nil, err
	}
	g.Logger.WarnContext(ctx, g.Service+": a restore from a backup was marked", "epoch", out.GetEpoch(), "careful_until", out.GetCarefulUntil(), "lost", out.GetLost())
	if err := g.look(ctx); err != nil { // it looks again within a second
		g.Logger.WarnContext(ctx, g.Service+": looking at the mark failed", "error", err)
	}
	m.Outbox.Nudge()
	out.State, out.Problem = string(g.State()), g.Problem()
	return out, nil
}

// begin is where to begin reading what was published after the tables' newest row.
func begin(known outbox.Known) time.Time {
	if known.Idle < 0 {
		return time.Time{}
	}
	return clock.Real().Now().Add(-known.Idle - rereadBefore) // the broker's clock is not the service's, which tests may set
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// write makes the mark, once per request id, with its entry in every tenant's audit trail.
func (m *Marker) write(ctx context.Context, mark Mark, requestID string, out *restorev1.Restore) error {
	actor, ok := auth.ActorFrom(ctx)
	if !ok {
		return fmt.Errorf("mark a restore: no authenticated actor in the context")
	}
	mark.Actor = actor.Name
	return pg.InTx(ctx, m.Guard.Pool, func(tx pgx.Tx) error {
		answer, err := auth.Once(ctx, tx, "", auth.ActionRestored, requestID, func() ([]byte, error) {
			if err := m.insert(ctx, tx, &mark); err != nil {
				return nil, err
			}
			for _, tenant := range m.Tenants { // as few as the tenants file has
				err := auth.Record(ctx, tx, m.Outbox.Unrefused(), auth.Entry{
					Tenant: tenant, Service: m.Guard.Service, Action: auth.ActionRestored, Target: fmt.Sprintf("epoch %d", mark.Epoch), Detail: mark.Reason,
					RequestID: requestID, At: mark.At,
				})
				if err != nil {
					return nil, err
				}
			}
			r, err := m.describe(ctx, tx, mark)
			if err != nil {
				return nil, err
			}
			return proto.Marshal(r)
		})
		if err != nil {
			return err
		}
		return proto.Unmarshal(answer, out)
	})
}

// insert stores the mark, above whatever another replica has marked meanwhile, and has published again what may have been handled
// in tables that are gone.
func (m *Marker) insert(ctx context.Context, tx pgx.Tx, mark *Mark) error {
	q := db.New(tx)
	if err := q.LockMarks(ctx); err != nil {
		return fmt.Errorf("lock the marks: %w", err)
	}
	newest, err := Newest(ctx, tx)
	if err != nil {
		return err
	}
	mark.Epoch = max(mark.Epoch, newest.Epoch+1)
	if newest.Until.After(mark.Until) {
		mark.Until = newest.Until
	}
	p := db.InsertMarkParams{
		Epoch: int32(mark.Epoch), MarkedAt: mark.At, CarefulUntil: mark.Until.Format(time.DateOnly), Reason: mark.Reason, Actor: mark.Actor,
	}
	if !mark.SentSince.IsZero() {
		p.SentSince = &mark.SentSince
	}
	if err := q.InsertMark(ctx, p); err != nil {
		return fmt.Errorf("mark the restore: %w", err)
	}
	if _, err := q.ForgetLost(ctx, append([]string{}, m.Tracking.Harmless...)); err != nil {
		return fmt.Errorf("forget what cannot have paid: %w", err)
	}
	return outbox.Resend(ctx, tx, mark.Epoch)
}

// Get tells how the service stands.
func (m *Marker) Get(ctx context.Context) (*restorev1.Restore, error) {
	mark, err := Newest(ctx, m.Guard.Pool)
	if err != nil {
		return nil, err
	}
	return m.describe(ctx, m.Guard.Pool, mark)
}

func (m *Marker) describe(ctx context.Context, q db.DBTX, mark Mark) (*restorev1.Restore, error) {
	r := &restorev1.Restore{
		Service: m.Guard.Service, Epoch: int32(mark.Epoch), State: string(m.Guard.State()), Problem: m.Guard.Problem(), Reason: mark.Reason, Actor: mark.Actor,
	}
	if mark.Epoch > 0 {
		r.MarkedAt, r.CarefulUntil = timestamppb.New(mark.At), mark.Until.Format(time.DateOnly)
	}
	var err error
	if r.Lost, err = db.New(q).CountLost(ctx); err != nil {
		return nil, fmt.Errorf("count what was lost: %w", err)
	}
	if m.Count == nil {
		return r, nil
	}
	return r, m.Count(ctx, q, r)
}
