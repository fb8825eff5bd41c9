package admin

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/rpc"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/admin/db"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
)

// mostSellers bounds the sellers of a report.
const mostSellers = 1000

// Report tells how a tenant's recurrences stand: by state, what a day is to charge, what is on hold by seller. All of it is
// read in one snapshot, so that its parts add up.
func (s *Server) Report(ctx context.Context, r *recurrencesv1.ReportRequest) (*recurrencesv1.ReportResponse, error) {
	t, err := s.tenant(r.GetTenant())
	if err != nil {
		return nil, err
	}
	on := s.Store.Today(t.ID)
	if r.GetLocalDate() != "" {
		if on, err = dateOf("local_date", r.GetLocalDate()); err != nil {
			return nil, err
		}
	}
	resp := &recurrencesv1.ReportResponse{Tenant: t.ID, Mode: t.Mode, LocalDate: on.String()}
	err = pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return fill(ctx, db.New(tx), resp, on, string(t.Currency))
	})
	if err != nil {
		return nil, fmt.Errorf("report on %s: %w", t.ID, err)
	}
	return resp, nil
}

func fill(ctx context.Context, q *db.Queries, resp *recurrencesv1.ReportResponse, on recurrence.Date, currency string) error {
	states, err := q.SumsByState(ctx, resp.GetTenant())
	if err != nil {
		return err
	}
	resp.OnHold = &recurrencesv1.Sum{Amount: amount(0, currency)}
	for _, r := range states {
		resp.Recurrences = append(resp.Recurrences, &recurrencesv1.StateSum{State: r.State, Count: r.Count, Amount: amount(r.Amount, currency)})
		if r.State == string(recurrence.Hold) {
			resp.OnHold = &recurrencesv1.Sum{Count: r.Count, Amount: amount(r.Amount, currency)}
		}
	}
	charges, err := q.ChargeSumsByState(ctx, resp.GetTenant())
	if err != nil {
		return err
	}
	for _, r := range charges {
		resp.Charges = append(resp.Charges, &recurrencesv1.StateSum{State: r.State, Count: r.Count, Amount: amount(r.Amount, currency)})
	}
	due, err := q.SumsDue(ctx, db.SumsDueParams{Tenant: resp.GetTenant(), LocalDate: on})
	if err != nil {
		return err
	}
	resp.DueToday = &recurrencesv1.Sum{Count: due.Today, Amount: amount(due.TodayAmount, currency)}
	resp.Overdue = &recurrencesv1.Sum{Count: due.Overdue, Amount: amount(due.OverdueAmount, currency)}
	held, err := q.SumsOnHold(ctx, db.SumsOnHoldParams{Tenant: resp.GetTenant(), PageLimit: mostSellers})
	if err != nil {
		return err
	}
	for _, r := range held {
		resp.OnHoldBySeller = append(resp.OnHoldBySeller, &recurrencesv1.SellerSum{SellerId: r.SellerID, Count: r.Count, Amount: amount(r.Amount, currency)})
	}
	resp.MissedCycles, err = q.CountMissed(ctx, resp.GetTenant())
	return err
}

// ListHoldDigests lists what sellers were told to be on hold, newest date first.
func (s *Server) ListHoldDigests(ctx context.Context, r *recurrencesv1.ListHoldDigestsRequest) (*recurrencesv1.ListHoldDigestsResponse, error) {
	from, err := backFrom("local_date", r.GetLocalDate(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := rpc.PageSize(r.GetPageSize())
	rows, err := s.queries().ListHoldDigests(ctx, db.ListHoldDigestsParams{
		Tenant: r.GetTenant(), SellerID: r.GetSellerId(), Since: from.since, Before: from.before, After: from.after, PageLimit: int32(size + 1),
	})
	if err != nil {
		return nil, fmt.Errorf("list hold digests: %w", err)
	}
	rows, more := rpc.CutPage(rows, size)
	resp := &recurrencesv1.ListHoldDigestsResponse{Items: make([]*recurrencesv1.HoldDigest, len(rows))}
	for i, d := range rows {
		resp.Items[i] = &recurrencesv1.HoldDigest{
			Id: d.DigestID.String(), Tenant: d.Tenant, SellerId: d.SellerID, LocalDate: d.LocalDate.String(), RecurrenceIds: d.RecurrenceIds,
			Total: amount(d.Total, d.Currency), RunId: d.RunID.String(), CreatedAt: timestamppb.New(d.CreatedAt),
		}
	}
	if more {
		last := rows[len(rows)-1]
		resp.NextPageToken = backToken(last.LocalDate, last.DigestID)
	}
	return resp, nil
}
