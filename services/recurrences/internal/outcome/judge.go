package outcome

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/outcome/db"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// ourPause is how long a charge rests that was refused because of us rather than because of its card.
const ourPause = time.Minute

// mendPause is how long one rests whose request was found wrong, which people have to mend: a day. They may charge it sooner.
const mendPause = 24 * time.Hour

// news is what an attempt's new state makes of its charge.
type news struct {
	attempt.Moved
	before  store.Charge
	outcome charge.Outcome
	retryOn recurrence.Date
	// eitherCard: it is a decline of a reference that went with two cards, and nobody can tell which of them said no.
	eitherCard bool
	// unasked: its retries are over with an attempt that asked no card, and its card has never said no to it.
	unasked bool
}

// judge reads the charges of attempts and holds their rows.
func (o *Outcomes) judge(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) ([]news, error) {
	ids := make([]uuid.UUID, len(moved))
	for i, m := range moved {
		ids[i] = m.Attempt.Subject
	}
	rows, err := o.Store.LockCharges(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	byID := make(map[uuid.UUID]store.Charge, len(rows))
	for _, c := range rows {
		byID[c.ID] = c
	}
	twice, err := twoCards(ctx, tx, moved)
	if err != nil {
		return nil, err
	}
	all := make([]news, len(moved))
	for i, m := range moved {
		c, ok := byID[m.Attempt.Subject]
		if !ok {
			return nil, fmt.Errorf("attempt %d of charge %s: there is no such charge", m.Attempt.Number, m.Attempt.Subject)
		}
		all[i] = news{Moved: m, before: c, outcome: read(c, m)}
		if twice[m.Attempt.Key] {
			all[i].outcome, all[i].eitherCard = eitherCard(c, m, all[i].outcome)
		}
		all[i].outcome, all[i].retryOn = o.retry(all[i])
	}
	if err := o.endRetries(ctx, tx, all); err != nil {
		return nil, err
	}
	return all, o.unasked(ctx, tx, all)
}

// twoCards finds those attempts that went with another card once before, when they may have arrived. Hardly any was sent twice.
func twoCards(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) (map[attempt.Key]bool, error) {
	var p db.TwoCardsParams
	for _, m := range moved {
		if m.Attempt.Sends > 1 {
			p.Ids, p.Attempts = append(p.Ids, m.Attempt.Subject), append(p.Attempts, int32(m.Attempt.Number))
		}
	}
	if len(p.Ids) == 0 {
		return nil, nil
	}
	rows, err := db.New(tx).TwoCards(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("find attempts that went with two cards: %w", err)
	}
	twice := map[attempt.Key]bool{}
	for _, r := range rows {
		twice[attempt.Key{Subject: r.ChargeID, Number: int(r.Attempt)}] = true
	}
	return twice, nil
}

// endRetries has declines exhausted whose recurrence is over with its last cycle. A person had what was missed of it charged,
// and no morning will retry it.
func (o *Outcomes) endRetries(ctx context.Context, tx pgx.Tx, all []news) error {
	p := db.OverByLastCycleParams{Code: recurrence.CodeLastCycle}
	for _, n := range all {
		if n.outcome.Declined && n.outcome.State == charge.FailedSoft {
			p.Tenants, p.Ids = append(p.Tenants, n.before.Tenant), append(p.Ids, n.before.RecurrenceID)
		}
	}
	if len(p.Ids) == 0 {
		return nil
	}
	rows, err := db.New(tx).OverByLastCycle(ctx, p)
	if err != nil {
		return fmt.Errorf("find recurrences that are over: %w", err)
	}
	over := map[store.Key]bool{}
	for _, r := range rows {
		over[store.Key{Tenant: r.Tenant, ID: r.RecurrenceID}] = true
	}
	for i, n := range all {
		if over[n.before.Key()] && n.outcome.Declined && n.outcome.State == charge.FailedSoft {
			all[i].outcome.State, all[i].retryOn = charge.Exhausted, 0
		}
	}
	return nil
}

// unasked marks the charges whose retries are over and whose card has never said no to them: whoever hears of it must not be told that it did.
func (o *Outcomes) unasked(ctx context.Context, tx pgx.Tx, all []news) error {
	var ids []uuid.UUID
	for _, n := range all {
		if n.outcome.State == charge.Exhausted && n.askedNoCard() {
			ids = append(ids, n.before.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	declined, err := db.New(tx).CardsSaidNo(ctx, ids)
	if err != nil {
		return fmt.Errorf("find charges whose card said no: %w", err)
	}
	for i, n := range all {
		all[i].unasked = slices.Contains(ids, n.before.ID) && !slices.Contains(declined, n.before.ID)
	}
	return nil
}

// askedNoCard reports whether what ended the attempt is that it never came to a card: it was not sent or not charged, or refused for our own sake.
func (n news) askedNoCard() bool {
	r := n.Result
	return n.Attempt.State == attempt.NotSent || r.Code == review.CodeNotPaid || r.Scope == provider.ScopeProvider || r.Scope == provider.ScopeFloat
}

// read is what the answer means by itself.
func read(c store.Charge, m attempt.Moved) charge.Outcome {
	r := m.Result
	doubt := c.State != charge.Submitting
	switch {
	case m.Attempt.State.Open(): // the same word on both sides
		return charge.Outcome{State: charge.State(m.Attempt.State)}
	case m.Attempt.State == attempt.NotSent && c.Reason.Code == charge.CodeDenialLapsed:
		return charge.DeniedAnew(c.RetryOn != 0)
	case m.Again: // people want the next attempt now; this one is not counted
		return charge.Outcome{State: charge.FailedSoft}
	case doubt && (m.Attempt.State == attempt.NotSent || r.Code == review.CodeNotPaid):
		// It was not charged, and the card never said no. It waits for its next retry like any other.
		return charge.Outcome{State: charge.FailedSoft, Declined: true}
	default:
		return answer(c, m).Outcome(c.State, declines(c))
	}
}

// declines is how often a charge was declined before. One that waits for a retry was, though what its denial was counted as has been given back.
func declines(c store.Charge) int {
	if c.RetryOn != 0 {
		return max(c.Tries, 1)
	}
	return c.Tries
}

func answer(c store.Charge, m attempt.Moved) charge.Answer {
	r := m.Result
	return charge.Answer{Class: string(r.Class), Scope: string(r.Scope), Code: r.Code, Asked: c.Send.Cause == store.ByPerson || c.Send.Cause == store.ByCard}
}

// eitherCard is what an answer means where nobody can tell which of two cards it is about. What people have decided is about neither.
func eitherCard(c store.Charge, m attempt.Moved, o charge.Outcome) (after charge.Outcome, declined bool) {
	if m.Again || m.Result.Code == review.CodeNotPaid {
		return o, false
	}
	return answer(c, m).OfEitherCard(o, c.State, declines(c))
}

// retry finds the date of the next retry, or that there is none.
func (o *Outcomes) retry(n news) (charge.Outcome, recurrence.Date) {
	first, last := n.before.FirstAttempt, n.before.LastAttempt
	if n.before.State == charge.Submitting {
		last = n.before.Send.Date
		if first == 0 {
			first = last
		}
	}
	rules := o.retries[n.before.Tenant]
	// A doubt may take days to end. The run of the day on which it does may be over.
	over := o.Store.Since(n.before.Tenant, last, n.Attempt.SubmittedAt)
	if wait := n.Result.RetryAfter; wait > 0 { // the network's, beside our rule
		now := o.Clock.Now()
		over = max(over, over-1+o.Store.DateAt(n.before.Tenant, now.Add(wait))-o.Store.DateAt(n.before.Tenant, now))
	}
	out, on := rules.Declined(n.outcome, first, over, n.before.Tries+n.tried())
	if on != 0 && on > rules.Until(n.before.Cycle.ChargeOn, first) {
		out.State, on = charge.Exhausted, 0 // a doubt that took a month, say
	}
	return out, on
}

// tried is how many tries the outcome adds. A decline adds none to an attempt that was counted when it was denied, whatever a later doubt about
// it came to: the reason of the charge does not tell that any more when people decide. An attempt that ends as what counts for none gives
// back what its denial was counted as, for another one asks the card in its place.
func (n news) tried() int {
	counted := n.before.TriedAttempt == n.Attempt.Number
	switch {
	case n.outcome.Declined && !counted:
		return 1
	case !n.outcome.Declined && counted && n.Attempt.State == attempt.Failed && !n.eitherCard: // one of two cards was asked
		return -1
	default:
		return 0
	}
}

// keepsSend reports whether what a person wants sent goes on although the doubt that kept it has ended as a decline: that is one of long ago,
// which the person did not wait for, and the next attempt has a reference of its own. A card that is refused for good waits for another word.
func (n news) keepsSend() bool {
	lapsed := n.before.State == charge.Unknown && n.before.Reason.Code == charge.CodeDenialLapsed
	return lapsed && n.before.Send.Cause == store.ByPerson && n.outcome.Declined &&
		(n.outcome.State == charge.FailedSoft || n.outcome.State == charge.Exhausted)
}

// changes are the charge's: retries that are over are told after the failure that was the last of them, with its own code where no card ever said no.
func (n news) changes(now time.Time) []store.ChargeChange {
	r, to := n.Result, n.outcome.State
	c := store.ChargeChange{
		ID: n.before.ID, From: []charge.State{n.before.State}, To: to, RetryOn: n.retryOn, Again: n.outcome.Again, NotBefore: n.NotBefore, KeepsSend: n.keepsSend(), Tried: n.tried(),
		Reason: store.Reason{Class: string(r.Class), Scope: string(r.Scope), Code: r.Code, ProviderCode: r.ProviderCode},
	}
	if n.eitherCard { // what one card was refused for keeps no other one from being tried
		c.Reason.Scope, c.Reason.Code, c.Reason.ProviderCode = string(provider.ScopePayment), charge.CodeEitherCard, ""
	}
	if to == charge.Succeeded {
		c.Fee = n.Attempt.Fee
	}
	if n.outcome.Again && n.Attempt.State == attempt.Failed && !r.Stop && !n.eitherCard {
		pause := ourPause
		if r.Class == provider.RejectedFinal { // the same would be refused again
			pause = mendPause
		}
		rest := now.Add(pause)
		c.NotBefore = &rest
	}
	if to != charge.Exhausted || n.outcome.Again {
		return []store.ChargeChange{c}
	}
	c.To = charge.FailedSoft
	over := store.ChargeChange{ID: c.ID, From: []charge.State{charge.FailedSoft}, To: charge.Exhausted, Reason: c.Reason, KeepsSend: c.KeepsSend}
	if !n.unasked {
		over.Reason.Code = recurrence.CodeRetriesOver
	}
	return []store.ChargeChange{c, over}
}
