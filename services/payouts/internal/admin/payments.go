package admin

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin/db"
)

// ListPayments lists payments by id.
func (s *Server) ListPayments(ctx context.Context, r *payoutsv1.ListPaymentsRequest) (*payoutsv1.ListPaymentsResponse, error) {
	after, err := rpc.ParsePageKey(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := rpc.PageSize(r.GetPageSize())
	var rows []db.ListPaymentsRow
	if r.GetPayeeId() == "" {
		rows, err = s.queries().ListPayments(ctx, db.ListPaymentsParams{
			Tenant: r.GetTenant(), After: after, Status: r.GetStatus(), Unpaid: r.GetUnpaid(), PageLimit: int32(size + 1),
		})
	} else {
		var of []db.ListPaymentsOfPayeeRow
		of, err = s.queries().ListPaymentsOfPayee(ctx, db.ListPaymentsOfPayeeParams{
			Tenant: r.GetTenant(), PayeeID: r.GetPayeeId(), After: after, Status: r.GetStatus(), Unpaid: r.GetUnpaid(), PageLimit: int32(size + 1),
		})
		for _, p := range of {
			rows = append(rows, db.ListPaymentsRow(p))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list payments: %w", err)
	}
	rows, more := rpc.CutPage(rows, size)
	resp := &payoutsv1.ListPaymentsResponse{Items: make([]*payoutsv1.Payment, len(rows))}
	for i, p := range rows {
		resp.Items[i] = payment(r.GetTenant(), p)
	}
	if more {
		resp.NextPageToken = rpc.PageToken(rows[len(rows)-1].PaymentID)
	}
	return resp, nil
}

func payment(tenant string, p db.ListPaymentsRow) *payoutsv1.Payment {
	m := &payoutsv1.Payment{
		Id: p.PaymentID, Tenant: tenant, PayeeId: p.PayeeID, Gross: amount(p.Gross, p.Currency), Commission: amount(p.Commission, p.Currency),
		Net: amount(p.Net, p.Currency), Method: p.Method, Status: p.Status, CompletedAt: instant(p.CompletedAt), PaidReference: p.PaidReference,
	}
	if p.PayoutID != nil {
		m.PayoutId = p.PayoutID.String()
	}
	return m
}

// ListPayees lists payees by id.
func (s *Server) ListPayees(ctx context.Context, r *payoutsv1.ListPayeesRequest) (*payoutsv1.ListPayeesResponse, error) {
	after, err := rpc.ParsePageKey(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := rpc.PageSize(r.GetPageSize())
	rows, err := s.queries().ListPayees(ctx, db.ListPayeesParams{Tenant: r.GetTenant(), After: after, PageLimit: int32(size + 1)})
	if err != nil {
		return nil, fmt.Errorf("list payees: %w", err)
	}
	rows, more := rpc.CutPage(rows, size)
	resp := &payoutsv1.ListPayeesResponse{Items: make([]*payoutsv1.Payee, len(rows))}
	for i, y := range rows {
		resp.Items[i] = &payoutsv1.Payee{
			Id: y.PayeeID, Tenant: r.GetTenant(), Name: y.Name, Phone: masked(y.Phone), Provider: y.Provider, Locale: y.Locale,
			State: y.State, PauseReason: y.PauseReason,
		}
	}
	if more {
		resp.NextPageToken = rpc.PageToken(rows[len(rows)-1].PayeeID)
	}
	return resp, nil
}

// ResumePayee lets a paused payee be paid again.
func (s *Server) ResumePayee(ctx context.Context, r *payoutsv1.ResumePayeeRequest) (*payoutsv1.Payee, error) {
	if _, err := s.tenant(r.GetTenant()); err != nil {
		return nil, err
	}
	out := &payoutsv1.Payee{}
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "ResumePayee", Target: r.GetPayeeId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	err := s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		y, ok, err := s.Store.ResumePayee(ctx, tx, r.GetTenant(), r.GetPayeeId())
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, rpc.Refused("not_paused", "look at it: agogo payees list", "payee %q is not paused, or there is none of that id", r.GetPayeeId())
		}
		return &payoutsv1.Payee{
			Id: y.ID, Tenant: y.Tenant, Name: y.Name, Phone: masked(y.Phone), Provider: y.Provider, Locale: y.Locale, State: "active",
		}, nil
	})
	return out, err
}

// masked shows the last two digits of a phone number.
func masked(phone string) string {
	const shown = 2
	n := utf8.RuneCountInString(phone)
	if n <= shown {
		return strings.Repeat("*", n)
	}
	return strings.Repeat("*", n-shown) + phone[len(phone)-shown:]
}

func amount(minor int64, currency string) *eventsv1.Money {
	return &eventsv1.Money{Minor: minor, Currency: currency}
}
