package provider

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider/db"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the connectors' shared states and the list of replicas.
var Migrations = pg.Set{Name: "provider", FS: migrations, Dir: "migrations"}

// Connector names a tenant's connection to a provider.
type Connector struct {
	Tenant   string
	Provider string // its name in the tenants file
	Kind     string
}

// States reads and moves what all replicas share about connectors.
type States struct {
	Service string
	Outbox  *outbox.Outbox
	Clock   clock.Clock
	Epoch   *event.Epoch
	Health  Health
}

// LongRest is how long a connector may rest before work behind it counts as waiting.
const LongRest = 30 * time.Second

// List returns the known states of a tenant's connectors by provider name; one that is absent is open.
func (s *States) List(ctx context.Context, q db.DBTX, tenant string) (map[string]Status, error) {
	rows, err := db.New(q).ListStates(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("read connector states of %s: %w", tenant, err)
	}
	all := make(map[string]Status, len(rows))
	for _, r := range rows {
		all[r.Provider] = status(r)
	}
	return all, nil
}

// Get returns the state of one connector.
func (s *States) Get(ctx context.Context, q db.DBTX, c Connector) (Status, error) {
	row, err := db.New(q).GetState(ctx, db.GetStateParams{Tenant: c.Tenant, Provider: c.Provider})
	if errors.Is(err, pgx.ErrNoRows) {
		return Status{Connector: c, State: Open, Float: FloatOK}, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("read state of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return status(row), nil
}

// Stopped lists, as "<tenant>/<provider>", the connectors of all tenants that nothing goes through for now: stopped ones,
// those that rest for longer than [LongRest], and those that wait for float, to the end of that.
func (s *States) Stopped(ctx context.Context, q db.DBTX) ([]string, error) {
	return s.closed(ctx, q, false)
}

// Barred lists them without those that wait for float: what is approved behind these is about to be held, and whoever asks whether a run
// is through, or a page stands still, has to wait for that.
func (s *States) Barred(ctx context.Context, q db.DBTX) ([]string, error) {
	return s.closed(ctx, q, true)
}

func (s *States) closed(ctx context.Context, q db.DBTX, butFloat bool) ([]string, error) {
	now := s.Clock.Now()
	rows, err := db.New(q).StoppedConnectors(ctx, db.StoppedConnectorsParams{RestBeyond: now.Add(LongRest), FloatCodes: floatCodes(), ButFloat: butFloat, Now: now})
	if err != nil {
		return nil, fmt.Errorf("read stopped connectors: %w", err)
	}
	names := make([]string, 0, len(rows))
	for _, r := range rows {
		names = append(names, r.Tenant+"/"+r.Provider)
	}
	return names, nil
}

// Observe takes note of results in the order they came, in the transaction that records them; see [Health]. When they
// change nothing, nothing is written or locked.
func (s *States) Observe(ctx context.Context, tx pgx.Tx, c Connector, results []Result) (Status, error) {
	now := s.Clock.Now()
	current, err := s.Get(ctx, tx, c)
	if err != nil || s.Health.After(current, results, now) == current {
		return current, err
	}
	return s.move(ctx, tx, c, func(locked Status) Status { return s.Health.After(locked, results, now) })
}

// Stop stops a connector for a reason; it stays stopped until Resume.
func (s *States) Stop(ctx context.Context, tx pgx.Tx, c Connector, why Reason) (Status, error) {
	return s.move(ctx, tx, c, func(n Status) Status {
		n.State, n.Reason = Stopped, why
		return n
	})
}

// Resume opens a connector that was stopped or degraded, or that rests.
func (s *States) Resume(ctx context.Context, tx pgx.Tx, c Connector, why Reason) (Status, error) {
	return s.move(ctx, tx, c, func(n Status) Status {
		n.State, n.Reason, n.Faults, n.Rests, n.RestUntil, n.RestCode = Open, why, 0, 0, time.Time{}, ""
		return n
	})
}

// ResumeStopped opens every stopped connector of a tenant and returns them: what a person asks for after a repair.
func (s *States) ResumeStopped(ctx context.Context, tx pgx.Tx, tenant string, why Reason) ([]Status, error) {
	all, err := s.List(ctx, tx, tenant)
	if err != nil {
		return nil, err
	}
	var opened []Status
	for _, st := range all { // as many as a tenant has connectors
		if st.State != Stopped {
			continue
		}
		if st, err = s.Resume(ctx, tx, st.Connector, why); err != nil {
			return nil, err
		}
		opened = append(opened, st)
	}
	return opened, nil
}

// FloatRestored ends a rest for want of float: somebody topped it up.
func (s *States) FloatRestored(ctx context.Context, tx pgx.Tx, c Connector) (Status, error) {
	return s.move(ctx, tx, c, func(n Status) Status {
		n.Float = FloatOK
		return n.awake()
	})
}

// move locks the connector's row, changes it and emits the event of each of its two state tables that moved.
func (s *States) move(ctx context.Context, tx pgx.Tx, c Connector, change func(Status) Status) (Status, error) {
	q, now := db.New(tx), s.Clock.Now()
	if err := q.EnsureState(ctx, db.EnsureStateParams{Tenant: c.Tenant, Provider: c.Provider, Kind: c.Kind, Now: now}); err != nil {
		return Status{}, fmt.Errorf("keep state of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	row, err := q.LockState(ctx, db.LockStateParams{Tenant: c.Tenant, Provider: c.Provider})
	if err != nil {
		return Status{}, fmt.Errorf("lock state of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	before := status(row)
	after := change(before)
	if after == before {
		return before, nil
	}
	if after.State != before.State {
		after.Version, after.ChangedAt = before.Version+1, now
	}
	if after.Float != before.Float {
		after.FloatVersion = before.FloatVersion + 1
	}
	if err := q.SetState(ctx, after.params()); err != nil {
		return Status{}, fmt.Errorf("store state of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return after, s.tell(ctx, tx, before, after)
}

func (s *States) tell(ctx context.Context, tx pgx.Tx, before, after Status) error {
	if after.State != before.State {
		err := s.emit(ctx, tx, event.Provider, after, before.State, after.State, after.Version, &eventsv1.Provider{
			Tenant: after.Tenant, Provider: after.Provider, Kind: after.Kind, State: after.State, PreviousState: before.State,
			Reason: &eventsv1.Reason{
				Class: after.Reason.Class, Scope: after.Reason.Scope, Code: after.Reason.Code, ProviderCode: after.Reason.ProviderCode,
			},
		})
		if err != nil {
			return err
		}
	}
	if after.Float != before.Float {
		return s.emit(ctx, tx, event.Float, after, before.Float, after.Float, after.FloatVersion, s.floatBody(before, after))
	}
	return nil
}

func (s *States) emit(ctx context.Context, tx pgx.Tx, m event.Machine, st Status, from, to string, version int64, body proto.Message) error {
	typ, ok := m.Event(from, to)
	if !ok {
		return fmt.Errorf("%s of connector %s/%s cannot go from %s to %s", m.Aggregate, st.Tenant, st.Provider, from, to)
	}
	data, err := event.Encode(body)
	if err != nil {
		return fmt.Errorf("encode %s: %w", typ, err)
	}
	e := event.New(ctx, s.Service, st.Tenant, typ, st.Provider, version, s.Epoch.Now(), s.Clock.Now())
	return s.Outbox.Append(ctx, tx, outbox.FromEvent(ctx, e, data))
}
