package cli

import (
	"github.com/spf13/cobra"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

var providerColumns = []column[*payoutsv1.Provider]{
	col("provider", (*payoutsv1.Provider).GetName),
	col("kind", (*payoutsv1.Provider).GetKind),
	col("state", (*payoutsv1.Provider).GetState),
	col("reason", reason[*payoutsv1.Provider]),
	col("since (utc)", func(p *payoutsv1.Provider) string { return when(p.ChangedAt) }),
	col("rests until (utc)", func(p *payoutsv1.Provider) string { return when(p.RestsUntil) }),
	col("rests for", (*payoutsv1.Provider).GetRestCode),
}

func (a *app) providersCommand() *cobra.Command {
	list := leaf("list", "List a tenant's providers and whether payouts go through them", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		return all(a, func(string) ([]*payoutsv1.Provider, string, error) {
			r, err := client.ListProviders(c.Context(), &payoutsv1.ListProvidersRequest{Tenant: tenant})
			return r.GetItems(), "", err
		}, providerColumns...)
	}, "agogo providers list --tenant lebenis", "agogo providers list -o json")
	list.Long = `List the providers that pay a tenant's payees. One that is stopped has refused us rather than a payment, and nothing goes through it: mend what its
reason names, then let it go on with 'agogo providers resume PROVIDER'. One that is degraded did not answer readably several times in a row; it is
tried slowly, and opens with its first answer. One that rests is left alone until then.`
	var why string
	resume := leaf("resume PROVIDER", "Open a provider that a fault had stopped, once its cause is gone", exactly("PROVIDER"), func(c *cobra.Command, args []string) error {
		return showOf(a, a.payouts, providerColumns, func(client payoutsv1.PayoutsServiceClient, tenant string) (*payoutsv1.Provider, error) {
			return client.ResumeProvider(c.Context(), &payoutsv1.ResumeProviderRequest{Tenant: tenant, Provider: args[0], Reason: why})
		})
	}, `agogo providers resume orange --reason "the subscription was renewed"`)
	resume.Long = `Open a provider that a fault had stopped, and no other one: 'agogo start' opens all that are stopped of a tenant. What is held for it is released by
itself then. Of a provider with a PIN this is one more try of the PIN that is configured.`
	needsReason(resume, &why)
	return noun("providers", "What payouts go through", list, resume)
}
