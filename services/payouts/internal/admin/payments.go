package admin

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

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
