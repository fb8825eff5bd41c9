package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin/db"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// ListPayouts lists the payouts of a run by payee, those of a payee or of the tenant newest first.
func (s *Server) ListPayouts(ctx context.Context, r *payoutsv1.ListPayoutsRequest) (*payoutsv1.ListPayoutsResponse, error) {
	if err := checkStates(r.GetStates()); err != nil {
		return nil, err
	}
	if r.GetStates() == nil {
		r.States = []string{} // as an empty array, not as NULL
	}
	var (
		ids  []uuid.UUID
		next string
		err  error
	)
	if r.GetRunId() != "" {
		ids, next, err = s.idsOfRun(ctx, r)
	} else {
		ids, next, err = s.idsByDate(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	items, err := s.payouts(ctx, s.Pool, r.GetTenant(), ids)
	if err != nil {
		return nil, err
	}
	return &payoutsv1.ListPayoutsResponse{Items: items, NextPageToken: next}, nil
}

func checkStates(states []string) error {
	for _, st := range states {
		if !payout.Known(payout.State(st)) {
			return rpc.Invalid("states", "%q is no state of a payout: it is one of %s", st, strings.Join(event.Payout.States(), ", "))
		}
	}
	return nil
}

// idsOfRun chooses a page of a run's payouts.
func (s *Server) idsOfRun(ctx context.Context, r *payoutsv1.ListPayoutsRequest) ([]uuid.UUID, string, error) {
	run, err := s.findRun(ctx, r.GetTenant(), r.GetRunId())
	if err != nil {
		return nil, "", err
	}
	size := rpc.PageSize(r.GetPageSize())
	p := db.PayoutsOfRunParams{
		Tenant: r.GetTenant(), RunID: run.ID, PayeeID: r.GetPayeeId(), States: r.GetStates(), PeriodDate: r.GetPeriodDate(), PageLimit: int32(size + 1),
	}
	key, err := rpc.ParsePageToken(r.GetPageToken(), 2)
	if err != nil {
		return nil, "", err
	}
	if key != nil {
		seq, err := strconv.ParseInt(key[1], 10, 32)
		if err != nil {
			return nil, "", rpc.Invalid("page_token", "not one of ours")
		}
		p.AfterPayee, p.AfterSeq = key[0], int32(seq)
	}
	rows, err := s.queries().PayoutsOfRun(ctx, p)
	if err != nil {
		return nil, "", fmt.Errorf("list payouts of run %s: %w", run.ID, err)
	}
	rows, more := rpc.CutPage(rows, size)
	ids, next := make([]uuid.UUID, len(rows)), ""
	for i, row := range rows {
		ids[i] = row.PayoutID
	}
	if more {
		last := rows[len(rows)-1]
		next = rpc.PageToken(last.PayeeID, strconv.Itoa(int(last.Seq)))
	}
	return ids, next, nil
}

// idsByDate chooses a page of a payee's or the tenant's payouts.
func (s *Server) idsByDate(ctx context.Context, r *payoutsv1.ListPayoutsRequest) ([]uuid.UUID, string, error) {
	before, after, err := beforeDate(r.GetPageToken())
	if err != nil {
		return nil, "", err
	}
	size := rpc.PageSize(r.GetPageSize())
	var rows []db.PayoutsOfTenantRow
	if r.GetPayeeId() == "" {
		rows, err = s.queries().PayoutsOfTenant(ctx, db.PayoutsOfTenantParams{
			Tenant: r.GetTenant(), Before: before, After: after, States: r.GetStates(), PeriodDate: r.GetPeriodDate(), PageLimit: int32(size + 1),
		})
	} else {
		var of []db.PayoutsOfPayeeRow
		of, err = s.queries().PayoutsOfPayee(ctx, db.PayoutsOfPayeeParams{
			Tenant: r.GetTenant(), PayeeID: r.GetPayeeId(), Before: before, After: after, States: r.GetStates(), PeriodDate: r.GetPeriodDate(),
			PageLimit: int32(size + 1),
		})
		for _, row := range of {
			rows = append(rows, db.PayoutsOfTenantRow(row))
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("list payouts: %w", err)
	}
	rows, more := rpc.CutPage(rows, size)
	ids, next := make([]uuid.UUID, len(rows)), ""
	for i, row := range rows {
		ids[i] = row.PayoutID
	}
	if more {
		last := rows[len(rows)-1]
		next = rpc.PageToken(last.PeriodDate, last.PayoutID.String())
	}
	return ids, next, nil
}

// GetPayout finds a payout.
func (s *Server) GetPayout(ctx context.Context, r *payoutsv1.GetPayoutRequest) (*payoutsv1.Payout, error) {
	return s.payout(ctx, s.Pool, r.GetTenant(), r.GetId())
}

// payout reads one payout with its attempts, as it is in the caller's transaction.
func (s *Server) payout(ctx context.Context, q db.DBTX, tenant, id string) (*payoutsv1.Payout, error) {
	u, err := uuid.Parse(id)
	if err != nil {
		return nil, rpc.NotFound("payout", id)
	}
	all, err := s.payouts(ctx, q, tenant, []uuid.UUID{u})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, rpc.NotFound("payout", id)
	}
	return all[0], nil
}

// payouts reads payouts in the order of ids, with attempts, proposals, approvals and what they wait for: six queries at most, however many there are.
func (s *Server) payouts(ctx context.Context, conn db.DBTX, tenant string, ids []uuid.UUID) ([]*payoutsv1.Payout, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	q := db.New(conn)
	rows, err := q.FindPayouts(ctx, db.FindPayoutsParams{Tenant: tenant, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("read payouts: %w", err)
	}
	byID := make(map[uuid.UUID]*payoutsv1.Payout, len(rows))
	for _, r := range rows {
		byID[r.PayoutID] = s.payoutOf(r)
	}
	attempts, err := q.AttemptsOf(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read attempts: %w", err)
	}
	for _, a := range attempts {
		if p := byID[a.SubjectID]; p != nil {
			p.Attempts = append(p.Attempts, attemptOf(a))
		}
	}
	proposals, err := review.Of(ctx, conn, ids...)
	if err != nil {
		return nil, err
	}
	for id, pr := range proposals {
		if p := byID[id]; p != nil {
			p.Proposal = &payoutsv1.Proposal{
				Outcome: pr.Outcome(), PayAgain: pr.Again, Evidence: pr.Evidence, Actor: pr.Actor, ProposedAt: timestamppb.New(pr.ProposedAt),
			}
		}
	}
	if err := s.waits(ctx, conn, tenant, byID); err != nil {
		return nil, err
	}
	said, err := s.words(ctx, conn, ids)
	if err != nil {
		return nil, err
	}
	all := make([]*payoutsv1.Payout, 0, len(ids))
	for _, id := range ids {
		if p := byID[id]; p != nil {
			p.Words = said[id]
			all = append(all, p)
		}
	}
	return all, nil
}

func (s *Server) payoutOf(r db.FindPayoutsRow) *payoutsv1.Payout {
	p := &payoutsv1.Payout{
		Id: r.PayoutID.String(), Tenant: r.Tenant, PayeeId: r.PayeeID, PayeeName: r.PayeeName, RunId: r.RunID.String(), BatchId: r.BatchID.String(),
		PeriodDate: r.PeriodDate, Kind: r.Kind, Seq: r.Seq, State: r.State,
		Reason: store.ReasonProto(payout.Reason{Class: r.ReasonClass, Scope: r.ReasonScope, Code: r.ReasonCode, ProviderCode: r.ProviderCode}),
		Gross:  amount(r.Gross, r.Currency), Commission: amount(r.Commission, r.Currency), Net: amount(r.Net, r.Currency),
		ItemCount: r.ItemCount, Provider: r.Provider, NominalTime: timestamppb.New(r.NominalTime), UpdatedAt: timestamppb.New(r.UpdatedAt),
		Version: r.Version, Mode: s.Tenants.Mode(r.Tenant), ApprovalsNeeded: r.ApprovalsNeeded, Approvals: r.Approvals,
		ApprovalExpiresAt: instant(r.ApprovalExpiresAt), HeldFor: r.HeldFor,
	}
	if r.Fee != nil {
		p.Fee = &eventsv1.Money{Minor: *r.Fee, Currency: r.Currency}
	}
	return p
}

func attemptOf(a db.AttemptsOfRow) *payoutsv1.Attempt {
	return &payoutsv1.Attempt{
		Number: a.Number, ProviderReference: a.Reference, State: a.State, Class: a.Class, Scope: a.Scope, Code: a.Code, Provider: a.Provider,
		ProviderId: a.ProviderID, SubmittedAt: timestamppb.New(a.SubmittedAt), ClosedAt: instant(a.ClosedAt),
		NextLookupAt: instant(a.NextLookupAt), Lookups: a.Lookups,
	}
}
