package provider

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"

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
var Migrations = pg.Set{Name: "provider", FS: sub(migrations)}

func sub(f embed.FS) fs.FS {
	s, err := fs.Sub(f, "migrations")
	if err != nil {
		panic(err) // the folder is embedded: only a broken build can get here
	}
	return s
}

// The states of a connector; event.Provider is the table of their transitions.
const (
	Open     = "open"
	Degraded = "degraded" // consecutive faults: one transfer at a time, until an answer comes
	Stopped  = "stopped"  // nothing is sent until a person says so
)

// Connector names a tenant's connection to a provider.
type Connector struct {
	Tenant   string
	Provider string // its name in the tenants file
	Kind     string
}

// Status is what all replicas share about a connector.
type Status struct {
	Connector
	State     string
	Reason    Reason
	Faults    int // in a row, up to now
	Version   int64
	ChangedAt time.Time
}

// Reason says why a connector is in its state.
type Reason struct {
	Class        string
	Scope        string
	Code         string
	ProviderCode string
}

// States reads and moves the connectors' shared states.
type States struct {
	Service string
	Outbox  *outbox.Outbox
	Clock   clock.Clock
	Epoch   int
	// DegradeAfter is how many faults in a row degrade a connector; 5 when zero.
	DegradeAfter int
}

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

// Stopped lists the stopped connectors of all tenants as "<tenant>/<provider>".
func (s *States) Stopped(ctx context.Context, q db.DBTX) ([]string, error) {
	rows, err := db.New(q).StoppedConnectors(ctx)
	if err != nil {
		return nil, fmt.Errorf("read stopped connectors: %w", err)
	}
	names := make([]string, 0, len(rows))
	for _, r := range rows {
		names = append(names, r.Tenant+"/"+r.Provider)
	}
	return names, nil
}

// Observe takes note of results in the order they came, in the transaction that records them: a result that asks to stop
// stops the connector, faults in a row degrade it, any answer of the provider ends the row and recovers it. When results
// change nothing, nothing is written or locked.
func (s *States) Observe(ctx context.Context, tx pgx.Tx, c Connector, results []Result) (Status, error) {
	current, err := s.get(ctx, tx, c)
	if err != nil || !s.next(current, results).differs(current) {
		return current, err
	}
	return s.move(ctx, tx, c, func(locked Status) Status { return s.next(locked, results) })
}

// Stop stops a connector for a reason; it stays stopped until Resume.
func (s *States) Stop(ctx context.Context, tx pgx.Tx, c Connector, why Reason) (Status, error) {
	return s.move(ctx, tx, c, func(n Status) Status {
		n.State, n.Reason = Stopped, why
		return n
	})
}

// Resume opens a connector that was stopped or degraded.
func (s *States) Resume(ctx context.Context, tx pgx.Tx, c Connector, why Reason) (Status, error) {
	return s.move(ctx, tx, c, func(n Status) Status {
		n.State, n.Reason, n.Faults = Open, why, 0
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
	for _, st := range all {
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

func (n Status) differs(o Status) bool { return n.State != o.State || n.Faults != o.Faults }

// next is what a connector becomes after results.
func (s *States) next(n Status, results []Result) Status {
	for _, r := range results {
		why := Reason{Class: string(r.Class), Scope: string(r.Scope), Code: r.Code, ProviderCode: r.ProviderCode}
		switch {
		case n.State == Stopped:
			// Answers to calls that were under way do not open what must stay stopped.
		case r.Stop:
			n.State, n.Reason, n.Faults = Stopped, why, n.Faults+1
		case r.Fault():
			n.Faults++
			if n.State == Open && n.Faults >= s.degradeAfter() {
				n.State, n.Reason = Degraded, why
			}
		case r.Class == NotSent:
			// Our own time was over, or we were asked to slow down: neither for nor against the connector.
		default:
			n.Faults = 0
			if n.State == Degraded {
				n.State, n.Reason = Open, why
			}
		}
	}
	return n
}

func (s *States) degradeAfter() int {
	if s.DegradeAfter > 0 {
		return s.DegradeAfter
	}
	return 5
}

// move locks the connector's row, changes it and emits the transition's event.
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
	if !after.differs(before) {
		return before, nil
	}
	moved := after.State != before.State
	if moved {
		after.Version, after.ChangedAt = before.Version+1, now
	}
	if err := q.SetState(ctx, db.SetStateParams{
		State: after.State, ReasonClass: after.Reason.Class, ReasonScope: after.Reason.Scope, ReasonCode: after.Reason.Code,
		ProviderCode: after.Reason.ProviderCode, Faults: int32(after.Faults), Version: after.Version, ChangedAt: after.ChangedAt,
		Tenant: c.Tenant, Provider: c.Provider,
	}); err != nil {
		return Status{}, fmt.Errorf("store state of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	if moved {
		err = s.emit(ctx, tx, before, after)
	}
	return after, err
}

func (s *States) emit(ctx context.Context, tx pgx.Tx, before, after Status) error {
	typ, ok := event.Provider.Event(before.State, after.State)
	if !ok {
		return fmt.Errorf("connector %s/%s cannot go from %s to %s", after.Tenant, after.Provider, before.State, after.State)
	}
	body, err := event.Encode(&eventsv1.Provider{
		Tenant: after.Tenant, Provider: after.Provider, Kind: after.Kind, State: after.State, PreviousState: before.State,
		Reason: &eventsv1.Reason{
			Class: after.Reason.Class, Scope: after.Reason.Scope, Code: after.Reason.Code, ProviderCode: after.Reason.ProviderCode,
		},
	})
	if err != nil {
		return fmt.Errorf("encode %s: %w", typ, err)
	}
	e := event.New(ctx, s.Service, after.Tenant, typ, after.Provider, after.Version, s.Epoch, after.ChangedAt)
	return s.Outbox.Append(ctx, tx, outbox.FromEvent(ctx, e, body))
}

func (s *States) get(ctx context.Context, q db.DBTX, c Connector) (Status, error) {
	row, err := db.New(q).GetState(ctx, db.GetStateParams{Tenant: c.Tenant, Provider: c.Provider})
	if errors.Is(err, pgx.ErrNoRows) {
		return Status{Connector: c, State: Open}, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("read state of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return status(row), nil
}

func status(r db.ProviderState) Status {
	return Status{
		Connector: Connector{Tenant: r.Tenant, Provider: r.Provider, Kind: r.Kind},
		State:     r.State,
		Reason:    Reason{Class: r.ReasonClass, Scope: r.ReasonScope, Code: r.ReasonCode, ProviderCode: r.ProviderCode},
		Faults:    int(r.Faults), Version: r.Version, ChangedAt: r.ChangedAt,
	}
}
