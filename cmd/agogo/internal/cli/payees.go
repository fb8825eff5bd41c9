package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

var payeeColumns = []column[*payoutsv1.Payee]{
	col("id", (*payoutsv1.Payee).GetId),
	col("name", (*payoutsv1.Payee).GetName),
	col("phone", (*payoutsv1.Payee).GetPhone),
	col("provider", (*payoutsv1.Payee).GetProvider),
	col("state", (*payoutsv1.Payee).GetState),
	col("wallet", wallet),
	col("recipient", recipient),
	col("reason", func(y *payoutsv1.Payee) string {
		return strings.TrimSuffix(strings.TrimPrefix(y.PauseReason+": "+y.PauseDetail, ": "), ": ")
	}),
	col("next", (*payoutsv1.Payee).GetNextStep),
}

// wallet says whether the payee's wallet is paid now, or from when on.
func wallet(y *payoutsv1.Payee) string {
	if y.PayableFrom == nil {
		return y.DestinationState
	}
	return y.DestinationState + " until " + when(y.PayableFrom)
}

// recipient is what the provider says of the wallet, up to what amount, for how long it has said no or nothing, and when it is asked next.
func recipient(y *payoutsv1.Payee) string {
	s := y.RecipientState
	if y.RecipientCovers != nil {
		s += " up to " + amount(y.RecipientCovers)
	}
	if y.RecipientCode != "" {
		s += " (" + y.RecipientCode + ")"
	}
	if y.RecipientUnanswered > 0 {
		s += fmt.Sprintf(", asked %d times", y.RecipientUnanswered)
	}
	switch y.RecipientState {
	case "", "verified", "confirmed":
	default:
		s += " since " + when(y.RecipientSince)
	}
	if y.RecipientNextAt != nil {
		s += ", asked next " + when(y.RecipientNextAt)
	}
	return s
}

// changePayee is a verb about one payee that wants a reason.
func (a *app) changePayee(use, short, example string, call func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Payee, error)) *cobra.Command {
	var why string
	c := leaf(use, short, exactly("PAYEE"), func(c *cobra.Command, args []string) error {
		return show(a, payeeColumns, func(client payoutsv1.PayoutsServiceClient, tenant string) (*payoutsv1.Payee, error) {
			return call(c, client, tenant, args[0], why)
		})
	}, example)
	c.Flags().StringVar(&why, "reason", "", "why, for the audit trail (required)")
	_ = c.MarkFlagRequired("reason")
	return c
}

func (a *app) payeePauseCommand() *cobra.Command {
	return a.changePayee("pause PAYEE", "Stop paying a payee; what is approved for them is held", `agogo payees pause drv-01 --reason "says the wallet is stolen"`,
		func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Payee, error) {
			return client.PausePayee(c.Context(), &payoutsv1.PausePayeeRequest{Tenant: tenant, PayeeId: id, Reason: why})
		})
}

func (a *app) payeeResumeCommand() *cobra.Command {
	return a.changePayee("resume PAYEE", "Let a paused payee be paid again; what is held for the pause is released", `agogo payees resume drv-01 --reason "wallet mended"`,
		func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Payee, error) {
			return client.ResumePayee(c.Context(), &payoutsv1.ResumePayeeRequest{Tenant: tenant, PayeeId: id, Reason: why})
		})
}

func (a *app) payeeConfirmCommand() *cobra.Command {
	var ends string
	c := a.changePayee("confirm PAYEE", "Say that a wallet is the payee's that an import has changed, or that its provider does not say yes to; who imported it cannot",
		`agogo payees confirm drv-01 --phone-ends 0177 --reason "called the payee on the old number" --token approver`,
		func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Payee, error) {
			return client.ConfirmPayee(c.Context(), &payoutsv1.ConfirmPayeeRequest{Tenant: tenant, PayeeId: id, Reason: why, PhoneEnds: ends})
		})
	c.Long = `Say that the wallet that an import has put in another one's place is the payee's. Payouts planned to it go when the tenant's
destination_cool_off is over, too. Payouts planned to the wallet before stay held: release each, which sends it to the new one, or
cancel it, and the next run plans it anew.

Where the tenants file has wallets verified (verify_recipients), it is also the word of a person against the provider's no, or silence:
what is held as recipient_mismatch or recipient_unverified goes a moment later. Who imported the wallet or the name cannot give it. A
new wallet or name is asked about anew.`
	c.Flags().StringVar(&ends, "phone-ends", "", "last digits, at least four, of the number that the payee has confirmed (required if the payee has one)")
	return c
}

func (a *app) payeesListCommand() *cobra.Command {
	req := &payoutsv1.ListPayeesRequest{PageSize: 1000}
	c := leaf("list", "List payees, why some are not paid, and what to do", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		req.Tenant = tenant
		return all(a, func(token string) ([]*payoutsv1.Payee, string, error) {
			req.PageToken = token
			r, err := client.ListPayees(c.Context(), req)
			return r.GetItems(), r.GetNextPageToken(), err
		}, payeeColumns...)
	}, "agogo payees list", "agogo payees list --state paused", "agogo payees list --state unconfirmed -o json", "agogo payees list --state unverified")
	c.Flags().StringVar(&req.State, "state", "", "active, paused, unconfirmed: whose wallet waits for a second person, or unverified: of whose wallet the provider has not said that it is theirs, or that it takes the amount; with when it is asked next")
	return c
}
