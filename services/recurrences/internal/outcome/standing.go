package outcome

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/outcome/db"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// cards counts what cards were declined for, and returns those that will not work again, with their reasons.
func (o *Outcomes) cards(ctx context.Context, tx pgx.Tx, all []news) (map[uuid.UUID]store.Reason, error) {
	var ids []uuid.UUID
	for _, n := range all {
		if n.outcome.Card != charge.CardUntouched {
			ids = append(ids, n.before.CardID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	locked, err := o.Store.LockCards(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	failures, valid := map[uuid.UUID]int{}, map[uuid.UUID]bool{}
	for _, c := range locked {
		failures[c.ID], valid[c.ID] = c.Failures, c.State == store.CardValid
	}
	invalid := map[uuid.UUID]store.Reason{}
	for _, n := range all {
		id := n.before.CardID
		rules, _ := o.Store.Rules(n.before.Tenant)
		after, bad := n.outcome.Failures(failures[id], rules.CardFailureLimit)
		failures[id] = after
		if bad && valid[id] {
			invalid[id] = cardReason(n)
		}
	}
	if err := o.Store.NoteNetworkWords(ctx, tx, o.networkWords(all)); err != nil {
		return nil, err
	}
	return invalid, o.Store.CountFailures(ctx, tx, failures)
}

// networkWords are what declines said about further attempts with their cards.
func (o *Outcomes) networkWords(all []news) map[uuid.UUID]store.NetworkWord {
	words := map[uuid.UUID]store.NetworkWord{}
	for _, n := range all {
		declined := n.outcome.Card == charge.CardDeclined || n.outcome.Card == charge.CardInvalidate
		if !declined || !n.Result.Forbidden && n.Result.RetryAfter <= 0 {
			continue
		}
		w := words[n.before.CardID]
		w.Forbidden = w.Forbidden || n.Result.Forbidden
		if until := o.Clock.Now().Add(n.Result.RetryAfter); n.Result.RetryAfter > 0 && (w.WaitUntil == nil || until.After(*w.WaitUntil)) {
			w.WaitUntil = &until
		}
		words[n.before.CardID] = w
	}
	return words
}

func cardReason(n news) store.Reason {
	r := n.Result
	if n.outcome.Card == charge.CardInvalidate {
		return store.Reason{Class: string(r.Class), Scope: string(r.Scope), Code: r.Code, ProviderCode: r.ProviderCode}
	}
	return store.Reason{Scope: "card", Code: charge.CodeCardFailures}
}

// recurrences moves the recurrences of charges that were paid or declined, those of cards that do not work any more, and
// wakes what waited for one of the charges.
func (o *Outcomes) recurrences(ctx context.Context, tx pgx.Tx, all []news, invalid map[uuid.UUID]store.Reason) error {
	all = slices.DeleteFunc(slices.Clone(all), func(n news) bool {
		return !n.outcome.Declined && !n.outcome.Again && n.outcome.State != charge.Succeeded
	})
	if len(all) == 0 {
		return nil
	}
	v, err := o.view(ctx, tx, all, invalid)
	if err != nil {
		return err
	}
	var changes []store.RecurrenceChange
	heldBy := map[uuid.UUID]*time.Time{}
	for _, n := range all {
		heldBy[n.before.CardID] = v.heldBy(n)
		if c, ok := v.change(n); ok {
			changes = append(changes, c)
		}
	}
	if _, err := o.Store.ApplyRecurrences(ctx, tx, changes); err != nil {
		return err
	}
	if _, err := o.Store.InvalidateCards(ctx, tx, invalid, heldBy); err != nil {
		return err
	}
	if err := o.cancelEnded(ctx, tx, all, v); err != nil {
		return err
	}
	if _, err := o.Store.CompleteFinished(ctx, tx, keysOf(all)...); err != nil {
		return err
	}
	if err := o.tryNewCards(ctx, tx, all, v); err != nil {
		return err
	}
	return o.wakeOthers(ctx, tx, all, v)
}

// view is what the recurrences of charges look like, with their rows and those that invalid cards will move held.
type view struct {
	recurrences map[store.Key]store.Recurrence
	unpaid      map[store.Key][]store.Charge
	badCards    map[uuid.UUID]bool
	nominal     map[uuid.UUID]time.Time // by charge: of the run that sent it
}

func (o *Outcomes) view(ctx context.Context, tx pgx.Tx, all []news, invalid map[uuid.UUID]store.Reason) (v view, err error) {
	keys := keysOf(all)
	hit, err := o.Store.ChargedTo(ctx, tx, slices.Collect(maps.Keys(invalid))...)
	if err != nil {
		return view{}, err
	}
	locked, err := o.Store.LockRecurrences(ctx, tx, slices.Concat(keys, hit)...)
	if err != nil {
		return view{}, err
	}
	v = view{recurrences: map[store.Key]store.Recurrence{}, badCards: map[uuid.UUID]bool{}, nominal: map[uuid.UUID]time.Time{}}
	var cards []uuid.UUID
	for _, r := range locked {
		v.recurrences[r.Key], cards = r, append(cards, r.CardID)
	}
	known, err := o.Store.Cards(ctx, tx, cards...)
	if err != nil {
		return view{}, err
	}
	for _, c := range known {
		_, now := invalid[c.ID]
		v.badCards[c.ID] = now || c.State == store.CardInvalid
	}
	if v.unpaid, err = o.Store.Unpaid(ctx, tx, keys...); err != nil {
		return view{}, err
	}
	p := db.NominalTimesParams{}
	for _, n := range all {
		p.Ids, p.Attempts = append(p.Ids, n.before.ID), append(p.Attempts, int32(n.Attempt.Number))
	}
	times, err := db.New(tx).NominalTimes(ctx, p)
	if err != nil {
		return view{}, fmt.Errorf("read the runs that sent charges: %w", err)
	}
	for _, t := range times {
		v.nominal[t.ChargeID] = t.NominalTime
	}
	return v, nil
}

// heldBy is the nominal time of the tick that led to an answer; none for what people asked for.
func (v view) heldBy(n news) *time.Time {
	at, ok := v.nominal[n.before.ID]
	if !ok || n.before.Send.Cause != store.ByRun {
		return nil
	}
	return &at
}

// change is what a charge's outcome makes of its recurrence.
func (v view) change(n news) (store.RecurrenceChange, bool) {
	r, ok := v.recurrences[n.before.Key()]
	if !ok {
		return store.RecurrenceChange{}, false
	}
	to, code := v.standing(n, r).After(n.outcome)
	if to == r.State {
		return store.RecurrenceChange{}, false
	}
	reason := store.Reason{Code: code}
	if to != recurrence.Active {
		reason = store.Reason{Class: string(n.Result.Class), Scope: string(n.Result.Scope), Code: code, ProviderCode: n.Result.ProviderCode}
	}
	return store.RecurrenceChange{Key: r.Key, From: []recurrence.State{r.State}, To: to, Reason: reason, HeldBy: v.heldBy(n)}, true
}

// standing is what matters of a charge's recurrence.
func (v view) standing(n news, r store.Recurrence) charge.Standing {
	cause := n.before.Send.Cause
	return charge.Standing{
		State: r.State, OthersUnpaid: v.othersUnpaid(n, r.State), CardInvalid: v.badCards[r.CardID],
		Asked: cause == store.ByPerson || cause == store.ByCard, NewCard: cause == store.ByCard,
		OldCard: n.before.CardID != r.CardID && !v.badCards[r.CardID] && !n.before.Contradicted, ForCard: charge.HeldForCard(r.Reason.Code),
	}
}

// othersUnpaid reports whether another charge keeps the recurrence where it is: one that is still retried keeps it past due,
// any that was declined keeps it on hold. A contradicted one is not tried again, so nothing waits for it.
func (v view) othersUnpaid(n news, state recurrence.State) bool {
	return slices.ContainsFunc(v.unpaid[n.before.Key()], func(c store.Charge) bool {
		declined := c.State == charge.FailedSoft || (state == recurrence.Hold && slices.Contains(charge.Open(), c.State) && c.State != charge.Due)
		return c.ID != n.before.ID && declined && !c.Contradicted
	})
}

// wakeOthers wakes the sending of other charges of these recurrences: one waits while another is under way. What goes again after a doubt, or
// with a card that nobody has tried yet, is woken as well: no lane has it in hand.
func (o *Outcomes) wakeOthers(ctx context.Context, tx pgx.Tx, all []news, v view) error {
	for _, n := range all { // a recurrence rarely has a second charge that waits
		var places []run.Place
		for _, c := range v.unpaid[n.before.Key()] {
			if (c.ID != n.before.ID || n.before.State == charge.Unknown || n.eitherCard) && c.Send.Wanted() {
				places = append(places, run.Place{Run: c.Send.Run, Page: c.Send.Page})
			}
		}
		if len(places) == 0 {
			continue
		}
		nonce := fmt.Sprintf("%s/%d", n.before.ID, n.Attempt.Version)
		if err := o.Runs.WakeDispatch(ctx, tx, nonce, places...); err != nil {
			return err
		}
	}
	return nil
}

func keysOf(all []news) []store.Key {
	keys := make([]store.Key, len(all))
	for i, n := range all {
		keys[i] = n.before.Key()
	}
	return keys
}
