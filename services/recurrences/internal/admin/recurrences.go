package admin

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/rpc"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/admin/db"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// ListRecurrences lists recurrences by id.
func (s *Server) ListRecurrences(ctx context.Context, r *recurrencesv1.ListRecurrencesRequest) (*recurrencesv1.ListRecurrencesResponse, error) {
	size := rpc.PageSize(r.GetPageSize())
	ids, err := s.recurrenceIDs(ctx, r, int32(size+1))
	if err != nil {
		return nil, err
	}
	ids, more := rpc.CutPage(ids, size)
	items, err := s.recurrences(ctx, s.Pool, r.GetTenant(), ids)
	if err != nil {
		return nil, err
	}
	resp := &recurrencesv1.ListRecurrencesResponse{Items: items}
	if more {
		resp.NextPageToken = rpc.PageToken(ids[len(ids)-1])
	}
	return resp, nil
}

// recurrenceIDs chooses a page by the filter that keeps the fewest.
func (s *Server) recurrenceIDs(ctx context.Context, r *recurrencesv1.ListRecurrencesRequest, limit int32) (ids []string, err error) {
	f := filter{tenant: r.GetTenant(), seller: r.GetSellerId(), states: append([]string{}, r.GetStates()...), limit: limit}
	if f.after, err = rpc.ParsePageKey(r.GetPageToken()); err != nil {
		return nil, err
	}
	if r.GetDueBy() != "" {
		if f.due, err = dateOf("due_by", r.GetDueBy()); err != nil {
			return nil, err
		}
	}
	if r.GetCard() != "" {
		f.card = cardID(r.GetTenant(), r.GetCard())
	}
	switch {
	case r.GetMissed():
		ids, err = s.queries().RecurrencesWithMissed(ctx, f.missed())
	case f.card != uuid.Nil:
		ids, err = s.queries().RecurrencesOfCard(ctx, f.ofCard())
	case f.due != 0:
		ids, err = s.queries().RecurrencesDue(ctx, f.isDue())
	case f.seller != "":
		ids, err = s.queries().RecurrencesOfSeller(ctx, f.ofSeller())
	default:
		ids, err = s.queries().ListRecurrences(ctx, f.all())
	}
	if err != nil {
		return nil, fmt.Errorf("list recurrences: %w", err)
	}
	return ids, nil
}

// cardID takes an id as it is, and a token for the id it has.
func cardID(tenant, card string) uuid.UUID {
	// The id of a token that is a UUID itself, as some gateways', is another one: an id of ours has version 5.
	if id, err := uuid.Parse(card); err == nil && id.Version() == 5 {
		return id
	}
	return store.CardID(tenant, card)
}

// filter is a list request, read.
type filter struct {
	tenant, seller, after string
	states                []string // empty, never nil: an empty array, not NULL
	due                   recurrence.Date
	card                  uuid.UUID
	limit                 int32
}

func (f filter) all() db.ListRecurrencesParams {
	return db.ListRecurrencesParams{Tenant: f.tenant, After: f.after, States: f.states, PageLimit: f.limit}
}

func (f filter) ofSeller() db.RecurrencesOfSellerParams {
	return db.RecurrencesOfSellerParams{Tenant: f.tenant, SellerID: f.seller, After: f.after, States: f.states, PageLimit: f.limit}
}

func (f filter) isDue() db.RecurrencesDueParams {
	return db.RecurrencesDueParams{Tenant: f.tenant, SellerID: f.seller, After: f.after, States: f.states, DueBy: f.due, PageLimit: f.limit}
}

func (f filter) ofCard() db.RecurrencesOfCardParams {
	return db.RecurrencesOfCardParams{
		Tenant: f.tenant, CardID: f.card, SellerID: f.seller, After: f.after, States: f.states, Due: f.due != 0, DueBy: f.due, PageLimit: f.limit,
	}
}

