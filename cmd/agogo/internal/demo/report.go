package demo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/report"
	"github.com/agogopay/agogo/internal/money"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// report prints a run as the customer's own log did, in the tenant's language.
func (d *drivers) report(ctx context.Context, run *schedulerv1.Run) error {
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
	return d.framed(run, func() error { return report.Write(d.out, r) })
}

// payoutsOf lists the payouts of a run, or all with "".
func (d *drivers) payoutsOf(ctx context.Context, run string) ([]*payoutsv1.Payout, error) {
	return pages(func(token string) ([]*payoutsv1.Payout, string, error) {
		r, err := d.payouts.ListPayouts(ctx, &payoutsv1.ListPayoutsRequest{Tenant: d.tenant, RunId: run, PageSize: 1000, PageToken: token})
		return r.GetItems(), r.GetNextPageToken(), err
	})
}

// report prints a run of charges as the drivers' is, in the club's language.
func (c *club) report(run *schedulerv1.Run, charges []*recurrencesv1.Charge, all []*recurrencesv1.Recurrence, again bool) error {
	names := map[string]string{}
	for _, r := range all {
		names[r.Id] = cmp.Or(r.CustomerName, r.CustomerId)
	}
	slices.SortFunc(charges, func(a, b *recurrencesv1.Charge) int { return cmp.Compare(a.RecurrenceId, b.RecurrenceId) })
	r := report.Charges{Locale: "pt-BR", At: run.NominalTime.AsTime().In(wallclub().Zone), Again: again, Service: "Cielo", Currency: "BRL"}
	for _, k := range charges {
		r.Charges = append(r.Charges, report.Charge{
			Customer: names[k.RecurrenceId], Amount: money.Amount{Minor: k.Amount.GetMinor(), Currency: money.Currency(k.Amount.GetCurrency())},
			State: k.State, Code: k.Reason.GetCode(), RetryOn: onDate(k.RetryOn),
		})
	}
	return c.framed(run, func() error { return report.WriteCharges(c.out, r) })
}

// framed prints a report of a run under whose it is.
func (s *story) framed(run *schedulerv1.Run, write func() error) error {
	fmt.Fprintf(s.out, "\n%s (%s)\n", run.Tenant, run.Mode)
	err := write()
	fmt.Fprintln(s.out)
	return err
}

// onDate is the zero time for "".
func onDate(date string) time.Time {
	d, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return time.Time{}
	}
	return d
}

func (c *club) reportHolds(run *schedulerv1.Run, digests []*recurrencesv1.HoldDigest) error {
	h := report.Holds{Locale: "pt-BR", At: run.NominalTime.AsTime().In(wallclub().Zone), Currency: "BRL"}
	for _, d := range digests {
		h.Sellers = append(h.Sellers, report.Held{Whose: d.SellerId, Count: len(d.RecurrenceIds), Amount: money.Amount{Minor: d.Total.GetMinor(), Currency: "BRL"}})
	}
	return c.framed(run, func() error { return report.WriteHolds(c.out, h) })
}

// reportCleaned prints what the clean-up ended; only before it ended it had a date.
func (c *club) reportCleaned(run *schedulerv1.Run, expired, before []*recurrencesv1.Recurrence) error {
	dates := map[string]string{}
	for _, r := range before {
		dates[r.Id] = r.NextChargeDate
	}
	cleaned := report.Cleaned{Locale: "pt-BR", At: run.NominalTime.AsTime().In(wallclub().Zone)}
	for _, r := range expired {
		cleaned.Expired = append(cleaned.Expired, report.Held{
			Whose: cmp.Or(r.CustomerName, r.CustomerId), Amount: money.Amount{Minor: r.Amount.GetMinor(), Currency: "BRL"}, Since: onDate(dates[r.Id]),
		})
	}
	return c.framed(run, func() error { return report.WriteCleaned(c.out, cleaned) })
}
