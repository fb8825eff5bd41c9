package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/store/db"
)

// Reversal is one refund of a charge, or one dispute.
type Reversal struct {
	ID        uuid.UUID
	ChargeID  uuid.UUID
	Tenant    string
	Kind      string
	Key       string // the gateway's total with this refund, or the number of the dispute's case
	Minor     int64
	State     string
	CreatedAt time.Time
	DecidedAt *time.Time
}

// The kinds of reversals, and the state of a refund.
const (
	Refund  = "refund"
	Dispute = "dispute"
	Booked  = "booked"
)

// ErrNoReversal says that a tenant has no such reversal.
var ErrNoReversal = errors.New("no such reversal")

// RefundOf is the refund that brings the refunds of a charge to a total.
func RefundOf(c Charge, minor, total int64) Reversal {
	return reversal(c, Refund, strconv.FormatInt(total, 10), minor, Booked)
}

// DisputeOf is a dispute of a charge.
func DisputeOf(c Charge, d charge.Dispute) Reversal {
	return reversal(c, Dispute, d.Case, d.Amount, string(d.State))
}

func reversal(c Charge, kind, key string, minor int64, state string) Reversal {
	id := event.UUID("reversal", c.ID.String(), kind, key)
	return Reversal{ID: id, ChargeID: c.ID, Tenant: c.Tenant, Kind: kind, Key: key, Minor: minor, State: state}
}

// AsDispute is the dispute that a reversal holds.
func (r Reversal) AsDispute() charge.Dispute {
	return charge.Dispute{Case: r.Key, Amount: r.Minor, State: charge.DisputeState(r.State)}
}

// Reversals reads what was taken back of charges. Who decides by it holds the charges' rows.
func (s *Store) Reversals(ctx context.Context, q db.DBTX, charges ...uuid.UUID) (map[uuid.UUID][]Reversal, error) {
	rows, err := db.New(q).ReversalsOf(ctx, charges)
	if err != nil {
		return nil, fmt.Errorf("read reversals: %w", err)
	}
	all := map[uuid.UUID][]Reversal{}
	for _, r := range rows {
		all[r.ChargeID] = append(all[r.ChargeID], reversalFrom(r))
	}
	return all, nil
}

// Reversal reads one of a tenant's; the error is ErrNoReversal when there is none.
func (s *Store) Reversal(ctx context.Context, q db.DBTX, tenant string, id uuid.UUID) (Reversal, error) {
	r, err := db.New(q).FindReversal(ctx, db.FindReversalParams{Tenant: tenant, ID: id})
	if errors.Is(err, pgx.ErrNoRows) {
		return Reversal{}, ErrNoReversal
	}
	if err != nil {
		return Reversal{}, fmt.Errorf("read reversal %s: %w", id, err)
	}
	return reversalFrom(r), nil
}

// InsertReversals stores new ones. One that is there already is an error: whoever books it has not looked, and would book it twice.
func (s *Store) InsertReversals(ctx context.Context, tx pgx.Tx, all []Reversal) error {
	if len(all) == 0 {
		return nil
	}
	p := db.InsertReversalsParams{Now: s.Clock.Now()}
	for _, r := range all {
		p.Ids, p.ChargeIds, p.Tenants = append(p.Ids, r.ID), append(p.ChargeIds, r.ChargeID), append(p.Tenants, r.Tenant)
		p.Kinds, p.Keys, p.Amounts = append(p.Kinds, r.Kind), append(p.Keys, r.Key), append(p.Amounts, r.Minor)
		p.States = append(p.States, r.State)
	}
	if _, err := db.New(tx).InsertReversals(ctx, p); err != nil {
		return fmt.Errorf("insert reversals: %w", err)
	}
	return nil
}

// DecideReversals ends open disputes in their new states.
func (s *Store) DecideReversals(ctx context.Context, tx pgx.Tx, all []Reversal) error {
	if len(all) == 0 {
		return nil
	}
	p := db.DecideReversalsParams{Now: s.Clock.Now()}
	for _, r := range all {
		p.Ids, p.States = append(p.Ids, r.ID), append(p.States, r.State)
	}
	n, err := db.New(tx).DecideReversals(ctx, p)
	if err != nil {
		return fmt.Errorf("decide disputes: %w", err)
	}
	if n != int64(len(all)) {
		return fmt.Errorf("decided %d disputes of %d: the others are not open", n, len(all))
	}
	return nil
}

func reversalFrom(r db.Reversal) Reversal {
	return Reversal{
		ID: r.ReversalID, ChargeID: r.ChargeID, Tenant: r.Tenant, Kind: r.Kind, Key: r.Key, Minor: r.Amount, State: r.State,
		CreatedAt: r.CreatedAt, DecidedAt: r.DecidedAt,
	}
}
