package outcome

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// takeBack books the refunds and disputes that answers tell of charges that succeeded, each once, however often it is told. It
// returns what in them does not add up, as contradictions that move no money. The caller holds the charges' rows and has applied
// what the same answers made of their states.
func (o *Outcomes) takeBack(ctx context.Context, tx pgx.Tx, valid []attempt.Update) (contradictions []attempt.Update, err error) {
	var ids []uuid.UUID
	var told []attempt.Update
	for _, u := range valid {
		if u.Decision.Reversed != nil { // of an attempt that succeeded
			ids, told = append(ids, u.Attempt.Subject), append(told, u)
		}
	}
	if len(told) == 0 {
		return nil, nil
	}
	charges, err := o.Store.LockCharges(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	known, err := o.Store.Reversals(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	byID := map[uuid.UUID]store.Charge{}
	for _, c := range charges {
		byID[c.ID] = c
	}
	var all []reversed
	for _, u := range told {
		c, back := byID[u.Attempt.Subject], u.Decision.Reversed
		if c.State != charge.Succeeded { // a contradiction has one succeed that is booked otherwise: people look at that first
			continue
		}
		steps, mismatches := charge.News(c.Amount.Minor, c.TakenBack, disputes(known[c.ID]), back.Refunded.Minor, disputesTold(u))
		if len(steps) > 0 {
			all = append(all, reversed{c, steps})
		}
		for _, code := range mismatches {
			contradictions = append(contradictions, contradiction(u, code))
			o.Alarm(ctx, u.Attempt, "what the gateway tells of refunds and disputes does not add up: "+code)
		}
	}
	return contradictions, o.reverse(ctx, tx, all)
}

// SettleDispute books how an open dispute ended. The caller holds the charge's row; ok is false when it is not open.
func (o *Outcomes) SettleDispute(ctx context.Context, tx pgx.Tx, c store.Charge, d charge.Dispute, to charge.DisputeState) (ok bool, err error) {
	step, ok := d.Decide(to)
	if !ok {
		return false, nil
	}
	return true, o.reverse(ctx, tx, []reversed{{c, []charge.Step{step}}})
}

// reversed is a charge with what was taken back of it, step by step.
type reversed struct {
	store.Charge
	steps []charge.Step
}

// reverse writes steps: a record each, an event each, and the postings that lead from who bore it before to who bears it now.
func (o *Outcomes) reverse(ctx context.Context, tx pgx.Tx, all []reversed) error {
	var begun, decided []store.Reversal
	var changes []store.ChargeChange
	var postings []ledger.Posting
	for _, r := range all {
		c, total := r.Charge, r.TakenBack
		for _, s := range r.steps {
			before := total.Bearing(c.Amount.Minor)
			total = total.Plus(s.Change)
			record, kind := recordOf(c, s, total)
			if s.New {
				begun = append(begun, record)
			} else {
				decided = append(decided, record)
			}
			changes = append(changes, store.ChargeChange{
				ID: c.ID, From: []charge.State{charge.Succeeded}, To: charge.Succeeded, Event: kind, Reason: store.Reason{Code: s.Code},
				TakenBack: s.Change, Reversal: s.Minor(),
			})
			for leg, f := range before.Flows(total.Bearing(c.Amount.Minor)) {
				postings = append(postings, o.reversal(c, record, s, leg, f))
			}
		}
	}
	if err := o.Store.InsertReversals(ctx, tx, begun); err != nil {
		return err
	}
	if err := o.Store.DecideReversals(ctx, tx, decided); err != nil {
		return err
	}
	after, err := o.Store.ApplyCharges(ctx, tx, changes)
	if err != nil {
		return err
	}
	if len(after) != len(all) {
		return fmt.Errorf("take back charges: %d of %d are not in the state that their row had", len(all)-len(after), len(all))
	}
	return ledger.Post(ctx, tx, postings...)
}

func recordOf(c store.Charge, s charge.Step, total charge.TakenBack) (store.Reversal, event.Type) {
	if s.Dispute == nil {
		return store.RefundOf(c, s.Minor(), total.Refunded), "charge.refunded"
	}
	return store.DisputeOf(c, *s.Dispute), "charge.disputed"
}

// reversal is a posting of a step. Its kind is "charge." and the step's code, for a dispute has two: that it began, and how it ended.
func (o *Outcomes) reversal(c store.Charge, r store.Reversal, s charge.Step, leg int, f charge.Flow) ledger.Posting {
	kind := "charge." + s.Code
	if r.Kind == store.Refund {
		kind = "charge.refunded"
	}
	accounts := map[charge.Side]string{
		charge.SideGateway: ledger.GatewayReceivable(c.Gateway), charge.SideSeller: ledger.SellerPayable(c.SellerID),
		charge.SideChargebacks: ledger.Chargebacks, charge.SideSuspense: ledger.Suspense,
	}
	return ledger.Posting{
		Tenant: c.Tenant, Kind: kind, Ref: c.ID.String() + "/" + r.ID.String(), Leg: leg, Debit: accounts[f.Debit], Credit: accounts[f.Credit],
		Amount: money.Amount{Minor: f.Minor, Currency: c.Amount.Currency}, OccurredAt: o.Clock.Now(),
	}
}

func disputes(all []store.Reversal) []charge.Dispute {
	var list []charge.Dispute
	for _, r := range all {
		if r.Kind == store.Dispute {
			list = append(list, r.AsDispute())
		}
	}
	return list
}

func disputesTold(u attempt.Update) []charge.Dispute {
	var list []charge.Dispute
	for _, d := range u.Decision.Reversed.Disputes {
		state := charge.DisputeOpen
		if d.Lost {
			state = charge.DisputeLost
		}
		list = append(list, charge.Dispute{Case: d.Case, Amount: d.Amount.Minor, State: state})
	}
	return list
}

// contradiction is an answer whose refunds or disputes do not add up. The charge was paid all the same, and what was taken back of
// it is in the books already, so the finding moves nothing.
func contradiction(u attempt.Update, code string) attempt.Update {
	u.Decision.Mismatch, u.Decision.Moved, u.Decision.Beyond = code, 0, 0
	refunded := u.Decision.Reversed.Refunded
	u.Decision.Said = "refunded " + refunded.Decimal() + " " + string(refunded.Currency)
	return u
}
