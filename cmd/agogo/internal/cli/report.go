package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
)

func (a *app) reportCommand() *cobra.Command {
	req := &recurrencesv1.ReportRequest{}
	c := leaf("report", "Recurrences by state, what a day is to charge, what is on hold by seller", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.recurrences)
		if err != nil {
			return err
		}
		if err := a.checkOutput(); err != nil {
			return err
		}
		req.Tenant = tenant
		r, err := client.Report(c.Context(), req)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.json(r)
		}
		a.report(r)
		return nil
	}, "agogo recurrences report --tenant wallclub", "agogo recurrences report --date 2025-10-30 -o json")
	c.Flags().StringVar(&req.LocalDate, "date", "", "the day that due and overdue are told for, YYYY-MM-DD (default today in the tenant's zone)")
	return c
}

func (a *app) report(r *recurrencesv1.ReportResponse) {
	fmt.Fprintf(a.Out, "%s (%s) on %s\n\n", r.Tenant, r.Mode, r.LocalDate)
	states := func(title string, sums []*recurrencesv1.StateSum) {
		if len(sums) > 0 {
			table(a.Out, sums, sumColumns(title, (*recurrencesv1.StateSum).GetState))
			fmt.Fprintln(a.Out)
		}
	}
	states("recurrences", r.Recurrences)
	states("charges", r.Charges)
	type line struct {
		*recurrencesv1.Sum
		what string
	}
	table(a.Out, []line{{r.DueToday, "due today"}, {r.Overdue, "overdue"}, {r.OnHold, "on hold"}}, sumColumns("day", func(l line) string { return l.what }))
	fmt.Fprintf(a.Out, "\nmissed cycles without a charge: %d\n", r.MissedCycles)
	if len(r.OnHoldBySeller) > 0 {
		fmt.Fprintln(a.Out)
		table(a.Out, r.OnHoldBySeller, sumColumns("on hold by seller", (*recurrencesv1.SellerSum).GetSellerId))
	}
}

// summed is a count with its money.
type summed interface {
	GetCount() int64
	GetAmount() *eventsv1.Money
}

func sumColumns[T summed](title string, name func(T) string) []column[T] {
	return []column[T]{
		col(title, name),
		num("count", func(s T) string { return strconv.FormatInt(s.GetCount(), 10) }),
		num("amount", func(s T) string { return amount(s.GetAmount()) }),
	}
}

func (a *app) digestsCommand() *cobra.Command {
	req := &recurrencesv1.ListHoldDigestsRequest{PageSize: 1000}
	c := leaf("digests", "List what sellers were told to be on hold, newest day first", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.recurrences)
		if err != nil {
			return err
		}
		req.Tenant = tenant
		return all(a, func(token string) ([]*recurrencesv1.HoldDigest, string, error) {
			req.PageToken = token
			r, err := client.ListHoldDigests(c.Context(), req)
			return r.GetItems(), r.GetNextPageToken(), err
		},
			col("date", (*recurrencesv1.HoldDigest).GetLocalDate),
			col("seller", (*recurrencesv1.HoldDigest).GetSellerId),
			num("count", func(d *recurrencesv1.HoldDigest) string { return strconv.Itoa(len(d.RecurrenceIds)) }),
			num("total", func(d *recurrencesv1.HoldDigest) string { return amount(d.Total) }),
			col("recurrences", func(d *recurrencesv1.HoldDigest) string { return few(d.RecurrenceIds) }))
	}, "agogo recurrences digests --seller seller-1", "agogo recurrences digests --date 2025-10-30 -o json")
	c.Flags().StringVar(&req.SellerId, "seller", "", "of this seller")
	c.Flags().StringVar(&req.LocalDate, "date", "", "of this local date, YYYY-MM-DD")
	return c
}

// few shows the first of many ids; -o json has all of them.
func few(ids []string) string {
	const most = 5
	if len(ids) <= most {
		return strings.Join(ids, " ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], " "), len(ids)-most)
}
