package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/internal/visible"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

var batchDetail = append(batchColumns[:len(batchColumns):len(batchColumns)], many("approvals", func(b *payoutsv1.Batch) []string {
	has := int32(0)
	for _, w := range b.Words {
		if w.Word == "approved" {
			has++
		}
	}
	expires := b.ApprovalExpiresAt
	if b.State != "awaiting_approval" { // nobody is waited for
		expires = nil
	}
	return approvals(has, b.ApprovalsNeeded, expires, b.Words)
}))

var batchColumns = []column[*payoutsv1.Batch]{
	col("id", (*payoutsv1.Batch).GetId),
	col("period", (*payoutsv1.Batch).GetPeriodDate),
	col("state", (*payoutsv1.Batch).GetState),
	col("control", (*payoutsv1.Batch).GetControl),
	num("net", func(b *payoutsv1.Batch) string { return amount(b.Net) }),
	col("counts", func(b *payoutsv1.Batch) string { return counts(b.Counts) }),
	col("reason", (*payoutsv1.Batch).GetControlReason),
}

func (a *app) batchesCommand() *cobra.Command {
	list := leaf("list", "List batches, newest first", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		return all(a, func(token string) ([]*payoutsv1.Batch, string, error) {
			r, err := client.ListBatches(c.Context(), &payoutsv1.ListBatchesRequest{Tenant: tenant, PageSize: 1000, PageToken: token})
			return r.GetItems(), r.GetNextPageToken(), err
		}, batchColumns...)
	}, "agogo batches list")
	get := leaf("get ID", "Show one batch", exactly("ID"), func(c *cobra.Command, args []string) error {
		return show(a, batchDetail, func(client payoutsv1.PayoutsServiceClient, tenant string) (*payoutsv1.Batch, error) {
			return client.GetBatch(c.Context(), &payoutsv1.GetBatchRequest{Tenant: tenant, Id: args[0]})
		})
	}, "agogo batches get 0b1c…")
	var why string
	pause := leaf("pause ID", "Send nothing more of a batch", exactly("ID"), func(c *cobra.Command, args []string) error {
		return show(a, batchColumns, func(client payoutsv1.PayoutsServiceClient, tenant string) (*payoutsv1.Batch, error) {
			return client.PauseBatch(c.Context(), &payoutsv1.PauseBatchRequest{Tenant: tenant, Id: args[0], Reason: why})
		})
	}, `agogo batches pause 0b1c… --reason "wrong tariff"`)
	pause.Flags().StringVar(&why, "reason", "", "why (required)")
	_ = pause.MarkFlagRequired("reason")
	resume := leaf("resume ID", "Go on with a paused batch", exactly("ID"), func(c *cobra.Command, args []string) error {
		return show(a, batchColumns, func(client payoutsv1.PayoutsServiceClient, tenant string) (*payoutsv1.Batch, error) {
			return client.ResumeBatch(c.Context(), &payoutsv1.ResumeBatchRequest{Tenant: tenant, Id: args[0]})
		})
	}, "agogo batches resume 0b1c…")
	return noun("batches", "What one run planned", list, get, pause, resume, a.approveBatchCommand(), a.rejectBatchCommand(), a.retryFailedCommand(), a.releaseRefusedCommand())
}

func (a *app) approveBatchCommand() *cobra.Command {
	var why string
	c := leaf("approve ID", "Approve a batch that waits for it, and every payout of it that waits", exactly("ID"), func(c *cobra.Command, args []string) error {
		if err := a.checkOutput(); err != nil {
			return err
		}
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		r, err := client.ApproveBatch(c.Context(), &payoutsv1.ApproveBatchRequest{Tenant: tenant, Id: args[0], Reason: why})
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.json(r)
		}
		fmt.Fprintf(a.Out, "Payouts approved: %d; waiting for another approver: %d; not yours to approve: %d.\n", r.Approved, r.Waiting, r.LeftToOthers)
		return one(a, r.Batch, batchDetail...)
	}, `agogo batches approve 0b1c… --reason "sum agrees with the invoice list" --token approver`)
	c.Long = `Approve a batch whose sum reaches a batch tier, and every payout of it that waits for approval on its own. Payouts that you
asked for, or whose payments you imported, are left to others and counted.`
	c.Flags().StringVar(&why, "reason", "", "why, for the audit trail (required)")
	_ = c.MarkFlagRequired("reason")
	return c
}

