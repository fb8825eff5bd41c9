package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
)

var chargeColumns = []column[*recurrencesv1.Charge]{
	col("id", (*recurrencesv1.Charge).GetId),
	col("recurrence", (*recurrencesv1.Charge).GetRecurrenceId),
	col("cycle", (*recurrencesv1.Charge).GetCycle),
	col("state", chargeState),
	num("amount", func(c *recurrencesv1.Charge) string { return amount(c.Amount) }),
	num("attempts", func(c *recurrencesv1.Charge) string { return strconv.Itoa(len(c.Attempts)) }),
	col("retry on", (*recurrencesv1.Charge).GetRetryOn),
	col("reason", reason[*recurrencesv1.Charge]),
}

// chargeState adds to the state what it does not say by itself.
func chargeState(c *recurrencesv1.Charge) string {
	switch {
	case c.Contradicted:
		return c.State + ", contradicted"
	case c.Waiting:
		return c.State + ", to be sent"
	}
	return c.State
}

// chargeDetail is what `charges get` adds to the row.
var chargeDetail = append(chargeColumns[:len(chargeColumns):len(chargeColumns)],
	col("charge date", (*recurrencesv1.Charge).GetChargeDate),
	col("customer", (*recurrencesv1.Charge).GetCustomerId),
	col("seller", (*recurrencesv1.Charge).GetSellerId),
	col("gateway", (*recurrencesv1.Charge).GetGateway),
	col("card id", (*recurrencesv1.Charge).GetCardId),
	col("run", (*recurrencesv1.Charge).GetRunId),
	col("fee", func(c *recurrencesv1.Charge) string { return amount(c.Fee) }),
	col("refunded", func(c *recurrencesv1.Charge) string { return amount(c.Refunded) }),
	col("disputed", func(c *recurrencesv1.Charge) string {
		if c.ChargedBack == nil {
			return amount(c.Disputed)
		}
		return amount(c.Disputed) + ", of which " + amount(c.ChargedBack) + " is lost"
	}),
	many("taken back", func(c *recurrencesv1.Charge) []string {
		lines := make([]string, 0, len(c.Reversals))
		for _, r := range c.Reversals {
			lines = append(lines, reversalLine(r))
		}
		return lines
	}),
	col("declined", func(c *recurrencesv1.Charge) string {
		if c.Tries == 0 {
			return ""
		}
		return fmt.Sprintf("%d times, first tried on %s, last on %s", c.Tries, c.FirstAttemptDate, c.LastAttemptDate)
	}),
	col("proposal", func(c *recurrencesv1.Charge) string {
		if c.Proposal == nil {
			return ""
		}
		return fmt.Sprintf("%s by %s at %s: %s", proposed(c.Proposal.Outcome, c.Proposal.ChargeAgain, ", charge again"), c.Proposal.Actor, when(c.Proposal.ProposedAt), c.Proposal.Evidence)
	}),
	many("history", func(c *recurrencesv1.Charge) []string {
		lines := make([]string, 0, len(c.Attempts))
		for _, t := range c.Attempts {
			lines = append(lines, fmt.Sprintf("attempt %d %s, reference %s, lookups %d", t.Number,
				strings.Join(strings.Fields(t.State+" "+t.Class+" "+t.Code), " "), t.ProviderReference, t.Lookups))
		}
		return lines
	}),
)

// reversalLine tells of a refund, or of a dispute with what settles it.
func reversalLine(r *recurrencesv1.Reversal) string {
	if r.Kind == "refund" {
		return fmt.Sprintf("refund of %s at %s", amount(r.Amount), when(r.CreatedAt))
	}
	return fmt.Sprintf("dispute of %s at %s, case %s, %s, id %s", amount(r.Amount), when(r.CreatedAt), r.CaseNumber, r.State, r.Id)
}

func (a *app) chargesCommand() *cobra.Command {
	get := leaf("get ID", "Show one charge with its attempts", exactly("ID"), func(c *cobra.Command, args []string) error {
		return showOf(a, a.recurrences, chargeDetail, func(client recurrencesClient, tenant string) (*recurrencesv1.Charge, error) {
			return client.GetCharge(c.Context(), &recurrencesv1.GetChargeRequest{Tenant: tenant, Id: args[0]})
		})
	}, "agogo charges get 0b1c…")
	var why string
	cancel := leaf("cancel ID", "Give up a charge that is not sent and not paid", exactly("ID"), func(c *cobra.Command, args []string) error {
		return showOf(a, a.recurrences, chargeDetail, func(client recurrencesClient, tenant string) (*recurrencesv1.Charge, error) {
			return client.CancelCharge(c.Context(), &recurrencesv1.CancelChargeRequest{Tenant: tenant, Id: args[0], Reason: why})
		})
	}, `agogo charges cancel 0b1c… --reason "goodwill"`)
	needsReason(cancel, &why)
	return noun("charges", "What is taken from customers, cycle by cycle", a.listChargesCommand(), get, a.chargeCommand(), cancel, a.resolveChargeCommand(),
		a.refreshChargeCommand(), a.settleDisputeCommand(), a.chargesSuspenseCommand(), a.settleSuspenseCommand())
}

