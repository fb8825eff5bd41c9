package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/provider"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin/db"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// waits says of payouts that are to be sent what they wait for. Their rows tell nothing of it: what stands before a batch, a tenant or a provider is not
// written to each of its payouts.
func (s *Server) waits(ctx context.Context, conn db.DBTX, tenant string, byID map[uuid.UUID]*payoutsv1.Payout) error {
	var ids []uuid.UUID
	for id, p := range byID {
		if st := payout.State(p.GetState()); st == payout.Approved || st == payout.Failed {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := db.New(conn).WaitsOf(ctx, ids)
	if err != nil {
		return fmt.Errorf("read what payouts wait for: %w", err)
	}
	states, err := s.Connectors.List(ctx, conn, tenant)
	if err != nil {
		return err
	}
	for _, r := range rows {
		code, until := s.waitsFor(tenant, r, states[r.Provider])
		byID[r.PayoutID].WaitsFor = code
		if !until.IsZero() {
			byID[r.PayoutID].WaitsUntil = timestamppb.New(until)
		}
	}
	return nil
}

// waitsFor is the first thing in a payout's way, in the order in which dispatch comes to them; "" when it goes as its turn comes.
func (s *Server) waitsFor(tenant string, r db.WaitsOfRow, st provider.Status) (code string, until time.Time) {
	now := s.Clock.Now()
	later := r.RetryAt != nil && r.RetryAt.After(now)
	switch {
	case r.State == string(payout.Failed):
		return payout.WaitsForRetry, *r.RetryAt
	case r.Contradicted:
		return payout.CodeContradicted, until
	case r.Control == store.ControlCancelled:
		return payout.CodeRunCancelled, until
	case r.Control != store.ControlOpen:
		return payout.CodeBatchPaused, until
	case r.Unapproved || !r.Planned && s.Store.BatchTiers(tenant):
		return payout.CodeBatchApproval, until
	case r.Stopped:
		return payout.CodeTenantStop, until
	case st.State == provider.Stopped:
		return payout.CodeProviderStopped, until
	case st.WantsFloat(now):
		return payout.CodeFloat, until
	case later:
		return payout.WaitsForRetry, *r.RetryAt
	case r.AskedAbout:
		return payout.WaitsForLookup, until
	case r.Asking:
		return payout.WaitsForRestore, until
	case st.Resting(now):
		return payout.WaitsForProvider, st.RestUntil
	default:
		return "", until
	}
}
