package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

var previewColumns = []column[*payoutsv1.PreviewedPayout]{
	col("payee", (*payoutsv1.PreviewedPayout).GetPayeeId),
	col("state", (*payoutsv1.PreviewedPayout).GetState),
	num("net", func(p *payoutsv1.PreviewedPayout) string { return amount(p.Net) }),
	num("items", func(p *payoutsv1.PreviewedPayout) string { return strconv.Itoa(int(p.ItemCount)) }),
	col("provider", (*payoutsv1.PreviewedPayout).GetProvider),
	col("reason", reason[*payoutsv1.PreviewedPayout]),
}

func (a *app) previewCommand() *cobra.Command {
	var at, schedule string
	c := leaf("preview", "Show what a run would plan, without planning it", exactly(), func(c *cobra.Command, _ []string) error {
		if err := a.checkOutput(); err != nil {
			return err
		}
		when, err := moment("at", at)
		if err != nil {
			return err
		}
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		stream, err := client.PreviewRun(c.Context(), &payoutsv1.PreviewRunRequest{Tenant: tenant, NominalTime: when, Schedule: schedule})
		if err != nil {
			return err
		}
		whole, err := wholePreview(stream)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.json(whole)
		}
		a.showPreview(whole)
		return nil
	},
		"agogo payouts preview --tenant lebenis",
		"agogo payouts preview --schedule daily",
		"agogo payouts preview --at 2025-01-24T23:59:00Z -o json")
	c.Long = `Show who a run would pay how much, what would be held or skipped and why, and what each provider's float would need. The run is
planned by the same code, page by page, and taken back: nothing is kept, published or sent. --at is its nominal time, --schedule takes
the next one of a schedule of the tenants file; without either it is now. -o json gives {"items":[…],"summary":{…}}.`
	c.Flags().StringVar(&at, "at", "", "nominal time of the run, RFC 3339")
	c.Flags().StringVar(&schedule, "schedule", "", "of this schedule: at its next time, unless --at says another")
	return c
}

// wholePreview puts the pages together.
func wholePreview(stream grpc.ServerStreamingClient[payoutsv1.PreviewRunResponse]) (*payoutsv1.PreviewRunResponse, error) {
	whole := &payoutsv1.PreviewRunResponse{}
	for {
		page, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return whole, nil
		}
		if err != nil {
			return nil, err
		}
		whole.Items = append(whole.Items, page.GetItems()...)
		if page.GetSummary() != nil {
			whole.Summary = page.GetSummary()
		}
	}
}

func (a *app) showPreview(p *payoutsv1.PreviewRunResponse) {
	table(a.Out, p.Items, previewColumns)
	s := p.GetSummary()
	fmt.Fprintf(a.Out, "\nRun of %s (%s): %s\n", when(s.GetNominalTime()), s.GetLocalDate(), counts(s.GetCounts()))
	if s.GetApprovalsNeeded() > 0 {
		fmt.Fprintf(a.Out, "Approvers who would have to agree to the run as a whole: %d.\n", s.GetApprovalsNeeded())
	}
	for _, f := range s.GetFloats() {
		fmt.Fprintf(a.Out, "Float of %s: %s at once, %s later.\n", f.Provider, amount(f.Now), amount(f.Later))
	}
}
