package collect

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/collect/db"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// Claim takes charges of a lane, one per recurrence, that may go. What may not is put aside; see [verdict].
func (b *Book) Claim(ctx context.Context, tx pgx.Tx, l dispatch.Lane, most int, resting []uuid.UUID) (dispatch.Claim, error) {
	rows, err := b.rows(ctx, tx, l, most, resting)
	if err != nil {
		return dispatch.Claim{}, err
	}
	rows, err = b.alone(ctx, tx, rows)
	if err != nil || len(rows) == 0 {
		return dispatch.Claim{}, err
	}
	fit, aside, err := b.check(ctx, tx, rows)
	if err != nil {
		return dispatch.Claim{}, err
	}
	if err := b.putAside(ctx, tx, l, aside); err != nil {
		return dispatch.Claim{}, err
	}
	c := dispatch.Claim{Held: len(aside), Description: "charge " + l.Run.LocalDate}
	for _, r := range fit {
		c.Starts = append(c.Starts, start(l, r))
	}
	c.Begun = func(ctx context.Context, tx pgx.Tx, begun []attempt.Attempt) error {
		return b.begun(ctx, tx, l, fit, begun)
	}
	c.Doubt = b.Outcomes.Doubt
	return c, nil
}

// lapsedMost is how many charges that have lapsed one transaction takes: a whole page. Nothing is asked or sent for them here, so they take
// neither slots nor a share of the rate from what is sent.
const lapsedMost = 1000

// rows locks up to most charges of a lane, and where one of them has lapsed all of the lane that have.
func (b *Book) rows(ctx context.Context, tx pgx.Tx, l dispatch.Lane, most int, resting []uuid.UUID) ([]db.ClaimRow, error) {
	now := b.Clock.Now()
	p := db.ClaimParams{
		RunID: l.Run.ID, Page: int32(l.Page), Gateway: l.Provider, Now: now, Resting: resting, PageLimit: int32(most),
		DeniedSince: now.Add(-attempt.ResendWithin), SentSince: l.Connector.Policy.ResendsSince(now),
	}
	rows, err := db.New(tx).Claim(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("claim charges: %w", err)
	}
	if !slices.ContainsFunc(rows, func(r db.ClaimRow) bool { return r.Lapsed }) {
		return rows, nil
	}
	p.OnlyLapsed, p.PageLimit = true, lapsedMost
	lapsed, err := db.New(tx).Claim(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("claim charges that have lapsed: %w", err)
	}
	return append(slices.DeleteFunc(rows, func(r db.ClaimRow) bool { return r.Lapsed }), lapsed...), nil
}

// alone keeps one charge per recurrence, the oldest, and none of a recurrence with another one under way. The claim's own
// look at that is as old as its snapshot; now that the recurrences are locked, nothing can begin behind this one.
func (b *Book) alone(ctx context.Context, tx pgx.Tx, rows []db.ClaimRow) ([]db.ClaimRow, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	first := map[store.Key]db.ClaimRow{}
	var p db.UnderWayParams
	for _, r := range rows {
		k := store.Key{Tenant: r.Tenant, ID: r.RecurrenceID}
		if f, ok := first[k]; !ok || r.Cycle < f.Cycle {
			first[k] = r
		}
		p.Tenants, p.Ids = append(p.Tenants, k.Tenant), append(p.Ids, k.ID)
	}
	busy, err := db.New(tx).UnderWay(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("find charges under way: %w", err)
	}
	for _, r := range busy {
		delete(first, store.Key{Tenant: r.Tenant, ID: r.RecurrenceID})
	}
	return slices.DeleteFunc(rows, func(r db.ClaimRow) bool {
		f, ok := first[store.Key{Tenant: r.Tenant, ID: r.RecurrenceID}]
		return !ok || f.ChargeID != r.ChargeID
	}), nil
}

// verdict is why a charge may not go.
type verdict struct {
	row   db.ClaimRow
	code  string
	until time.Time // it goes then; zero: nothing sends it any more
	// to is the state that it comes to by that, with the code as its reason; "" leaves it where it is.
	to charge.State
	// hold is why its recurrence goes on hold; "" leaves that one where it is.
	hold string
}

