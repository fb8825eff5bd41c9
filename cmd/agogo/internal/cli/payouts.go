package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

var payoutColumns = []column[*payoutsv1.Payout]{
	col("id", (*payoutsv1.Payout).GetId),
	col("payee", (*payoutsv1.Payout).GetPayeeId),
	col("period", (*payoutsv1.Payout).GetPeriodDate),
	col("state", (*payoutsv1.Payout).GetState),
	num("net", func(p *payoutsv1.Payout) string { return amount(p.Net) }),
	num("items", func(p *payoutsv1.Payout) string { return strconv.Itoa(int(p.ItemCount)) }),
	num("attempts", func(p *payoutsv1.Payout) string { return strconv.Itoa(len(p.Attempts)) }),
	col("reason", func(p *payoutsv1.Payout) string {
		return strings.Join(slices.DeleteFunc([]string{reason(p), waitsFor(p)}, blank), "; ")
	}),
}

// reason says why something is in its state.
func reason[T interface{ GetReason() *eventsv1.Reason }](m T) string {
	r := m.GetReason()
	return strings.Join(strings.Fields(strings.Join([]string{r.GetScope(), r.GetCode(), r.GetProviderCode()}, " ")), " ")
}

// payoutDetail is what `payouts get` adds to the row.
var payoutDetail = append(payoutColumns[:len(payoutColumns):len(payoutColumns)],
	col("name", (*payoutsv1.Payout).GetPayeeName),
	col("provider", (*payoutsv1.Payout).GetProvider),
	col("run", (*payoutsv1.Payout).GetRunId),
	col("batch", (*payoutsv1.Payout).GetBatchId),
	col("gross", func(p *payoutsv1.Payout) string { return amount(p.Gross) }),
	col("commission", func(p *payoutsv1.Payout) string { return amount(p.Commission) }),
	col("fee", func(p *payoutsv1.Payout) string { return amount(p.Fee) }),
	many("approvals", func(p *payoutsv1.Payout) []string {
		return approvals(p.Approvals, p.ApprovalsNeeded, p.ApprovalExpiresAt, p.Words)
	}),
	col("held for", heldFor),
	col("goes on", goesOn),
	col("proposal", func(p *payoutsv1.Payout) string {
		if p.Proposal == nil {
			return ""
		}
		return fmt.Sprintf("%s by %s at %s: %s", proposed(p.Proposal.Outcome, p.Proposal.PayAgain, ", pay again"), p.Proposal.Actor, when(p.Proposal.ProposedAt), p.Proposal.Evidence)
	}),
	many("history", func(p *payoutsv1.Payout) []string {
		lines := make([]string, 0, len(p.Attempts))
		for _, t := range p.Attempts {
			what := strings.Join(strings.Fields(strings.Join([]string{t.State, t.Class, t.Code}, " ")), " ")
			lines = append(lines, fmt.Sprintf("attempt %d %s, reference %s, lookups %d", t.Number, what, t.ProviderReference, t.Lookups))
		}
		return lines
	}),
)

// heldFor is what held a payout that was taken over after a restore, and will hold its next try.
func heldFor(p *payoutsv1.Payout) string {
	if p.GetHeldFor() == "" {
		return ""
	}
	return p.GetHeldFor() + " before it was taken over after a restore; another try is held for it again"
}

func blank(s string) bool { return s == "" }

// waitsFor is why what is to be sent is not sent now.
func waitsFor(p *payoutsv1.Payout) string {
	switch {
	case p.GetWaitsFor() == "":
		return ""
	case p.GetWaitsUntil() != nil:
		return "waits for " + p.GetWaitsFor() + ", until " + when(p.GetWaitsUntil())
	default:
		return "waits for " + p.GetWaitsFor()
	}
}