func (a *app) refreshChargeCommand() *cobra.Command {
	var why string
	c := leaf("refresh ID", "Have the gateway asked again about a charge, also a closed one", exactly("ID"), func(c *cobra.Command, args []string) error {
		return showOf(a, a.recurrences, chargeDetail, func(client recurrencesClient, tenant string) (*recurrencesv1.Charge, error) {
			return client.RefreshCharge(c.Context(), &recurrencesv1.RefreshChargeRequest{Tenant: tenant, Id: args[0], Reason: why})
		})
	}, `agogo charges refresh 0b1c… --reason "the seller refunded it in the portal"`)
	c.Long = `Have the gateway asked again about every attempt of a charge. Refunds and disputes of a charge that succeeded come by webhook;
this finds those whose webhook was lost. The answer comes before the gateway's: look at the charge a moment later.`
	needsReason(c, &why)
	return c
}

func (a *app) settleDisputeCommand() *cobra.Command {
	req := &recurrencesv1.SettleDisputeRequest{}
	c := leaf("settle-dispute DISPUTE", "Book how a dispute of a charge ended", exactly("DISPUTE"), func(c *cobra.Command, args []string) error {
		return showOf(a, a.recurrences, chargeDetail, func(client recurrencesClient, tenant string) (*recurrencesv1.Charge, error) {
			req.Tenant, req.Id = tenant, args[0]
			return client.SettleDispute(c.Context(), req)
		})
	}, `agogo charges settle-dispute 7c1e… --outcome won --evidence "Cielo's letter of 3 Dec, case 123456" --token approver`)
	c.Long = `Book how an open dispute ended; 'agogo charges get' shows its id. won: the gateway gives the money back. lost: the seller bears it.
What is decided stays so. Only approvers may.`
	f := c.Flags()
	f.StringVar(&req.Outcome, "outcome", "", "won or lost (required)")
	f.StringVar(&req.Evidence, "evidence", "", "what proves it (required)")
	_ = c.MarkFlagRequired("outcome")
	_ = c.MarkFlagRequired("evidence")
	return c
}

func (a *app) listChargesCommand() *cobra.Command {
	req := &recurrencesv1.ListChargesRequest{PageSize: 1000}
	c := leaf("list", "List charges, newest cycle first", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.recurrences)
		if err != nil {
			return err
		}
		req.Tenant = tenant
		return all(a, func(token string) ([]*recurrencesv1.Charge, string, error) {
			req.PageToken = token
			r, err := client.ListCharges(c.Context(), req)
			return r.GetItems(), r.GetNextPageToken(), err
		}, chargeColumns...)
	},
		"agogo charges list --run wallclub/recurrences/charge-due@2025-10-30T11:00:00Z",
		"agogo charges list --state unknown,manual_review -o json",
		"agogo charges list --recurrence rec-024")
	f := c.Flags()
	f.StringSliceVar(&req.States, "state", nil, "in these states")
	f.StringVar(&req.RecurrenceId, "recurrence", "", "of this recurrence")
	f.StringVar(&req.RunId, "run", "", "that this run made, sent or is to send (run id or tick id)")
	f.StringVar(&req.Cycle, "cycle", "", "of the cycle with this nominal date, YYYY-MM-DD")
	return c
}

