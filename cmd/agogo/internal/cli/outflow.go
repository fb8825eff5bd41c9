package cli

import (
	"github.com/spf13/cobra"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

var outflowColumns = []column[*payoutsv1.Outflow]{
	col("tenant", (*payoutsv1.Outflow).GetTenant),
	col("outflow", (*payoutsv1.Outflow).GetState),
	col("reason", (*payoutsv1.Outflow).GetReason),
	col("by", (*payoutsv1.Outflow).GetActor),
	col("since (utc)", func(o *payoutsv1.Outflow) string { return when(o.ChangedAt) }),
}

func (a *app) stopCommand() *cobra.Command {
	var why string
	c := leaf("stop", "Halt a tenant's outflow at once, until 'agogo start'", exactly(), func(c *cobra.Command, _ []string) error {
		return show(a, outflowColumns, func(client payoutsv1.PayoutsServiceClient, tenant string) (*payoutsv1.Outflow, error) {
			return client.StopOutflow(c.Context(), &payoutsv1.StopOutflowRequest{Tenant: tenant, Reason: why})
		})
	}, `agogo stop --tenant lebenis --reason "amounts look wrong"`)
	c.Flags().StringVar(&why, "reason", "", "why (required)")
	_ = c.MarkFlagRequired("reason")
	return c
}

func (a *app) startCommand() *cobra.Command {
	return leaf("start", "Let a stopped tenant's outflow go on", exactly(), func(c *cobra.Command, _ []string) error {
		return show(a, outflowColumns, func(client payoutsv1.PayoutsServiceClient, tenant string) (*payoutsv1.Outflow, error) {
			return client.StartOutflow(c.Context(), &payoutsv1.StartOutflowRequest{Tenant: tenant})
		})
	}, "agogo start --tenant lebenis")
}
