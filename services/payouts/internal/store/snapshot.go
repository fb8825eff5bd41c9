package store

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/money"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Snapshot is the body of a payout's events: ids and amounts, never a name or a phone number.
func Snapshot(p payout.Payout) *eventsv1.Payout {
	body := &eventsv1.Payout{
		PayoutId: p.ID.String(), Tenant: p.Tenant, PayeeId: p.PayeeID, RunId: p.RunID.String(), BatchId: p.BatchID.String(),
		PeriodDate: p.PeriodDate, Kind: p.Kind, Seq: int32(p.Seq), State: string(p.State), PreviousState: string(p.Previous),
		Reason: ReasonProto(p.Reason), Gross: MoneyProto(p.Gross), Commission: MoneyProto(p.Commission), Net: MoneyProto(p.Net),
		ItemCount: int32(p.ItemCount), Provider: p.Provider, Attempt: int32(p.Attempt), ProviderReference: p.Reference,
		NominalTime: timestamppb.New(p.NominalTime),
	}
	if p.Fee != nil {
		body.Fee = MoneyProto(*p.Fee)
	}
	if p.State == payout.Failed && p.RetryAt != nil {
		body.RetryAt = timestamppb.New(*p.RetryAt)
	}
	return body
}

// ReasonProto is a reason on the wire; none is nil.
func ReasonProto(r payout.Reason) *eventsv1.Reason {
	if r == (payout.Reason{}) {
		return nil
	}
	return &eventsv1.Reason{Class: r.Class, Scope: r.Scope, Code: r.Code, ProviderCode: r.ProviderCode}
}

// MoneyProto is an amount on the wire.
func MoneyProto(a money.Amount) *eventsv1.Money {
	return &eventsv1.Money{Minor: a.Minor, Currency: string(a.Currency)}
}

func fromRow(r db.LockPayoutsRow) payout.Payout {
	amount := func(minor int64) money.Amount {
		return money.Amount{Minor: minor, Currency: money.Currency(r.Currency)}
	}
	p := payout.Payout{
		ID: r.PayoutID, Tenant: r.Tenant, PayeeID: r.PayeeID, RunID: r.RunID, BatchID: r.BatchID, Page: int(r.Page),
		PeriodDate: r.PeriodDate, Kind: r.Kind, Seq: int(r.Seq), State: payout.State(r.State),
		Reason: payout.Reason{Class: r.ReasonClass, Scope: r.ReasonScope, Code: r.ReasonCode, ProviderCode: r.ProviderCode},
		Gross:  amount(r.Gross), Commission: amount(r.Commission), Net: amount(r.Net), ItemCount: int(r.ItemCount),
		Provider: r.Provider, Destination: r.Destination, Attempt: int(r.Attempt), Counted: int(r.Counted), Reference: r.Reference,
		RetryAt: r.RetryAt, Contradicted: r.Contradicted, ApprovalsNeeded: int(r.ApprovalsNeeded), Approvals: int(r.Approvals),
		ApprovalExpiresAt: r.ApprovalExpiresAt, NominalTime: r.NominalTime, Version: r.Version,
	}
	if r.Fee != nil {
		fee := amount(*r.Fee)
		p.Fee = &fee
	}
	return p
}
