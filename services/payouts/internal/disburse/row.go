package disburse

import (
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/services/payouts/internal/disburse/db"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
)

// fromRow is the payout that a claim has read and holds, whole: what is left out here would be missing from its next event.
func fromRow(r db.ClaimRow) payout.Payout {
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
