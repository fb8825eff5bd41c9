package cli

import (
	"github.com/spf13/cobra"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

func (a *app) tenantsCommand() *cobra.Command {
	list := leaf("list", "List tenants: mode, and whether the outflow is stopped", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, err := a.anyTenant()
		if err != nil {
			return err
		}
		client, err := a.payouts()
		if err != nil {
			return err
		}
		return all(a, func(string) ([]*payoutsv1.Tenant, string, error) {
			r, err := client.ListTenants(c.Context(), &payoutsv1.ListTenantsRequest{Tenant: tenant})
			return r.GetItems(), "", err
		},
			col("tenant", (*payoutsv1.Tenant).GetId),
			col("mode", (*payoutsv1.Tenant).GetMode),
			col("currency", (*payoutsv1.Tenant).GetCurrency),
			col("timezone", (*payoutsv1.Tenant).GetTimezone),
			col("outflow", func(t *payoutsv1.Tenant) string { return t.GetOutflow().GetState() }),
			col("reason", func(t *payoutsv1.Tenant) string { return t.GetOutflow().GetReason() }),
			col("by", func(t *payoutsv1.Tenant) string { return t.GetOutflow().GetActor() }),
			col("since (utc)", func(t *payoutsv1.Tenant) string { return when(t.GetOutflow().GetChangedAt()) }))
	}, "agogo tenants list", "agogo tenants list -o json")
	return noun("tenants", "Whom this installation serves", list)
}