// goesOn is what has what waits go on; "" where nobody has to do anything.
func goesOn(p *payoutsv1.Payout) string {
	of := " --tenant " + p.GetTenant()
	switch p.GetWaitsFor() {
	case "batch_paused":
		return "agogo batches resume " + p.GetBatchId() + of + ", once what paused it is mended: agogo batches get " + p.GetBatchId() + of
	case "batch_approval":
		return "agogo batches approve " + p.GetBatchId() + " --reason TEXT" + of + ", by whoever may"
	case "tenant_stop":
		return "agogo start" + of
	case "provider_stopped":
		return "agogo providers resume " + p.GetProvider() + " --reason TEXT" + of + ", once what it refuses is mended: agogo providers list" + of
	case "provider_resting":
		return "by itself, when its provider has rested: agogo providers list" + of
	case "insufficient_float":
		return "agogo float list" + of + " says what is wanting; it is held for it at once, and goes by itself when it is there"
	case "contradicted":
		return "never: its provider says that it was paid: agogo recon list" + of
	case "run_cancelled":
		return "never: its run was cancelled, and it ends by itself"
	case "asked_since_restore":
		return "by itself, when its provider has said that it was not sent before the restore: agogo restore list"
	case "asked_about":
		return "by itself, when its provider has said what became of its attempt: agogo schedules trigger " + p.GetTenant() + "/payouts/check-pending --wait has it asked now"
	default:
		return ""
	}
}

func (a *app) payoutsCommand() *cobra.Command {
	get := leaf("get ID", "Show one payout with its attempts", exactly("ID"), func(c *cobra.Command, args []string) error {
		return show(a, payoutDetail, func(client payoutsv1.PayoutsServiceClient, tenant string) (*payoutsv1.Payout, error) {
			return client.GetPayout(c.Context(), &payoutsv1.GetPayoutRequest{Tenant: tenant, Id: args[0]})
		})
	}, "agogo payouts get 0b1c…")
	retry := a.operate("retry ID", "Approve a failed payout again, after re-claiming all its payments", func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Payout, error) {
		return client.RetryPayout(c.Context(), &payoutsv1.RetryPayoutRequest{Tenant: tenant, Id: id, Reason: why})
	})
	hold := a.operate("hold ID", "Keep a payout from being sent", func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Payout, error) {
		return client.HoldPayout(c.Context(), &payoutsv1.HoldPayoutRequest{Tenant: tenant, Id: id, Reason: why})
	})
	release := a.operate("release ID", "Let a payout go that a person held", func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Payout, error) {
		p, err := client.ReleasePayout(c.Context(), &payoutsv1.ReleasePayoutRequest{Tenant: tenant, Id: id, Reason: why})
		if err == nil && p.State == "held" { // by the word that was given, another provider did not pay it before a restore
			fmt.Fprintf(a.Err, "agogo: it stays held: agogo payouts cancel %s --reason TEXT --tenant %s ends it, agogo payouts release %[1]s --reason TEXT --tenant %[2]s, given again, lets it go\n", id, tenant)
		}
		return p, err
	})
	cancel := a.operate("cancel ID", "Cancel a payout that was not sent and free its payments", func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Payout, error) {
		return client.CancelPayout(c.Context(), &payoutsv1.CancelPayoutRequest{Tenant: tenant, Id: id, Reason: why})
	})
	reverse := a.operate("reverse ID", "Ask the provider to take a paid payout back; it is reversed once a lookup shows it", func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Payout, error) {
		p, err := client.ReversePayout(c.Context(), &payoutsv1.ReversePayoutRequest{Tenant: tenant, Id: id, Reason: why})
		if err == nil && p.State != "reversed" { // its state says nothing of it before the lookup does
			fmt.Fprintf(a.Err, "agogo: the provider was asked to take it back; it is reversed once a lookup shows it: agogo payouts get %s --tenant %s\n", id, tenant)
		}
		return p, err
	})
	approve := a.operate("approve ID", "Approve a payout that waits for it; who asked for it cannot", func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Payout, error) {
		return client.ApprovePayout(c.Context(), &payoutsv1.ApprovePayoutRequest{Tenant: tenant, Id: id, Reason: why})
	})
	reject := a.operate("reject ID", "Reject a payout that waits for approval and free its payments", func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Payout, error) {
		return client.RejectPayout(c.Context(), &payoutsv1.RejectPayoutRequest{Tenant: tenant, Id: id, Reason: why})
	})
	return noun("payouts", "Transfers to payees", a.listPayoutsCommand(), get, a.previewCommand(), approve, reject, retry, hold, release, cancel, reverse, a.resolveCommand())
}

// show prints what the payouts service answers about something of one tenant.
func show[T proto.Message](a *app, columns []column[T], call func(payoutsv1.PayoutsServiceClient, string) (T, error)) error {
	return showOf(a, a.payouts, columns, call)
}

