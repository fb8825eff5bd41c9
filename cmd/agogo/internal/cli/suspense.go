package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/internal/money"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

func (a *app) reconSuspenseCommand() *cobra.Command {
	var provider string
	c := leaf("suspense", "List what is in suspense, newest first: money that moved and that nobody has said whose it is", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		return all(
			a, func(token string) ([]*payoutsv1.Suspended, string, error) {
				r, err := client.ListSuspense(c.Context(), &payoutsv1.ListSuspenseRequest{Tenant: tenant, Provider: provider, PageSize: 1000, PageToken: token})
				return r.GetItems(), r.GetNextPageToken(), err
			},
			col("finding", func(s *payoutsv1.Suspended) string { return s.GetFinding().GetId() }),
			col("found (utc)", func(s *payoutsv1.Suspended) string { return when(s.GetFinding().GetFoundAt()) }),
			col("provider", func(s *payoutsv1.Suspended) string { return s.GetFinding().GetProvider() }),
			col("code", func(s *payoutsv1.Suspended) string { return s.GetFinding().GetCode() }),
			num("in suspense", func(s *payoutsv1.Suspended) string { return amount(s.GetAmount()) }),
			col("reference or line", func(s *payoutsv1.Suspended) string { return s.GetFinding().GetReference() }),
			col("proposed", func(s *payoutsv1.Suspended) string {
				return proposal(s.GetProposedAmount(), s.GetProposedAccount(), s.GetProposedBy())
			}),
			col("reason", (*payoutsv1.Suspended).GetProposedReason),
			col("evidence", (*payoutsv1.Suspended).GetProposedEvidence),
		)
	}, "agogo recon suspense", "agogo recon suspense --provider wave -o json")
	c.Flags().StringVar(&provider, "provider", "", "only of this one")
	return c
}

// proposal is what the first of two people would have done; "" while nobody has said anything.
func proposal(sum *eventsv1.Money, account, by string) string {
	if by == "" {
		return ""
	}
	return amount(sum) + " to " + account + " by " + by
}

// proposed is an outcome that was proposed, with what is to follow: whoever agrees has to say that too.
func proposed(outcome string, again bool, follows string) string {
	if again {
		return outcome + follows
	}
	return outcome
}

// replaced says whose words these take the place of: that person's second finds nothing to agree to any more.
func (a *app) replaced(whose string) {
	if whose != "" {
		fmt.Fprintf(a.Err, "agogo: this replaces what %s proposed in other words; nobody can agree to that any more\n", whose)
	}
}

func (a *app) reconResolveCommand() *cobra.Command {
	req := &payoutsv1.ResolveFindingRequest{}
	var sum, currency string
	c := leaf(
		"resolve FINDING", "Take what is in suspense to the account whose it is; two people are needed", exactly("FINDING"), func(c *cobra.Command, args []string) error {
			if (sum == "") != (currency == "") {
				return usagef("--amount and --currency go together")
			}
			tenant, client, err := forTenant(a, a.payouts)
			if err != nil {
				return err
			}
			req.Tenant, req.Id, req.Currency = tenant, args[0], currency
			if req.AmountMinor, err = signedMinor(sum, currency); err != nil {
				return err
			}
			r, err := client.ResolveFinding(c.Context(), req)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.json(r)
			}
			if !r.Applied {
				a.replaced(r.Replaces)
				fmt.Fprintf(a.Out, "Proposed: %s to %s. Another person now gives the same command with the same words; until then nothing is posted.\n", amount(r.Amount), r.Account)
				return nil
			}
			fmt.Fprintf(a.Out, "Posted: %s to %s. In suspense for it now: %s. It stands in the next report.\n", amount(r.Amount), r.Account, amount(r.Left))
			return nil
		}, `agogo recon resolve 5d0c… --to fees --reason "tariff of 2025" --evidence "Wave's invoice 2025-01" --token approver`,
		`agogo recon resolve 5d0c… --to payable --amount 24000 --currency XOF --reason "it was paid after all" --evidence "ticket 4711"`,
	)
	c.Long = `Say whose the money is that reconciliation put into suspense ('agogo recon suspense' lists it). The first caller proposes, a second actor with
the same words applies: one balanced posting out of suspense, told as recon.resolved, in the audit trail and in the next signed report.
No payment is made or freed by it.

  treasury          the tenant paid it in or took it out: a top-up or withdrawal that nobody booked
  fees              the provider's
  losses            nobody will give it back
  float             the provider gave it back (only where it has no statements: otherwise the close finds it)
  payable           it paid what is owed to the payee: of a contradicted payout, which is never sent again
  payee_receivable  the payee has it and owes it`
	f := c.Flags()
	f.StringVar(&req.To, "to", "", "treasury, fees, losses, float, payable or payee_receivable (required)")
	f.StringVar(&sum, "amount", "", "a part of it, with the sign that it has in suspense (default all that is left)")
	f.StringVar(&currency, "currency", "", "of --amount")
	f.StringVar(&req.Reason, "reason", "", "why, without names: it stands in the signed report (required)")
	f.StringVar(&req.Evidence, "evidence", "", "what shows it (required)")
	for _, name := range []string{"to", "reason", "evidence"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}

// signedMinor reads an amount that may be negative; "" is 0.
func signedMinor(text, currency string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	positive, negative := strings.CutPrefix(text, "-")
	sum, err := money.Parse(positive, money.Currency(currency))
	if err != nil {
		return 0, usagef("--amount: %v", err)
	}
	if sum.Minor == 0 {
		return 0, usagef("--amount is 0: name a part, or leave it out for all that is left")
	}
	if negative {
		return -sum.Minor, nil
	}
	return sum.Minor, nil
}