func (f filter) missed() db.RecurrencesWithMissedParams {
	return db.RecurrencesWithMissedParams{
		Tenant: f.tenant, CardID: f.card, ByCard: f.card != uuid.Nil, SellerID: f.seller, After: f.after, States: f.states, Due: f.due != 0,
		DueBy: f.due, PageLimit: f.limit,
	}
}

// mostMissed bounds the missed cycles that are shown of one recurrence: three years of a daily one.
const mostMissed = 1000

// GetRecurrence finds a recurrence, with its missed cycles.
func (s *Server) GetRecurrence(ctx context.Context, r *recurrencesv1.GetRecurrenceRequest) (*recurrencesv1.Recurrence, error) {
	m, err := s.recurrence(ctx, s.Pool, r.GetTenant(), r.GetId())
	if err != nil {
		return nil, err
	}
	missed, err := s.queries().MissedCycles(ctx, db.MissedCyclesParams{Tenant: r.GetTenant(), RecurrenceID: r.GetId(), PageLimit: mostMissed})
	if err != nil {
		return nil, fmt.Errorf("read missed cycles of %s: %w", r.GetId(), err)
	}
	for _, c := range missed {
		m.MissedCycles = append(m.MissedCycles, &recurrencesv1.MissedCycle{
			Cycle: c.Cycle.String(), ChargeDate: c.ChargeDate.String(), MissedAt: timestamppb.New(c.MissedAt),
		})
	}
	return m, nil
}

// recurrence reads one recurrence as it is in the caller's transaction.
func (s *Server) recurrence(ctx context.Context, q db.DBTX, tenant, id string) (*recurrencesv1.Recurrence, error) {
	all, err := s.recurrences(ctx, q, tenant, []string{id})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, rpc.NotFound("recurrence", id)
	}
	return all[0], nil
}

// recurrences reads recurrences in the order of ids, in one query.
func (s *Server) recurrences(ctx context.Context, q db.DBTX, tenant string, ids []string) ([]*recurrencesv1.Recurrence, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := db.New(q).FindRecurrences(ctx, db.FindRecurrencesParams{Tenant: tenant, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("read recurrences: %w", err)
	}
	byID := make(map[string]*recurrencesv1.Recurrence, len(rows))
	for _, r := range rows {
		byID[r.RecurrenceID] = s.recurrenceOf(r)
	}
	all := make([]*recurrencesv1.Recurrence, 0, len(ids))
	for _, id := range ids {
		if m := byID[id]; m != nil {
			all = append(all, m)
		}
	}
	return all, nil
}

func (s *Server) recurrenceOf(r db.FindRecurrencesRow) *recurrencesv1.Recurrence {
	return &recurrencesv1.Recurrence{
		Id: r.RecurrenceID, Tenant: r.Tenant, CustomerId: r.CustomerID, CustomerName: r.CustomerName, SellerId: r.SellerID,
		Amount: amount(r.Amount, r.Currency), Description: r.Description, Period: r.Period, AnchorDay: r.AnchorDay, AnchorMonth: r.AnchorMonth,
		IntervalDays: r.IntervalDays, NextCycle: r.NextCycle.String(), NextChargeDate: r.NextChargeDate.String(), EndDate: r.EndDate.String(),
		MaxCycles: r.MaxCycles, Cycles: r.Cycles, State: r.State,
		Reason: store.ReasonProto(store.Reason{Class: r.ReasonClass, Scope: r.ReasonScope, Code: r.ReasonCode, ProviderCode: r.ProviderCode}),
		HeldBy: instant(r.HeldBy), EndedAt: instant(r.EndedAt), CreatedAt: timestamppb.New(r.CreatedAt), UpdatedAt: timestamppb.New(r.UpdatedAt),
		Version: r.Version, Mode: s.Tenants.Mode(r.Tenant),
		Card: &recurrencesv1.Card{
			Id: r.CardID.String(), Brand: r.CardBrand, State: r.CardState, Reason: store.ReasonProto(store.Reason{Code: r.CardReason}),
			Failures: r.CardFailures,
		},
	}
}