// showOf prints what a service answers about something of one tenant.
func showOf[T proto.Message, C any](a *app, service func() (C, error), columns []column[T], call func(client C, tenant string) (T, error)) error {
	if err := a.checkOutput(); err != nil { // before anything is done
		return err
	}
	tenant, client, err := forTenant(a, service)
	if err != nil {
		return err
	}
	m, err := call(client, tenant)
	if err != nil {
		return err
	}
	return one(a, m, columns...)
}

func (a *app) operate(use, short string, call func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Payout, error)) *cobra.Command {
	var why string
	verb, _, _ := strings.Cut(use, " ")
	c := leaf(use, short, exactly("ID"), func(c *cobra.Command, args []string) error {
		return show(a, payoutDetail, func(client payoutsv1.PayoutsServiceClient, tenant string) (*payoutsv1.Payout, error) {
			return call(c, client, tenant, args[0], why)
		})
	}, fmt.Sprintf(`agogo payouts %s 0b1c… --reason "asked by the payee"`, verb))
	c.Flags().StringVar(&why, "reason", "", "why, for the audit trail (required)")
	_ = c.MarkFlagRequired("reason")
	return c
}

func (a *app) listPayoutsCommand() *cobra.Command {
	req := &payoutsv1.ListPayoutsRequest{PageSize: 1000}
	c := leaf("list", "List payouts", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		req.Tenant = tenant
		return all(a, func(token string) ([]*payoutsv1.Payout, string, error) {
			req.PageToken = token
			r, err := client.ListPayouts(c.Context(), req)
			return r.GetItems(), r.GetNextPageToken(), err
		}, payoutColumns...)
	},
		"agogo payouts list --run lebenis/payouts/daily@2025-01-24T23:59:00Z",
		"agogo payouts list --state unknown,manual_review -o json")
	f := c.Flags()
	f.StringVar(&req.RunId, "run", "", "of this run (run id or tick id)")
	f.StringVar(&req.PayeeId, "payee", "", "of this payee")
	f.StringSliceVar(&req.States, "state", nil, "in these states")
	f.StringVar(&req.PeriodDate, "date", "", "of this period date, YYYY-MM-DD")
	return c
}

func (a *app) resolveCommand() *cobra.Command {
	req := &payoutsv1.ResolvePayoutRequest{}
	c := leaf("resolve ID", "Decide a payout in manual review; two people are needed", exactly("ID"), func(c *cobra.Command, args []string) error {
		tenant, client, err := forTenant(a, a.payouts)
		if err != nil {
			return err
		}
		req.Tenant, req.Id = tenant, args[0]
		r, err := client.ResolvePayout(c.Context(), req)
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
		return one(a, r.Payout, payoutDetail...)
	}, `agogo payouts resolve 0b1c… --outcome not_paid --pay-again --evidence "provider statement of 25 Jan, no such transfer" --token approver`)
	c.Long = `Decide a payout in manual review. The first caller proposes, a second actor with the same words applies.
paid: it succeeded. not_paid: it failed and its payments are free again; with --pay-again it is paid by a new attempt with
a new reference. not_paid is refused unless a lookup made after the proposal found nothing or FAILED.`
	f := c.Flags()
	f.StringVar(&req.Outcome, "outcome", "", "paid or not_paid (required)")
	f.BoolVar(&req.PayAgain, "pay-again", false, "with not_paid: pay by a new attempt")
	f.StringVar(&req.Evidence, "evidence", "", "what proves it (required)")
	_ = c.MarkFlagRequired("outcome")
	_ = c.MarkFlagRequired("evidence")
	return c
}

// approvals says how many people have agreed, who said what, and until when an answer is waited for.
func approvals(has, needed int32, expires *timestamppb.Timestamp, words []*payoutsv1.Word) []string {
	if needed == 0 && len(words) == 0 {
		return nil
	}
	lines := []string{fmt.Sprintf("%d of %d", has, needed)}
	if expires != nil {
		lines[0] += ", until " + when(expires)
	}
	for _, w := range words {
		lines = append(lines, strings.TrimSuffix(fmt.Sprintf("%s by %s at %s: %s", w.Word, w.Actor, when(w.SaidAt), w.Reason), ": "))
	}
	return lines
}