func (a *app) retryFailedCommand() *cobra.Command {
	var why string
	c := leaf("retry-failed ID", "Try again what of a batch has failed, and nothing else", exactly("ID"), func(c *cobra.Command, args []string) error {
		if err := a.checkOutput(); err != nil {
			return err
		}
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		r, err := client.RetryFailed(c.Context(), &payoutsv1.RetryFailedRequest{Tenant: tenant, Id: args[0], Reason: why})
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.json(r)
		}
		fmt.Fprintf(a.Out, "Tried again: %d; not yet on their way, held or waiting for approval: %d. Left: %d paid otherwise or refunded, %d in doubt, %d above today's caps.\n",
			r.Retried, r.Waiting, r.ItemsTaken, r.InDoubt, r.OverCap)
		if r.Batch.GetControl() == "paused" {
			fmt.Fprintf(a.Out, "The batch is paused, and nothing of it is sent before: agogo batches resume %s\n", args[0])
		}
		return one(a, r.Batch, batchDetail...)
	}, `agogo batches retry-failed 0b1c… --reason "the provider was down"`)
	c.Long = `Approve again what of a batch has failed, each payout with all its payments or not at all. Left as they are: payouts whose
payments another payout has taken or that were refunded, those whose failure the provider contradicts or is being asked about, and
those above today's caps.`
	c.Flags().StringVar(&why, "reason", "", "why, for the audit trail (required)")
	_ = c.MarkFlagRequired("reason")
	return c
}

func (a *app) releaseRefusedCommand() *cobra.Command {
	req := &payoutsv1.ReleaseRefusedRequest{}
	c := leaf("release-refused ID", "Let go what of a batch is held as refused_often, and nothing else", exactly("ID"), func(c *cobra.Command, args []string) error {
		if err := a.checkOutput(); err != nil {
			return err
		}
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		req.Tenant, req.Id = tenant, args[0]
		r, err := client.ReleaseRefused(c.Context(), req)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.json(r)
		}
		a.printReleased(r, tenant, req.DryRun)
		return one(a, r.Batch, batchDetail...)
	}, `agogo batches release-refused 0b1c… --dry-run --reason "the float is there"`, `agogo batches release-refused 0b1c… --provider wave --reason "the float is there"`)
	c.Long = `Let go what of a batch its provider has refused so often that a person has to say when it goes again, mostly for want of float. Each payout goes
once more, under the reference that was refused, as after agogo payouts release: refused again, it is held again. Left as they are: those that the
provider contradicts and those above today's caps. A sum that needs an approval waits for it, and whoever gives this command cannot approve it.
Whatever holds a payout besides, its payee or wallet say, holds it again before it is sent.`
	c.Flags().StringVar(&req.Provider, "provider", "", "only what goes through this one (default all)")
	c.Flags().BoolVar(&req.DryRun, "dry-run", false, "say what would come of it, and change nothing")
	needsReason(c, &req.Reason)
	return c
}

// printReleased says what a word about all that was refused often came to, or would come to.
func (a *app) printReleased(r *payoutsv1.ReleaseRefusedResponse, tenant string, dry bool) {
	verb := "Released"
	if dry {
		verb = "Nothing was changed. Would be released"
	}
	fmt.Fprintf(a.Out, "%s: %d; waiting for approval first: %d. Left held: %d contradicted, %d above today's caps.\n", verb, r.Released, r.Waiting, r.Contradicted, r.OverCap)
	for _, l := range r.Left {
		fmt.Fprintf(a.Out, "  left: %s of %s: %s\n", l.PayoutId, visible.Text(l.PayeeId), l.Code)
	}
	if more := int(r.Contradicted+r.OverCap) - len(r.Left); more > 0 {
		fmt.Fprintf(a.Out, "  and %d more: agogo payouts list --run %s --state held --tenant %s\n", more, r.Batch.GetRunId(), tenant)
	}
	if r.Batch.GetControl() == "paused" {
		fmt.Fprintf(a.Out, "The batch is paused, and nothing of it is sent before: agogo batches resume %s --tenant %s\n", r.Batch.GetId(), tenant)
	}
}

func (a *app) rejectBatchCommand() *cobra.Command {
	var why string
	c := leaf("reject ID", "Reject what of a batch waits for approval, and free its payments", exactly("ID"), func(c *cobra.Command, args []string) error {
		if err := a.checkOutput(); err != nil {
			return err
		}
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		r, err := client.RejectBatch(c.Context(), &payoutsv1.RejectBatchRequest{Tenant: tenant, Id: args[0], Reason: why})
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.json(r)
		}
		fmt.Fprintf(a.Out, "Payouts rejected: %d; left because they may have been paid before: %d.\n", r.Rejected, r.LeftInDoubt)
		return one(a, r.Batch, batchDetail...)
	}, `agogo batches reject 0b1c… --reason "imported twice under other ids" --token approver`)
	c.Long = `Reject what of a batch waits for approval. A batch that waits as a whole ends with it: nothing of it was sent, and all its
payments are free for another run.`
	c.Flags().StringVar(&why, "reason", "", "why, for the audit trail (required)")
	_ = c.MarkFlagRequired("reason")
	return c
}