// scope is what the verdict is about: the card, where the card is why.
func (v verdict) scope() string {
	if v.hold == recurrence.CodeCardInvalid {
		return charge.ScopeCard
	}
	return ""
}

// codeNotWanted is the verdict about a charge whose recurrence is not charged now: it was paused or put on hold since.
const codeNotWanted = "not_wanted"

// check looks at each charge once more.
func (b *Book) check(ctx context.Context, tx pgx.Tx, rows []db.ClaimRow) (fit []db.ClaimRow, aside []verdict, err error) {
	var lapsed []db.ClaimRow
	for _, r := range rows {
		state := recurrence.State(r.RecurrenceState)
		over := charge.Over(state, r.RecurrenceCode)
		asked := wanted(r)
		switch {
		case over && r.Lapsed: // its gateway is asked once more before it is given up
			lapsed = append(lapsed, r)
		case over && slices.Contains(charge.Cancellable(), charge.State(r.State)):
			aside = append(aside, verdict{row: r, code: charge.CodeEnded, to: charge.Cancelled})
		case over, !asked && !recurrence.Charges(state):
			aside = append(aside, verdict{row: r, code: codeNotWanted})
		case r.CardState == store.CardInvalid:
			aside = append(aside, verdict{row: r, code: recurrence.CodeCardInvalid, hold: recurrence.CodeCardInvalid})
		case b.late(r, b.Clock.Now()):
			aside = append(aside, tooLate(r))
		case r.Lapsed: // nothing is sent for it now, so its card's network has no say
			lapsed = append(lapsed, r)
		default:
			fit = append(fit, r)
		}
	}
	fit, over, err := b.budget(ctx, tx, fit)
	return append(fit, lapsed...), append(aside, over...), err
}

// wanted reports whether somebody asked for a send: a person, or whoever gave a new card.
func wanted(r db.ClaimRow) bool { return r.SendCause == store.ByPerson || r.SendCause == store.ByCard }

// late reports whether a charge that nobody asked for would be too late at a time to be sent by itself.
func (b *Book) late(r db.ClaimRow, when time.Time) bool {
	send := store.Send{Date: r.SendDate}
	if r.SendWantedAt != nil {
		send.At = *r.SendWantedAt
	}
	return !wanted(r) && b.Store.DayAt(r.Tenant, send, when) > b.Outcomes.Retries(r.Tenant).Until(r.ChargeDate, r.FirstAttemptDate)
}

// resting has a charge rest, or gives it to people at once when it would be too late by then: nothing waits for it in vain.
func (b *Book) resting(r db.ClaimRow, code string, until time.Time) verdict {
	if b.late(r, until) {
		return tooLate(r)
	}
	return verdict{row: r, code: code, until: until}
}

// tooLate gives a charge to people. A recurrence that is not retried any more is not past due either; one whose charge never
// reached its card goes on.
func tooLate(r db.ClaimRow) verdict {
	v := verdict{row: r, code: charge.CodeTooLate, to: charge.Exhausted}
	if charge.State(r.State) == charge.FailedSoft {
		v.hold = recurrence.CodeRetriesOver
	}
	return v
}

// never is about a charge that its card's network forbids to try again.
func never(r db.ClaimRow) verdict {
	v := verdict{row: r, code: charge.CodeNever, hold: recurrence.CodeCardInvalid}
	if charge.State(r.State) == charge.FailedSoft {
		v.to = charge.Exhausted
	}
	return v
}