func (a *app) chargeCommand() *cobra.Command {
	req := &recurrencesv1.ChargeNowRequest{}
	one := func(c *cobra.Command, args []string) error {
		missed := req.RecurrenceId != "" && req.Cycle != ""
		if len(args) > 1 || (len(args) == 1) == missed || len(args) == 1 && (req.RecurrenceId != "" || req.Cycle != "") {
			return usagef("%s wants the ID of a charge, or --recurrence and --cycle of a missed cycle\nTry '%s --help'", c.CommandPath(), c.CommandPath())
		}
		return nil
	}
	c := leaf("charge [ID]", "Charge now: what was declined, or a missed cycle", one, func(c *cobra.Command, args []string) error {
		if len(args) == 1 {
			req.ChargeId = args[0]
		}
		return showOf(a, a.recurrences, chargeDetail, func(client recurrencesClient, tenant string) (*recurrencesv1.Charge, error) {
			req.Tenant = tenant
			return client.ChargeNow(c.Context(), req)
		})
	},
		`agogo charges charge 0b1c… --reason "the customer has asked for it"`,
		`agogo charges charge --recurrence rec-042 --cycle 2025-04-13 --reason "agreed with the customer"`)
	c.Long = `Charge now. With an ID: a charge that is due or was declined, whatever day its next retry is on. With --recurrence and
--cycle: a cycle that was too late to be charged by itself ('agogo recurrences get' lists them). The answer comes before the
gateway's: look at the charge a moment later.`
	c.Flags().StringVar(&req.RecurrenceId, "recurrence", "", "recurrence of a missed cycle")
	c.Flags().StringVar(&req.Cycle, "cycle", "", "nominal date of the missed cycle, YYYY-MM-DD")
	needsReason(c, &req.Reason)
	return c
}

func (a *app) resolveChargeCommand() *cobra.Command {
	req := &recurrencesv1.ResolveChargeRequest{}
	c := leaf("resolve ID", "Decide a charge in manual review; two people are needed", exactly("ID"), func(c *cobra.Command, args []string) error {
		tenant, client, err := forTenant(a, a.recurrences)
		if err != nil {
			return err
		}
		if err := a.checkOutput(); err != nil {
			return err
		}
		req.Tenant, req.Id = tenant, args[0]
		r, err := client.ResolveCharge(c.Context(), req)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.json(r)
		}
		if !r.Applied {
			a.replaced(r.Replaces)
			fmt.Fprintln(a.Out, "Proposed. Another person now gives the same command with the same words; until then nothing changes.")
		}
		return one(a, r.Charge, chargeDetail...)
	}, `agogo charges resolve 0b1c… --outcome not_paid --evidence "Cielo's statement of 30 Oct, no such sale" --token approver`)
	c.Long = `Decide a charge in manual review. The first caller proposes, a second actor with the same words applies.
paid: it succeeded. not_paid: it was declined and goes on with its retries; with --charge-again a new attempt with a new
reference follows at once. not_paid is refused unless a lookup made after the proposal found nothing or FAILED.`
	f := c.Flags()
	f.StringVar(&req.Outcome, "outcome", "", "paid or not_paid (required)")
	f.BoolVar(&req.ChargeAgain, "charge-again", false, "with not_paid: charge by a new attempt at once")
	f.StringVar(&req.Evidence, "evidence", "", "what proves it (required)")
	_ = c.MarkFlagRequired("outcome")
	_ = c.MarkFlagRequired("evidence")
	return c
}

var gatewayColumns = []column[*recurrencesv1.Gateway]{
	col("gateway", (*recurrencesv1.Gateway).GetName),
	col("kind", (*recurrencesv1.Gateway).GetKind),
	col("state", (*recurrencesv1.Gateway).GetState),
	col("reason", reason[*recurrencesv1.Gateway]),
	col("since (utc)", func(g *recurrencesv1.Gateway) string { return when(g.ChangedAt) }),
}

func (a *app) gatewaysCommand() *cobra.Command {
	list := leaf("list", "List a tenant's gateways and whether charges go through them", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.recurrences)
		if err != nil {
			return err
		}
		return all(a, func(string) ([]*recurrencesv1.Gateway, string, error) {
			r, err := client.ListGateways(c.Context(), &recurrencesv1.ListGatewaysRequest{Tenant: tenant})
			return r.GetItems(), "", err
		}, gatewayColumns...)
	}, "agogo gateways list --tenant wallclub")
	var why string
	resume := leaf("resume GATEWAY", "Open a gateway that a fault had stopped, once its cause is gone", exactly("GATEWAY"), func(c *cobra.Command, args []string) error {
		return showOf(a, a.recurrences, gatewayColumns, func(client recurrencesClient, tenant string) (*recurrencesv1.Gateway, error) {
			return client.ResumeGateway(c.Context(), &recurrencesv1.ResumeGatewayRequest{Tenant: tenant, Gateway: args[0], Reason: why})
		})
	}, `agogo gateways resume cielo --reason "the merchant key was renewed"`)
	needsReason(resume, &why)
	return noun("gateways", "What charges go through", list, resume)
}
