package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/cmd/agogo/internal/feed"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
)

// recurrencesClient is a client of the recurrences service.
type recurrencesClient = recurrencesv1.RecurrencesServiceClient

var recurrenceColumns = []column[*recurrencesv1.Recurrence]{
	col("id", (*recurrencesv1.Recurrence).GetId),
	col("customer", (*recurrencesv1.Recurrence).GetCustomerId),
	col("seller", (*recurrencesv1.Recurrence).GetSellerId),
	col("state", (*recurrencesv1.Recurrence).GetState),
	num("amount", func(r *recurrencesv1.Recurrence) string { return amount(r.Amount) }),
	col("period", period),
	col("next charge", (*recurrencesv1.Recurrence).GetNextChargeDate),
	col("card", card),
	col("reason", reason[*recurrencesv1.Recurrence]),
}

// period says on which days a recurrence is charged.
func period(r *recurrencesv1.Recurrence) string {
	switch r.GetPeriod() {
	case "monthly":
		return fmt.Sprintf("monthly, day %d", r.AnchorDay)
	case "yearly":
		return fmt.Sprintf("yearly, %02d-%02d", r.AnchorMonth, r.AnchorDay)
	case "weekly":
		days := []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}
		if d := int(r.AnchorDay); d >= 1 && d <= len(days) {
			return "weekly, " + days[d-1]
		}
	case "days":
		return fmt.Sprintf("every %d days", r.IntervalDays)
	}
	return r.GetPeriod()
}

// card says of a card what matters to whoever looks at a recurrence: its brand, and its state unless that is as it should be.
func card(r *recurrencesv1.Recurrence) string {
	k := r.GetCard()
	if k.GetState() == "" || k.GetState() == "valid" {
		return k.GetBrand()
	}
	return k.GetBrand() + ", " + k.GetState()
}

// recurrenceDetail is what `recurrences get` adds to the row.
var recurrenceDetail = append(recurrenceColumns[:len(recurrenceColumns):len(recurrenceColumns)],
	col("name", (*recurrencesv1.Recurrence).GetCustomerName),
	col("description", (*recurrencesv1.Recurrence).GetDescription),
	col("next cycle", (*recurrencesv1.Recurrence).GetNextCycle),
	col("cycles", func(r *recurrencesv1.Recurrence) string {
		if r.MaxCycles == 0 {
			return strconv.Itoa(int(r.Cycles))
		}
		return fmt.Sprintf("%d of %d", r.Cycles, r.MaxCycles)
	}),
	col("ends on", (*recurrencesv1.Recurrence).GetEndDate),
	col("card id", func(r *recurrencesv1.Recurrence) string { return r.GetCard().GetId() }),
	col("failures", func(r *recurrencesv1.Recurrence) string {
		if n := r.GetCard().GetFailures(); n > 0 {
			return fmt.Sprintf("%d of the card in a row", n)
		}
		return ""
	}),
	col("held by (utc)", func(r *recurrencesv1.Recurrence) string { return when(r.HeldBy) }),
	col("ended (utc)", func(r *recurrencesv1.Recurrence) string { return when(r.EndedAt) }),
	col("updated (utc)", func(r *recurrencesv1.Recurrence) string { return when(r.UpdatedAt) }),
	col("missed", func(r *recurrencesv1.Recurrence) string {
		cycles := make([]string, len(r.MissedCycles))
		for i, m := range r.MissedCycles {
			cycles[i] = m.Cycle
		}
		return strings.Join(cycles, ", ")
	}),
)

const recurrenceHeader = "recurrence_id,customer_id,customer_name,seller_id,amount,currency,period,anchor_day,anchor_month,next_charge_date," +
	"card_token,card_brand,status,description[,interval_days,end_date,max_cycles,failed_attempts,ended_at]"

func (a *app) recurrencesCommand() *cobra.Command {
	get := leaf("get ID", "Show one recurrence with its missed cycles", exactly("ID"), func(c *cobra.Command, args []string) error {
		return showOf(a, a.recurrences, recurrenceDetail, func(client recurrencesClient, tenant string) (*recurrencesv1.Recurrence, error) {
			return client.GetRecurrence(c.Context(), &recurrencesv1.GetRecurrenceRequest{Tenant: tenant, Id: args[0]})
		})
	}, "agogo recurrences get rec-001")
	pause := a.aboutRecurrence("pause ID", "Keep a recurrence from being charged; what was sent already is followed", "asked by the customer",
		func(ctx context.Context, client recurrencesClient, tenant, id, why string) (*recurrencesv1.Recurrence, error) {
			return client.PauseRecurrence(ctx, &recurrencesv1.PauseRecurrenceRequest{Tenant: tenant, Id: id, Reason: why})
		})
	resume := a.aboutRecurrence("resume ID", "Let a paused recurrence be charged again", "the customer is back",
		func(ctx context.Context, client recurrencesClient, tenant, id, why string) (*recurrencesv1.Recurrence, error) {
			return client.ResumeRecurrence(ctx, &recurrencesv1.ResumeRecurrenceRequest{Tenant: tenant, Id: id, Reason: why})
		})
	cancel := a.aboutRecurrence("cancel ID", "End a recurrence for good, and what is open of it", "contract ended",
		func(ctx context.Context, client recurrencesClient, tenant, id, why string) (*recurrencesv1.Recurrence, error) {
			return client.CancelRecurrence(ctx, &recurrencesv1.CancelRecurrenceRequest{Tenant: tenant, Id: id, Reason: why})
		})
	reactivate := a.aboutRecurrence("reactivate ID", "Take a recurrence off hold without a new card", "the bank lifted its block",
		func(ctx context.Context, client recurrencesClient, tenant, id, why string) (*recurrencesv1.Recurrence, error) {
			return client.ReactivateRecurrence(ctx, &recurrencesv1.ReactivateRecurrenceRequest{Tenant: tenant, Id: id, Reason: why})
		})
	take := a.importCommand("recurrences", recurrenceHeader, "agogo recurrences import examples/wallclub/recurrences-2025-10-30.csv", func() (feed.Open, error) {
		client, err := a.recurrences()
		if err != nil {
			return nil, err
		}
		return client.ImportRecurrences, nil
	})
	take.Long += `

amount is a decimal of the currency ("49.90"). period is monthly, yearly, weekly or days; anchor_day is the day of the month,
or 1 (Monday) to 7 for weekly; anchor_month is for yearly, interval_days for days only. next_charge_date is the date of the
next cycle, or the business day that it is moved to. status is active, past_due, hold, paused, cancelled or completed.
max_cycles counts from here. failed_attempts counts against the card; the cycle itself begins anew. A card is given by its
gateway's token: anything that looks like a card number is refused. A known recurrence is not changed by a file.`
	return noun("recurrences", "Agreements to charge customers period after period",
		take, a.listRecurrencesCommand(), get, pause, resume, cancel, reactivate, a.setCardCommand(), a.reportCommand(), a.digestsCommand())
}

