package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/internal/money"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

func (a *app) floatCommand() *cobra.Command {
	var provider, reference, currency string
	topUp := leaf("top-up AMOUNT", "Record money moved to a provider's float", exactly("AMOUNT"), func(c *cobra.Command, args []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		cur, err := money.ParseCurrency(currency)
		if err != nil {
			return usagef("--currency: %w", err)
		}
		sum, err := money.Parse(args[0], cur)
		if err != nil {
			return usagef("AMOUNT: %w", err)
		}
		r, err := client.TopUpFloat(c.Context(), &payoutsv1.TopUpFloatRequest{Tenant: tenant, Provider: provider, AmountMinor: sum.Minor, Currency: string(cur), Reference: reference})
		if err != nil {
			return err
		}
		return one(a, r.Balance, balanceColumns...)
	}, "agogo float top-up 500000 --currency XOF --provider orange --reference BANK-2025-0117")
	f := topUp.Flags()
	f.StringVar(&provider, "provider", "", "name of the provider in the tenants file (required)")
	f.StringVar(&reference, "reference", "", "the bank transfer; the same one again changes nothing (required)")
	f.StringVar(&currency, "currency", "", "ISO 4217 code of AMOUNT (required)")
	for _, name := range []string{"provider", "reference", "currency"} {
		_ = topUp.MarkFlagRequired(name)
	}
	list := leaf("list", "Balances at providers, and what the next run will need", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		return all(a, func(string) ([]*payoutsv1.Float, string, error) {
			r, err := client.ListFloats(c.Context(), &payoutsv1.ListFloatsRequest{Tenant: tenant})
			return r.GetItems(), "", err
		}, floatColumns...)
	}, "agogo float list --tenant lebenis", "agogo float list -o json")
	list.Long = `Show, by provider, the balance as the provider told it last and when, what is available of it, what is in flight, the float by the books,
and what the next run will need: what waits, what is owed, what is expected to be earned before then. A provider that tells no
balance has none here. A difference between balance and books is normal while payouts are in flight and fees are unknown.`
	return noun("float", "Money held at providers", list, topUp)
}

var floatColumns = []column[*payoutsv1.Float]{
	col("provider", (*payoutsv1.Float).GetProvider),
	col("state", (*payoutsv1.Float).GetState),
	num("balance", func(f *payoutsv1.Float) string { return amount(f.Balance) }),
	col("read (utc)", func(f *payoutsv1.Float) string { return when(f.ReadAt) }),
	num("available", func(f *payoutsv1.Float) string { return amount(f.Available) }),
	num("in flight", func(f *payoutsv1.Float) string { return amount(f.InFlight) }),
	num("books", func(f *payoutsv1.Float) string { return amount(f.Booked) }),
	col("next run (utc)", func(f *payoutsv1.Float) string { return when(f.NextRun) }),
	num("waiting", func(f *payoutsv1.Float) string { return amount(f.Waiting) }),
	num("owed", func(f *payoutsv1.Float) string { return amount(f.Owed) }),
	num("expected", func(f *payoutsv1.Float) string { return amount(f.Expected) }),
	num("needed", func(f *payoutsv1.Float) string { return amount(f.Needed) }),
	num("shortfall", func(f *payoutsv1.Float) string { return amount(f.Shortfall) }),
}

var breakColumns = []column[*payoutsv1.Break]{
	col("payee", (*payoutsv1.Break).GetPayeeId),
	col("date", (*payoutsv1.Break).GetLocalDate),
	num("total", func(b *payoutsv1.Break) string { return (time.Duration(b.TotalSeconds) * time.Second).String() }),
	col("on break since (utc)", func(b *payoutsv1.Break) string { return when(b.OpenSince) }),
	col("last reset", (*payoutsv1.Break).GetLastResetDate),
}

func (a *app) breaksCommand() *cobra.Command {
	var at string
	call := func(do func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, payee string) (*payoutsv1.Break, error)) func(*cobra.Command, []string) error {
		return func(c *cobra.Command, args []string) error {
			tenant, client, err := forTenant(a, a.payouts)
			if err != nil {
				return err
			}
			b, err := do(c, client, tenant, args[0])
			if err != nil {
				return err
			}
			return one(a, b, breakColumns...)
		}
	}
	start := leaf("start PAYEE", "A payee's break begins", exactly("PAYEE"), call(func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, payee string) (*payoutsv1.Break, error) {
		t, err := moment("at", at)
		if err != nil {
			return nil, err
		}
		return client.StartBreak(c.Context(), &payoutsv1.StartBreakRequest{Tenant: tenant, PayeeId: payee, At: t})
	}), "agogo breaks start drv-01")
	end := leaf("end PAYEE", "A payee's break ends", exactly("PAYEE"), call(func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, payee string) (*payoutsv1.Break, error) {
		t, err := moment("at", at)
		if err != nil {
			return nil, err
		}
		return client.EndBreak(c.Context(), &payoutsv1.EndBreakRequest{Tenant: tenant, PayeeId: payee, At: t})
	}), "agogo breaks end drv-01")
	for _, c := range []*cobra.Command{start, end} {
		c.Flags().StringVar(&at, "at", "", "RFC 3339 time (default now)")
	}
	get := leaf("get PAYEE", "Break time of today", exactly("PAYEE"), call(func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, payee string) (*payoutsv1.Break, error) {
		return client.GetBreak(c.Context(), &payoutsv1.GetBreakRequest{Tenant: tenant, PayeeId: payee})
	}), "agogo breaks get drv-01")
	return noun("breaks", "Break times of payees", start, end, get)
}

func (a *app) paymentsListCommand() *cobra.Command {
	req := &payoutsv1.ListPaymentsRequest{PageSize: 1000}
	c := leaf("list", "List payments", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		req.Tenant = tenant
		return all(a, func(token string) ([]*payoutsv1.Payment, string, error) {
			req.PageToken = token
			r, err := client.ListPayments(c.Context(), req)
			return r.GetItems(), r.GetNextPageToken(), err
		},
			col("id", (*payoutsv1.Payment).GetId),
			col("payee", (*payoutsv1.Payment).GetPayeeId),
			col("status", (*payoutsv1.Payment).GetStatus),
			num("gross", func(p *payoutsv1.Payment) string { return amount(p.Gross) }),
			num("net", func(p *payoutsv1.Payment) string { return amount(p.Net) }),
			col("completed (utc)", func(p *payoutsv1.Payment) string { return when(p.CompletedAt) }),
			col("payout", (*payoutsv1.Payment).GetPayoutId))
	}, "agogo payments list --unpaid", "agogo payments list --payee drv-04 -o json")
	c.Flags().StringVar(&req.PayeeId, "payee", "", "of this payee")
	c.Flags().StringVar(&req.Status, "status", "", "in this status")
	c.Flags().BoolVar(&req.Unpaid, "unpaid", false, "only those that no payout claims")
	return c
}
