package demo

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/agogopay/agogo/cmd/agogo/internal/report"
	"github.com/agogopay/agogo/internal/money"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// report prints a run as the customer's own log did, in the tenant's language.
func (d *demo) report(ctx context.Context, run *schedulerv1.Run) error {
	payouts, err := d.payoutsOf(ctx, run.TickId)
	if err != nil {
		return err
	}
	slices.SortFunc(payouts, func(a, b *payoutsv1.Payout) int {
		return cmp.Or(cmp.Compare(a.PayeeId, b.PayeeId), cmp.Compare(a.Seq, b.Seq))
	})
	r := report.Run{Locale: "fr-CI", At: run.NominalTime.AsTime(), Service: "Orange Money", Currency: "XOF"}
	for _, p := range payouts {
		line := report.Payout{
			Payee: p.PayeeName, Amount: money.Amount{Minor: p.Net.GetMinor(), Currency: money.Currency(p.Net.GetCurrency())},
			Payments: int(p.ItemCount), State: p.State,
		}
		if line.Payee == "" {
			line.Payee = p.PayeeId
		}
		if p.State != "succeeded" && p.State != "skipped" {
			line.Reason = p.Reason.GetCode()
		}
		r.Payouts = append(r.Payouts, line)
	}
	fmt.Fprintf(d.Out, "\n%s (%s)\n", run.Tenant, run.Mode)
	if err := report.Write(d.Out, r); err != nil {
		return err
	}
	fmt.Fprintln(d.Out)
	return nil
}
