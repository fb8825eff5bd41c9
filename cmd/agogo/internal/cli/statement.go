package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

var statementColumns = []column[*payoutsv1.StatementLine]{
	col("at (utc)", func(l *payoutsv1.StatementLine) string { return when(l.At) }),
	col("what", (*payoutsv1.StatementLine).GetKind),
	col("id", (*payoutsv1.StatementLine).GetId),
	num("gross", func(l *payoutsv1.StatementLine) string { return amount(l.Gross) }),
	num("commission", func(l *payoutsv1.StatementLine) string { return amount(l.Commission) }),
	num("amount", func(l *payoutsv1.StatementLine) string { return amount(l.Amount) }),
	num("owed", func(l *payoutsv1.StatementLine) string { return amount(l.Balance) }),
	col("state", (*payoutsv1.StatementLine).GetState),
	col("reference", (*payoutsv1.StatementLine).GetReference),
}

func (a *app) payeeStatementCommand() *cobra.Command {
	req := &payoutsv1.ReadPayeeStatementRequest{}
	c := leaf("statement PAYEE", "What a payee earned and was paid, and what is owed", exactly("PAYEE"), func(c *cobra.Command, args []string) error {
		if a.output != "csv" {
			if err := a.checkOutput(); err != nil {
				return usagef("-o takes table, csv or json, not %q", a.output)
			}
		}
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		req.Tenant, req.PayeeId = tenant, args[0]
		stream, err := client.ReadPayeeStatement(c.Context(), req)
		if err != nil {
			return err
		}
		return a.statement(stream)
	}, "agogo payees statement drv-01 --from 2025-01-01 --to 2025-01-31", "agogo payees statement drv-01 -o csv")
	c.Long = `Print what the books say of a payee: what was owed before, each payment (gross, commission, net), refund and payout with its state and
reference, and what is owed after. Lines stand in the order in which they were booked, and owed runs along with them; AT is when it happened: a payment
that was imported late stands behind what was booked before, with the time at which it was completed. --from and --to go by AT. The lines are proven
against the payee's account before the last one is printed.`
	c.Flags().StringVar(&req.FromDate, "from", "", "first local date of the tenant, YYYY-MM-DD (default the first movement)")
	c.Flags().StringVar(&req.ToDate, "to", "", "last local date, included (default now)")
	return c
}

// statement prints a statement while it comes, however long it is.
func (a *app) statement(stream grpc.ServerStreamingClient[payoutsv1.ReadPayeeStatementResponse]) error {
	p := &statementPrinter{app: a}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.print(r); err != nil {
			return err
		}
	}
}

type statementPrinter struct {
	app    *app
	lines  int
	widths []int
}

func (p *statementPrinter) print(r *payoutsv1.ReadPayeeStatementResponse) error {
	switch p.app.output {
	case "csv":
		return p.csv(r)
	case "json":
		return p.json(r)
	}
	if r.Opening != nil {
		fmt.Fprintf(p.app.Out, "Owed before: %s\n\n", amount(r.Opening))
	}
	if len(r.Lines) > 0 {
		p.widths = tablePage(p.app.Out, r.Lines, statementColumns, p.widths)
	}
	if r.Closing != nil {
		fmt.Fprintf(p.app.Out, "\nOwed after: %s\n", amount(r.Closing))
	}
	return nil
}

// json writes one object: {"opening":…,"items":[…],"closing":…}.
func (p *statementPrinter) json(r *payoutsv1.ReadPayeeStatementResponse) error {
	write := func(lead string, m *eventsv1.Money, end string) error {
		raw, err := jsonOutput.Marshal(m)
		if err == nil {
			_, err = fmt.Fprint(p.app.Out, lead, string(raw), end)
		}
		return err
	}
	if r.Opening != nil {
		if err := write(`{"opening":`, r.Opening, `,"items":[`); err != nil {
			return err
		}
	}
	for _, l := range r.Lines {
		raw, err := jsonOutput.Marshal(l)
		if err != nil {
			return err
		}
		lead := ",\n"
		if p.lines++; p.lines == 1 {
			lead = "\n"
		}
		if _, err := fmt.Fprint(p.app.Out, lead, string(raw)); err != nil {
			return err
		}
	}
	if r.Closing != nil {
		return write(`],"closing":`, r.Closing, "}\n")
	}
	return nil
}

func (p *statementPrinter) csv(r *payoutsv1.ReadPayeeStatementResponse) error {
	w := csv.NewWriter(p.app.Out)
	minor := func(m *eventsv1.Money) string {
		if m == nil {
			return ""
		}
		return strconv.FormatInt(m.Minor, 10)
	}
	if r.Opening != nil {
		_ = w.Write([]string{"at", "what", "id", "gross", "commission", "amount", "owed", "currency", "state", "reference"})
		_ = w.Write([]string{"", "opening", "", "", "", "", minor(r.Opening), r.Opening.Currency, "", ""})
	}
	for _, l := range r.Lines {
		_ = w.Write([]string{when(l.At), l.Kind, l.Id, minor(l.Gross), minor(l.Commission), minor(l.Amount), minor(l.Balance), l.Amount.GetCurrency(), l.State, l.Reference})
	}
	if r.Closing != nil {
		_ = w.Write([]string{"", "closing", "", "", "", "", minor(r.Closing), r.Closing.Currency, "", ""})
	}
	w.Flush()
	return w.Error()
}
