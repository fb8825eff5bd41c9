package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/run"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/admin/db"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// ListCharges lists charges, newest cycle first.
func (s *Server) ListCharges(ctx context.Context, r *recurrencesv1.ListChargesRequest) (*recurrencesv1.ListChargesResponse, error) {
	from, err := backFrom("cycle", r.GetCycle(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := rpc.PageSize(r.GetPageSize())
	keys, err := s.chargeKeys(ctx, r, from, int32(size+1))
	if err != nil {
		return nil, err
	}
	keys, more := rpc.CutPage(keys, size)
	ids := make([]uuid.UUID, len(keys))
	for i, k := range keys {
		ids[i] = k.ChargeID
	}
	resp := &recurrencesv1.ListChargesResponse{}
	if resp.Items, err = s.charges(ctx, s.Pool, r.GetTenant(), ids); err != nil {
		return nil, err
	}
	if more {
		last := keys[len(keys)-1]
		resp.NextPageToken = backToken(last.Cycle, last.ChargeID)
	}
	return resp, nil
}

// fewStates are those that the index of open charges has.
var fewStates = []string{"due", "submitting", "processing", "unknown", "manual_review", "failed_soft"}

// chargeKeys chooses a page by the filter that keeps the fewest.
func (s *Server) chargeKeys(ctx context.Context, r *recurrencesv1.ListChargesRequest, from back, limit int32) (keys []db.ChargesOfTenantRow, err error) {
	q, states := s.queries(), append([]string{}, r.GetStates()...)
	isFew := func(st string) bool { return slices.Contains(fewStates, st) }
	switch {
	case r.GetRunId() != "":
		made, err := s.findRun(ctx, r.GetTenant(), r.GetRunId())
		if err != nil {
			return nil, err
		}
		rows, err := q.ChargesOfRun(ctx, db.ChargesOfRunParams{
			Tenant: r.GetTenant(), RunID: made.ID, RecurrenceID: r.GetRecurrenceId(), States: states, Since: from.since, Before: from.before,
			After: from.after, PageLimit: limit,
		})
		return same(rows, err)
	case r.GetRecurrenceId() != "":
		rows, err := q.ChargesOfRecurrence(ctx, db.ChargesOfRecurrenceParams{
			Tenant: r.GetTenant(), RecurrenceID: r.GetRecurrenceId(), States: states, Since: from.since, Before: from.before, After: from.after,
			PageLimit: limit,
		})
		return same(rows, err)
	case len(states) > 0 && !slices.ContainsFunc(states, func(st string) bool { return !isFew(st) }):
		rows, err := q.OpenChargesOfTenant(ctx, db.OpenChargesOfTenantParams{
			Tenant: r.GetTenant(), States: states, Since: from.since, Before: from.before, After: from.after, PageLimit: limit,
		})
		return same(rows, err)
	}
	rows, err := q.ChargesOfTenant(ctx, db.ChargesOfTenantParams{
		Tenant: r.GetTenant(), States: states, Since: from.since, Before: from.before, After: from.after, PageLimit: limit,
	})
	return same(rows, err)
}

// same makes one type of rows that have the same fields.
func same[R ~struct {
	ChargeID uuid.UUID
	Cycle    recurrence.Date
}](rows []R, err error) ([]db.ChargesOfTenantRow, error) {
	if err != nil {
		return nil, fmt.Errorf("list charges: %w", err)
	}
	keys := make([]db.ChargesOfTenantRow, len(rows))
	for i, r := range rows {
		keys[i] = db.ChargesOfTenantRow(r)
	}
	return keys, nil
}

// GetCharge finds a charge.
func (s *Server) GetCharge(ctx context.Context, r *recurrencesv1.GetChargeRequest) (*recurrencesv1.Charge, error) {
	return s.charge(ctx, s.Pool, r.GetTenant(), r.GetId())
}

// charge reads one charge with its attempts, as it is in the caller's transaction.
func (s *Server) charge(ctx context.Context, q db.DBTX, tenant, id string) (*recurrencesv1.Charge, error) {
	u, err := uuid.Parse(id)
	if err != nil {
		return nil, rpc.NotFound("charge", id)
	}
	all, err := s.charges(ctx, q, tenant, []uuid.UUID{u})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, rpc.NotFound("charge", id)
	}
	return all[0], nil
}

// charges reads charges in the order of ids, with attempts, reversals and proposals: four queries however many there are.
func (s *Server) charges(ctx context.Context, conn db.DBTX, tenant string, ids []uuid.UUID) ([]*recurrencesv1.Charge, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	q := db.New(conn)
	rows, err := q.FindCharges(ctx, db.FindChargesParams{Tenant: tenant, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("read charges: %w", err)
	}
	byID := make(map[uuid.UUID]*recurrencesv1.Charge, len(rows))
	for _, r := range rows {
		byID[r.ChargeID] = s.chargeOf(r)
	}
	attempts, err := q.AttemptsOf(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range attempts {
		if c := byID[a.SubjectID]; c != nil {
			c.Attempts = append(c.Attempts, attemptOf(a))
		}
	}
	reversals, err := s.Store.Reversals(ctx, conn, ids...)
	if err != nil {
		return nil, err
	}
	for id, all := range reversals {
		for _, r := range all {
			if c := byID[id]; c != nil {
				c.Reversals = append(c.Reversals, reversalOf(r, c.Amount.Currency))
			}
		}
	}
	proposals, err := review.Of(ctx, conn, ids...)
	if err != nil {
		return nil, err
	}
	for id, p := range proposals {
		if c := byID[id]; c != nil {
			c.Proposal = &recurrencesv1.Proposal{
				Outcome: p.Outcome(), ChargeAgain: p.Again, Evidence: p.Evidence, Actor: p.Actor, ProposedAt: timestamppb.New(p.ProposedAt),
			}
		}
	}
	all := make([]*recurrencesv1.Charge, 0, len(ids))
	for _, id := range ids {
		if c := byID[id]; c != nil {
			all = append(all, c)
		}
	}
	return all, nil
}

func (s *Server) chargeOf(r db.FindChargesRow) *recurrencesv1.Charge {
	c := &recurrencesv1.Charge{
		Id: r.ChargeID.String(), Tenant: r.Tenant, RecurrenceId: r.RecurrenceID, CustomerId: r.CustomerID, SellerId: r.SellerID,
		CardId: r.CardID.String(), RunId: r.RunID.String(), Cycle: r.Cycle.String(), ChargeDate: r.ChargeDate.String(),
		Amount: amount(r.Amount, r.Currency), Gateway: r.Gateway, State: r.State,
		Reason: store.ReasonProto(store.Reason{Class: r.ReasonClass, Scope: r.ReasonScope, Code: r.ReasonCode, ProviderCode: r.ProviderCode}),
		Tries:  r.Tries, FirstAttemptDate: r.FirstAttemptDate.String(), LastAttemptDate: r.LastAttemptDate.String(), RetryOn: r.RetryOn.String(),
		Waiting: r.Waiting, Contradicted: r.Contradicted, NominalTime: timestamppb.New(r.NominalTime), UpdatedAt: timestamppb.New(r.UpdatedAt),
		Version: r.Version, Mode: s.Tenants.Mode(r.Tenant),
	}
	if r.Fee != nil {
		c.Fee = &eventsv1.Money{Minor: *r.Fee, Currency: r.Currency}
	}
	back := charge.TakenBack{Refunded: r.Refunded, Disputed: r.Disputed, ChargedBack: r.ChargedBack}
	c.Refunded, c.Disputed, c.ChargedBack = store.TakenBackProto(back, money.Currency(r.Currency))
	return c
}

func attemptOf(a db.AttemptsOfRow) *recurrencesv1.Attempt {
	return &recurrencesv1.Attempt{
		Number: a.Number, ProviderReference: a.Reference, State: a.State, Class: a.Class, Scope: a.Scope, Code: a.Code, Provider: a.Provider,
		ProviderId: a.ProviderID, SubmittedAt: timestamppb.New(a.SubmittedAt), ClosedAt: instant(a.ClosedAt),
		NextLookupAt: instant(a.NextLookupAt), Lookups: a.Lookups,
	}
}

// findRun finds a run of the tenant by its id or its tick's.
func (s *Server) findRun(ctx context.Context, tenant, id string) (run.Run, error) {
	r, err := s.Runs.Find(ctx, s.Pool, tenant, id)
	if errors.Is(err, run.ErrNoRun) {
		return run.Run{}, rpc.NotFound("run", id)
	}
	return r, err
}
