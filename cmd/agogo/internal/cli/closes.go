package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

var closeColumns = []column[*payoutsv1.Close]{
	col("date", (*payoutsv1.Close).GetLocalDate),
	col("provider", (*payoutsv1.Close).GetProvider),
	num("rev", func(k *payoutsv1.Close) string { return strconv.Itoa(int(k.Revision)) }),
	col("state", (*payoutsv1.Close).GetState),
	col("statement", (*payoutsv1.Close).GetStatement),
	num("matched", counted((*payoutsv1.Close).GetMatched)),
	num("exceptions", counted((*payoutsv1.Close).GetExceptions)),
	num("closing", func(k *payoutsv1.Close) string { return amount(k.Closing) }),
	num("provider's", func(k *payoutsv1.Close) string { return amount(k.ProviderClosing) }),
	num("difference", func(k *payoutsv1.Close) string { return amount(k.Difference) }),
	col("why open", (*payoutsv1.Close).GetReason),
	col("without its statement", proposedWaiver),
}

// counted is a figure of a day that was compared: none is known of an open one, and 0 would say that there is none.
func counted(of func(*payoutsv1.Close) int64) func(*payoutsv1.Close) string {
	return func(k *payoutsv1.Close) string {
		if k.State != "completed" {
			return ""
		}
		return strconv.FormatInt(of(k), 10)
	}
}

// proposedWaiver has the words that a second person has to give, as they were written.
func proposedWaiver(k *payoutsv1.Close) string {
	switch {
	case k.ProposedBy == "":
		return ""
	case k.AgreedBy == "":
		return k.ProposedBy + " proposes: " + k.ProposedReason
	default:
		return k.ProposedBy + ", " + k.AgreedBy + ": " + k.ProposedReason
	}
}

// closing is what ledger close and recon run share: a day is asked for, and waited for if that is wanted.
type closing struct {
	date, provider string
	again, wait    bool
	without        bool
	reason         string
	timeout        time.Duration
}

func (x *closing) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&x.date, "date", "", "the tenant's local date, YYYY-MM-DD (required)")
	f.StringVar(&x.provider, "provider", "", "only this one")
	f.BoolVar(&x.wait, "wait", false, "return when the reports are made; exit 1 if one has to wait for its provider")
	f.DurationVar(&x.timeout, "timeout", 10*time.Minute, "how long to wait")
	_ = c.MarkFlagRequired("date")
}

func (a *app) closeDayCommand() *cobra.Command {
	x := &closing{}
	c := leaf(
		"close", "Close a day: the books against the provider's statement and balance", exactly(), func(c *cobra.Command, _ []string) error {
			if x.without != (x.reason != "") {
				return usagef("--without-statement and --reason go together")
			}
			if x.without {
				return a.closeWithout(c.Context(), x)
			}
			return a.closeDay(c.Context(), x)
		}, "agogo ledger close --date YYYY-MM-DD --wait", "agogo ledger close --tenant lebenis --date YYYY-MM-DD --provider wave",
		`agogo ledger close --date YYYY-MM-DD --provider wave --without-statement --reason "Wave's ticket 4711: no statement before Monday"`,
	)
	c.Long = `Close a day of the tenant's providers, and every day since their last close: opening + top-ups - paid - fees + reversed = closing,
compared with what the provider says. What does not agree is named; read it with 'agogo recon report'. A day that is closed stays
as it is: 'agogo recon run' compares it again, in another report.

A day whose statement the provider does not give stays open, and the days after it wait. Two people may have it closed
--without-statement: the second gives the same --reason. The report says that nothing was compared, who they are and why, and so do the
reports after it until 'agogo recon run' has read the statement.`
	x.flags(c)
	c.Flags().BoolVar(&x.without, "without-statement", false, "close a day that waits for its statement, without it; needs two people")
	c.Flags().StringVar(&x.reason, "reason", "", "why, without names: it stands in the signed report")
	return c
}

func (a *app) reconRunCommand() *cobra.Command {
	x := &closing{again: true}
	c := leaf("run", "Read a day's statement again and compare it again, in another report", exactly(), func(c *cobra.Command, _ []string) error {
		return a.closeDay(c.Context(), x)
	}, "agogo recon run --date YYYY-MM-DD --provider wave --wait")
	c.Long = `Compare a day with its provider's statement again, for instance when the provider has corrected it. The report before stays; the
new one is a link of the same chain. What was found before is not found again, and nothing is booked twice.`
	x.flags(c)
	return c
}

func (a *app) closeDay(ctx context.Context, x *closing) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	tenant, client, err := forTenant(a, a.payouts)
	if err != nil {
		return err
	}
	r, err := client.CloseDay(ctx, &payoutsv1.CloseDayRequest{Tenant: tenant, LocalDate: x.date, Provider: x.provider, Again: x.again})
	if err != nil {
		return err
	}
	items, late := r.GetItems(), false
	if x.wait {
		if items, late, err = a.awaitClose(ctx, client, tenant, x, items); err != nil {
			return err
		}
	}
	if err := a.showCloses(items); err != nil {
		return err
	}
	a.toRead(items)
	if late {
		return errFailed
	}
	return nil
}

// closeWithout proposes, or agrees, that a day is closed without its statement.
func (a *app) closeWithout(ctx context.Context, x *closing) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	if x.provider == "" {
		return usagef("--without-statement needs --provider")
	}
	tenant, client, err := forTenant(a, a.payouts)
	if err != nil {
		return err
	}
	r, err := client.CloseWithoutStatement(ctx, &payoutsv1.CloseWithoutStatementRequest{Tenant: tenant, LocalDate: x.date, Provider: x.provider, Reason: x.reason})
	if err != nil {
		return err
	}
	if !r.Agreed {
		a.replaced(r.Replaces)
		fmt.Fprintln(a.Err, "agogo: proposed. Another person now gives the same command with the same reason; until then the day stays open.")
		return a.showCloses([]*payoutsv1.Close{r.Close})
	}
	items, late := []*payoutsv1.Close{r.Close}, false
	if x.wait {
		if items, late, err = a.awaitClose(ctx, client, tenant, x, items); err != nil {
			return err
		}
	}
	if err := a.showCloses(items); err != nil {
		return err
	}
	if late {
		return errFailed
	}
	return nil
}

// showCloses prints closes.
func (a *app) showCloses(items []*payoutsv1.Close) error {
	list := listing[*payoutsv1.Close]{app: a, columns: closeColumns, encode: func(k *payoutsv1.Close) ([]byte, error) { return jsonOutput.Marshal(k) }}
	for _, k := range items {
		if err := list.add(k); err != nil {
			return err
		}
	}
	return list.end()
}

// toRead says where the exceptions of the newest revisions are told one by one.
func (a *app) toRead(items []*payoutsv1.Close) {
	newest := map[string]*payoutsv1.Close{}
	var providers []string
	for _, k := range items {
		old, known := newest[k.Provider]
		if !known {
			providers = append(providers, k.Provider)
		}
		if !known || k.Revision > old.Revision {
			newest[k.Provider] = k
		}
	}
	for _, name := range providers {
		if k := newest[name]; k.State == "completed" && k.Exceptions > 0 {
			fmt.Fprintf(a.Err, "agogo: %s: see agogo recon report --tenant %s --date %s --provider %s\n", exceptions(int(k.Exceptions)), k.Tenant, k.LocalDate, k.Provider)
		}
	}
}
