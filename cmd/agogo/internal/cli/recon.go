package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/daybook"
	"github.com/agogopay/agogo/internal/visible"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

func (a *app) reconCommand() *cobra.Command {
	return noun("recon", "What providers say against the books", a.reconRunCommand(), a.reconReportCommand(), a.reconClosesCommand(), a.reconListCommand(), a.reconSuspenseCommand(), a.reconResolveCommand(), a.reconVerifyCommand(), a.reconKeyCommand())
}

func (a *app) reconClosesCommand() *cobra.Command {
	var provider string
	c := leaf("closes", "List the days that were closed, newest first", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		return all(a, func(token string) ([]*payoutsv1.Close, string, error) {
			r, err := client.ListCloses(c.Context(), &payoutsv1.ListClosesRequest{Tenant: tenant, Provider: provider, PageSize: 1000, PageToken: token})
			return r.GetItems(), r.GetNextPageToken(), err
		}, closeColumns...)
	}, "agogo recon closes --provider wave")
	c.Flags().StringVar(&provider, "provider", "", "only of this one")
	return c
}

func (a *app) reconListCommand() *cobra.Command {
	var provider string
	c := leaf("list", "List what providers said against the books, newest first", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		return all(
			a, func(token string) ([]*payoutsv1.Finding, string, error) {
				r, err := client.ListFindings(c.Context(), &payoutsv1.ListFindingsRequest{Tenant: tenant, Provider: provider, PageSize: 1000, PageToken: token})
				return r.GetItems(), r.GetNextPageToken(), err
			},
			col("found (utc)", func(f *payoutsv1.Finding) string { return when(f.FoundAt) }),
			col("provider", (*payoutsv1.Finding).GetProvider),
			col("by", (*payoutsv1.Finding).GetSource),
			col("code", (*payoutsv1.Finding).GetCode),
			col("expected", (*payoutsv1.Finding).GetExpected),
			col("found", (*payoutsv1.Finding).GetFound),
			num("to suspense", func(f *payoutsv1.Finding) string { return amount(f.Difference) }),
			col("finding", (*payoutsv1.Finding).GetId),
			col("payout or line", (*payoutsv1.Finding).GetSubjectId),
			col("reference", (*payoutsv1.Finding).GetReference),
		)
	}, "agogo recon list", "agogo recon list --provider wave -o json")
	c.Flags().StringVar(&provider, "provider", "", "only of this one")
	return c
}

func (a *app) reconReportCommand() *cobra.Command {
	req := &payoutsv1.ReadReportRequest{}
	c := leaf("report", "Print a day's signed report", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		req.Tenant, req.Format = tenant, "csv"
		switch a.output {
		case "json":
			req.Format = "json"
		case "csv", "table":
		default:
			return usagef("-o takes table, csv or json, not %q", a.output)
		}
		if err := onlyProvider(c.Context(), client, req); err != nil {
			return err
		}
		stream, err := client.ReadReport(c.Context(), req)
		if err != nil {
			return err
		}
		if a.output != "table" {
			return copyReport(a.Out, stream)
		}
		var text bytes.Buffer
		if err := copyReport(&text, stream); err != nil {
			return err
		}
		r, err := daybook.Read(text.Bytes())
		if err != nil {
			return err
		}
		a.showReport(r)
		return nil
	}, "agogo recon report --date YYYY-MM-DD --provider wave", "agogo recon report --date YYYY-MM-DD -o csv > wave-YYYY-MM-DD.csv")
	c.Long = `Print a day's report: what the books say moved, what the provider says, and what does not agree. -o csv and -o json are the bytes that
'agogo recon verify' checks.`
	f := c.Flags()
	f.StringVar(&req.LocalDate, "date", "", "the tenant's local date, YYYY-MM-DD (required)")
	f.StringVar(&req.Provider, "provider", "", "of this one; not needed when the tenant has closed days of only one")
	f.Int32Var(&req.Revision, "revision", 0, "the report of this reconciliation of the day (default the newest)")
	_ = c.MarkFlagRequired("date")
	return c
}

// onlyProvider finds whose report is meant when nobody says.
func onlyProvider(ctx context.Context, client payoutsv1.PayoutsServiceClient, req *payoutsv1.ReadReportRequest) error {
	if req.Provider != "" {
		return nil
	}
	r, err := client.ListCloses(ctx, &payoutsv1.ListClosesRequest{Tenant: req.Tenant, LocalDate: req.LocalDate})
	if err != nil {
		return err
	}
	for _, k := range r.GetItems() {
		if req.Provider != "" && k.Provider != req.Provider {
			return usagef("--provider is needed: %s and %s have closes of that day", req.Provider, k.Provider)
		}
		req.Provider = k.Provider
	}
	if req.Provider == "" {
		return status.Errorf(codes.NotFound, "nobody has asked for a close of %s\n  see which days are closed: agogo recon closes --tenant %s", req.LocalDate, req.Tenant)
	}
	return nil
}

func copyReport(w io.Writer, stream grpc.ServerStreamingClient[payoutsv1.ReadReportResponse]) error {
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := w.Write(r.GetData()); err != nil {
			return err
		}
	}
}