// putAside ends the sends of charges that may not go, or has them rest. What their recurrences have to say about it is said.
func (b *Book) putAside(ctx context.Context, tx pgx.Tx, l dispatch.Lane, aside []verdict) error {
	if len(aside) == 0 {
		return nil
	}
	var (
		drop []uuid.UUID
		rest = map[uuid.UUID]time.Time{}
		over []store.ChargeChange
		hold []store.RecurrenceChange
	)
	for _, v := range aside {
		b.Logger.WarnContext(ctx, "recurrences: a charge is not sent now", "tenant", v.row.Tenant, "charge", v.row.ChargeID, "code", v.code, "until", v.until)
		if !v.until.IsZero() {
			rest[v.row.ChargeID] = v.until
			continue
		}
		drop = append(drop, v.row.ChargeID)
		if v.to != "" {
			over = append(over, store.ChargeChange{
				ID: v.row.ChargeID, From: []charge.State{charge.State(v.row.State)}, To: v.to, Reason: store.Reason{Scope: v.scope(), Code: v.code},
			})
		}
		if v.hold != "" {
			hold = append(hold, store.RecurrenceChange{
				Key: store.Key{Tenant: v.row.Tenant, ID: v.row.RecurrenceID}, From: []recurrence.State{recurrence.Active, recurrence.PastDue},
				To: recurrence.Hold, Reason: store.Reason{Scope: v.scope(), Code: v.hold}, HeldBy: &l.Run.NominalTime,
			})
		}
	}
	if err := b.Store.UnwantSent(ctx, tx, drop...); err != nil {
		return err
	}
	if err := b.Store.RestSends(ctx, tx, rest); err != nil {
		return err
	}
	if _, err := b.Store.ApplyCharges(ctx, tx, over); err != nil {
		return err
	}
	if _, err := b.Store.ApplyRecurrences(ctx, tx, hold); err != nil {
		return err
	}
	return b.Runs.Settle(ctx, tx, l.Run.ID)
}

// start is the next attempt of a charge: the same number and reference again while it is proven that nothing was sent under
// it, the next one otherwise: also after any number of refusals without a trace, since there are gateways that do not hold a reference to be one sale.
func start(l dispatch.Lane, r db.ClaimRow) attempt.Start {
	number := attempt.Next(int(r.Attempt), attempt.State(r.AttemptState), false)
	return attempt.Start{
		Key: attempt.Key{Subject: r.ChargeID, Number: number}, Tenant: r.Tenant, Provider: l.Provider,
		Reference: charge.Reference(r.ChargeID, number), Destination: store.Card{Brand: r.Brand, Token: r.Token}.Destination(),
		Amount: money.Amount{Minor: r.Amount, Currency: money.Currency(r.Currency)}, Day: charge.MadeUp(recurrence.Cycle{Date: r.Cycle, ChargeOn: r.ChargeDate}), Lapsed: r.Lapsed,
	}
}

// begun moves charges with their attempts, and counts them for their cards' networks. Those before an attempt that a restore has lost count as
// declined, by the network and for the charge, whatever they were: a card is rather asked too seldom than more often than was agreed.
func (b *Book) begun(ctx context.Context, tx pgx.Tx, l dispatch.Lane, rows []db.ClaimRow, begun []attempt.Attempt) error {
	byID := make(map[uuid.UUID]db.ClaimRow, len(rows))
	for _, r := range rows {
		byID[r.ChargeID] = r
	}
	changes := make([]store.ChargeChange, 0, len(begun))
	p := db.InsertCardAttemptsParams{RunID: l.Run.ID, Now: b.Clock.Now(), Denied: []uuid.UUID{}}
	for _, a := range begun {
		r := byID[a.Subject]
		next := start(l, r).Number
		changes = append(changes, store.ChargeChange{
			ID: a.Subject, From: []charge.State{charge.State(r.State)}, To: charge.Submitting, Attempt: a.Number, Reference: a.Reference, CardID: r.CardID,
			Tried: a.Number - next,
		})
		for n := next; n <= a.Number; n++ {
			p.Ids, p.Attempts, p.Tenants = append(p.Ids, a.Subject), append(p.Attempts, int32(n)), append(p.Tenants, a.Tenant)
			p.CardIds, p.Amounts, p.Declineds = append(p.CardIds, r.CardID), append(p.Amounts, a.Amount.Minor), append(p.Declineds, n < a.Number)
		}
		if a.OpenedAt != nil || a.Reached {
			p.Denied = append(p.Denied, a.Subject)
		}
	}
	if err := db.New(tx).InsertCardAttempts(ctx, p); err != nil {
		return fmt.Errorf("note attempts on cards: %w", err)
	}
	moved, err := b.Store.ApplyCharges(ctx, tx, changes)
	if err == nil && len(moved) != len(changes) {
		err = fmt.Errorf("claim charges: %d of %d locked ones are not to be sent", len(changes)-len(moved), len(changes))
	}
	return err
}
