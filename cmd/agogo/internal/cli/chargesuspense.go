package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
)

func (a *app) chargesSuspenseCommand() *cobra.Command {
	return leaf("suspense", "List what is in suspense of charges, newest first: money that a gateway moved and that nobody has said whose it is", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.recurrences)
		if err != nil {
			return err
		}
		return all(
			a, func(token string) ([]*recurrencesv1.Suspended, string, error) {
				r, err := client.ListSuspense(c.Context(), &recurrencesv1.ListSuspenseRequest{Tenant: tenant, PageSize: 1000, PageToken: token})
				return r.GetItems(), r.GetNextPageToken(), err
			},
			col("finding", (*recurrencesv1.Suspended).GetFindingId),
			col("found (utc)", func(s *recurrencesv1.Suspended) string { return when(s.GetFoundAt()) }),
			col("gateway", (*recurrencesv1.Suspended).GetGateway),
			col("code", (*recurrencesv1.Suspended).GetCode),
			num("in suspense", func(s *recurrencesv1.Suspended) string { return amount(s.GetAmount()) }),
			col("charge", (*recurrencesv1.Suspended).GetChargeId),
			col("proposed", func(s *recurrencesv1.Suspended) string {
				return proposal(s.GetProposedAmount(), s.GetProposedAccount(), s.GetProposedBy())
			}),
			col("reason", (*recurrencesv1.Suspended).GetProposedReason),
			col("evidence", (*recurrencesv1.Suspended).GetProposedEvidence),
		)
	}, "agogo charges suspense --tenant wallclub", "agogo charges suspense -o json")
}

func (a *app) settleSuspenseCommand() *cobra.Command {
	req := &recurrencesv1.ResolveFindingRequest{}
	var sum, currency string
	c := leaf(
		"settle-suspense FINDING", "Take what is in suspense of a charge to the account whose it is; two people are needed", exactly("FINDING"), func(c *cobra.Command, args []string) error {
			if (sum == "") != (currency == "") {
				return usagef("--amount and --currency go together")
			}
			tenant, client, err := forTenant(a, a.recurrences)
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
			fmt.Fprintf(a.Out, "Posted: %s to %s. In suspense for it now: %s.\n", amount(r.Amount), r.Account, amount(r.Left))
			return nil
		}, `agogo charges settle-suspense 5d0c… --to seller_payable --reason "the customer keeps it paid" --evidence "ticket 4711" --token approver`,
		`agogo charges settle-suspense 5d0c… --to gateway_receivable --amount -10.00 --currency BRL --reason "refunded in the portal" --evidence "Cielo, 3 Dec"`,
	)
	c.Long = `Say whose the money is that a gateway moved beyond the books ('agogo charges suspense' lists it, with the sign that it has there: what it
charged beyond them is negative, what it took back beyond them positive). The first caller proposes, a second actor with the same words applies:
one balanced posting out of suspense, told as recon.resolved, and in the audit trail. Nothing is charged or given back by it.

  seller_payable      the seller's: it paid a charge that is never charged again, or they bear what was taken back
  gateway_receivable  the gateway gave it back to the customer, or has taken back what it still owes
  treasury            the tenant gave it back to the customer, or got it, by other means
  fees                the gateway's
  losses              nobody will give it back`
	f := c.Flags()
	f.StringVar(&req.To, "to", "", "seller_payable, gateway_receivable, treasury, fees or losses (required)")
	f.StringVar(&sum, "amount", "", "a part of it, with the sign that it has in suspense (default all that is left)")
	f.StringVar(&currency, "currency", "", "of --amount")
	f.StringVar(&req.Reason, "reason", "", "why, without names (required)")
	f.StringVar(&req.Evidence, "evidence", "", "what shows it (required)")
	for _, name := range []string{"to", "reason", "evidence"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}