func (a *app) showReport(r daybook.Report) {
	h := r.Head
	sum := func(minor int64) string { return amount(&eventsv1.Money{Minor: minor, Currency: h.Currency}) }
	perhaps := func(m daybook.Maybe) string {
		if !m.Known {
			return "not told"
		}
		return sum(m.Minor)
	}
	type row struct{ name, value string }
	rows := []row{
		{"opening", sum(h.Opening)},
		{"late", sum(h.Late)},
		{"top-ups", sum(h.TopUps)},
		{"paid", sum(-h.Paid)},
		{"fees", sum(-h.Fees)},
		{"reversed", sum(h.Reversed)},
		{"corrections", sum(h.Corrections)},
		{"closing", sum(h.Closing)},
		{"provider's closing", perhaps(h.ProviderClosing)},
		{"difference", perhaps(h.Difference)},
		{"of earlier days", sum(h.Carried)},
		{"in suspense", sum(h.Suspense)},
	}
	fmt.Fprintf(a.Out, "%s, %s: %s (%s), report %d, revision %d\n\n", h.Tenant, h.Provider, h.Date, h.Timezone, h.Sequence, h.Revision)
	table(a.Out, rows, []column[row]{col("by the books", func(r row) string { return r.name }), num("amount", func(r row) string { return r.value })})
	fmt.Fprintf(a.Out, "\n%s\n", visible.Text(compared(h, sum)))
	a.showItems(r.Items, sum)
	fmt.Fprintf(a.Out, "\nSHA-256 %s, signed with key %s\n", r.Seal.Digest, r.Seal.Key)
}

// compared says what the books were compared with. "0 payouts agree" would be said of a provider that tells nothing, too.
func compared(h daybook.Head, sum func(int64) string) string {
	statement := fmt.Sprintf("Of the statement's %d lines %d are payouts that agree (%s).", h.Lines, h.Matched, sum(h.MatchedSum))
	switch h.Statement {
	case "none":
		statement = "The provider has no statement: payouts were not compared one by one."
	case "not_compared":
		statement = fmt.Sprintf("NOT COMPARED WITH A STATEMENT: %s had the day closed without it, because %q.", h.WaivedBy, h.WaivedBecause)
	}
	switch h.Source {
	case "balance":
		return statement + " Its closing is its balance, less what the statement says came after the day."
	case "statement":
		return statement + " Its closing is that of the day before and the lines."
	case "balance_less_books":
		return statement + " Its closing is its balance, less what our books say came after the day."
	}
	return statement + " It tells no balance, so that there is no difference to tell either."
}

// showItems lists what does not agree. What it tells of each is the item's part of the day's difference, with the same sign: the
// provider has more, or less if it is negative.
func (a *app) showItems(items []daybook.Item, sum func(int64) string) {
	if len(items) == 0 {
		return
	}
	waiting, resolved := 0, 0
	for _, i := range items {
		switch i.Kind {
		case "awaited", "timing":
			waiting++
		case "resolved":
			resolved++
		}
	}
	fmt.Fprintf(a.Out, "%s; %d awaited or of another day; %d resolved by people.\n\n", exceptions(len(items)-waiting-resolved), waiting, resolved)
	table(a.Out, items, []column[daybook.Item]{
		col("kind", func(i daybook.Item) string { return i.Kind }), col("code", func(i daybook.Item) string { return i.Code }),
		col("expected", func(i daybook.Item) string { return i.Expected }), col("found", func(i daybook.Item) string { return i.Found }),
		num("of the difference", func(i daybook.Item) string { return sum(i.Flow) }),
		col("payout", func(i daybook.Item) string { return i.Subject }), col("reference or line", func(i daybook.Item) string {
			if i.Reference != "" {
				return i.Reference
			}
			return i.ProviderID
		}),
	})
}

func exceptions(n int) string {
	if n == 1 {
		return "1 exception"
	}
	return fmt.Sprintf("%d exceptions", n)
}

func (a *app) reconKeyCommand() *cobra.Command {
	return leaf("key", "Print the public key that reports are signed with", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		r, err := client.GetReportKey(c.Context(), &payoutsv1.GetReportKeyRequest{Tenant: tenant})
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.json(r)
		}
		fmt.Fprint(a.Out, r.PublicKey)
		return nil
	}, "agogo recon key > report-key.pub.pem")
}

func (a *app) reconVerifyCommand() *cobra.Command {
	var keys []string
	c := leaf("verify FILE...", "Check reports that were saved: signature, sums, and the chain between them", cobra.MinimumNArgs(1), func(_ *cobra.Command, args []string) error {
		return a.verifyReports(args, keys)
	}, "agogo recon verify --key report-key.pub.pem wave-*.csv")
	c.Long = `Check files that 'agogo recon report -o csv' or '-o json' wrote, without Agogo: that nobody has changed them since they were signed, that
their sums agree, and that each was made after the one before it, so that none was put in another's place. Exit 1 if one fails.`
	c.Flags().StringArrayVar(&keys, "key", nil, "a public key that may have signed, in PEM; may be repeated (required)")
	_ = c.MarkFlagRequired("key")
	return c
}

func (a *app) verifyReports(files, keyFiles []string) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	var keys []ed25519.PublicKey
	for _, name := range keyFiles {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		key, err := daybook.ParsePublic(text)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		keys = append(keys, key)
	}
	var good []daybook.Report
	bad := 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		r, err := daybook.Verify(data, keys...)
		if err != nil {
			bad++
			fmt.Fprintf(a.Err, "agogo: %s: %v\n", name, err)
			continue
		}
		good = append(good, r)
	}
	gaps, err := daybook.VerifyChain(good)
	if err != nil {
		bad++
		fmt.Fprintf(a.Err, "agogo: %v\n", err)
	}
	for _, gap := range gaps {
		fmt.Fprintf(a.Err, "agogo: not given, so not checked: %s\n", gap)
	}
	line := fmt.Sprintf("%d of %d reports are as they were signed.", len(good), len(files))
	if err := a.summary(line, map[string]int{"reports": len(files), "verified": len(good), "gaps": len(gaps), "failures": bad}); err != nil {
		return err
	}
	if bad > 0 {
		return errFailed
	}
	return nil
}