// aboutRecurrence is a verb that a person says of one recurrence, with a reason.
func (a *app) aboutRecurrence(
	use, short, because string, call func(ctx context.Context, client recurrencesClient, tenant, id, why string) (*recurrencesv1.Recurrence, error),
) *cobra.Command {
	var why string
	verb, _, _ := strings.Cut(use, " ")
	c := leaf(use, short, exactly("ID"), func(c *cobra.Command, args []string) error {
		return showOf(a, a.recurrences, recurrenceDetail, func(client recurrencesClient, tenant string) (*recurrencesv1.Recurrence, error) {
			return call(c.Context(), client, tenant, args[0], why)
		})
	}, fmt.Sprintf(`agogo recurrences %s rec-001 --reason %q`, verb, because))
	needsReason(c, &why)
	return c
}

// needsReason adds the flag without which no person changes anything.
func needsReason(c *cobra.Command, why *string) {
	c.Flags().StringVar(why, "reason", "", "why, for the audit trail (required)")
	_ = c.MarkFlagRequired("reason")
}

func (a *app) listRecurrencesCommand() *cobra.Command {
	req := &recurrencesv1.ListRecurrencesRequest{PageSize: 1000}
	c := leaf("list", "List recurrences", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := forTenant(a, a.recurrences)
		if err != nil {
			return err
		}
		req.Tenant = tenant
		return all(a, func(token string) ([]*recurrencesv1.Recurrence, string, error) {
			req.PageToken = token
			r, err := client.ListRecurrences(c.Context(), req)
			return r.GetItems(), r.GetNextPageToken(), err
		}, recurrenceColumns...)
	},
		"agogo recurrences list --state hold --seller seller-1",
		"agogo recurrences list --due 2025-10-30 -o json",
		"agogo recurrences list --missed")
	f := c.Flags()
	f.StringSliceVar(&req.States, "state", nil, "in these states")
	f.StringVar(&req.SellerId, "seller", "", "of this seller")
	f.StringVar(&req.DueBy, "due", "", "active or past due, to be charged on or before this date, YYYY-MM-DD")
	f.StringVar(&req.Card, "card", "", "on this card (card id or token)")
	f.BoolVar(&req.Missed, "missed", false, "with missed cycles that nobody has charged")
	return c
}

func (a *app) setCardCommand() *cobra.Command {
	req := &recurrencesv1.SetCardRequest{}
	c := leaf("set-card ID", "Give a recurrence another card; what is open of it is tried once, at once", exactly("ID"), func(c *cobra.Command, args []string) error {
		tenant, client, err := forTenant(a, a.recurrences)
		if err != nil {
			return err
		}
		if err := a.checkOutput(); err != nil {
			return err
		}
		req.Tenant, req.RecurrenceId = tenant, args[0]
		r, err := client.SetCard(c.Context(), req)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.json(r)
		}
		if err := one(a, r.Recurrence, recurrenceDetail...); err != nil || len(r.Charges) == 0 {
			return err
		}
		fmt.Fprintln(a.Out, "\nTried now with the new card:")
		table(a.Out, r.Charges, chargeColumns)
		return nil
	}, `agogo recurrences set-card rec-024 --card 6e1bf77a-b28b-4660-b14f-455e2a1c95e9 --brand visa --reason "the customer's new card"`)
	c.Long = `Give a recurrence another card, by its gateway's token; a card number is refused. What is open of a recurrence that is past
due or on hold is tried once, at once: paid, the recurrence is active; declined, it is on hold.`
	f := c.Flags()
	f.StringVar(&req.Token, "card", "", "the gateway's token of the card (required)")
	f.StringVar(&req.Brand, "brand", "", "visa, mastercard, elo… (required)")
	needsReason(c, &req.Reason)
	_ = c.MarkFlagRequired("card")
	_ = c.MarkFlagRequired("brand")
	return c
}
