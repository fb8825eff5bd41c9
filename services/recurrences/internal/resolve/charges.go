package resolve

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// ChargeNow sends a charge that is not paid, on whatever day and in whatever state its recurrence is, unless that has ended.
// What its last cycles left unpaid may still be charged.
func (r *Resolver) ChargeNow(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) error {
	sub, err := r.lock(ctx, tx, tenant, id)
	if err != nil {
		return err
	}
	if !slices.Contains(charge.Open(), sub.State) {
		return refused(sub.Charge, "only a charge that is due or was declined is charged by a person")
	}
	if err := sub.proven(); err != nil {
		return err
	}
	owner, card, err := r.chargeable(ctx, tx, sub.Key())
	if err != nil {
		return err
	}
	if card.ID == sub.CardID && charge.Forbidden(card.Brand, sub.Reason.ProviderCode, false, nil) == charge.CodeNever {
		return rpc.Refused("network_never", "have the customer give another card: agogo recurrences set-card "+owner.ID+" --card TOKEN --brand BRAND --reason TEXT",
			"the card's network forbids another attempt after code %s on recurrence %s", sub.Reason.ProviderCode, owner.ID)
	}
	return r.send(ctx, tx, store.ByPerson, sub.Charge)
}

// ChargeMissed makes a charge of a missed cycle and sends it.
func (r *Resolver) ChargeMissed(ctx context.Context, tx pgx.Tx, tenant, recurrenceID string, cycle recurrence.Date) (uuid.UUID, error) {
	owner, card, err := r.chargeable(ctx, tx, store.Key{Tenant: tenant, ID: recurrenceID})
	if err != nil {
		return uuid.Nil, err
	}
	missed, ok, err := r.Store.TakeMissed(ctx, tx, owner.Key, cycle)
	if err != nil {
		return uuid.Nil, err
	}
	if !ok {
		return uuid.Nil, rpc.NotFound("missed cycle", recurrenceID+" "+cycle.String())
	}
	made, err := r.Runs.Get(ctx, tx, missed.RunID)
	if err != nil {
		return uuid.Nil, err
	}
	rules, _ := r.Store.Rules(tenant)
	charges, err := r.Store.InsertCharges(ctx, tx, []store.Charge{{
		Tenant: tenant, RecurrenceID: owner.ID, Cycle: missed.Cycle, CustomerID: owner.CustomerID, SellerID: owner.SellerID,
		CardID: card.ID, Gateway: rules.DefaultGateway, Amount: owner.Amount, RunID: missed.RunID, NominalTime: made.NominalTime,
	}})
	if err != nil {
		return uuid.Nil, err
	}
	if len(charges) == 0 {
		return uuid.Nil, rpc.Refused("charged", "look at the charge of that cycle", "cycle %s of recurrence %s has a charge already", cycle, owner.ID)
	}
	return charges[0].ID, r.send(ctx, tx, store.ByPerson, charges[0])
}

// chargeable holds a recurrence that people may charge and its card, which must be valid.
func (r *Resolver) chargeable(ctx context.Context, tx pgx.Tx, k store.Key) (store.Recurrence, store.Card, error) {
	owner, err := r.recurrence(ctx, tx, k)
	if err != nil {
		return store.Recurrence{}, store.Card{}, err
	}
	if charge.Over(owner.State, owner.Reason.Code) {
		return store.Recurrence{}, store.Card{}, refusedRecurrence(owner, "what has ended is not charged")
	}
	cards, err := r.Store.Cards(ctx, tx, owner.CardID)
	if err != nil {
		return store.Recurrence{}, store.Card{}, err
	}
	if cards[0].State == store.CardInvalid {
		return store.Recurrence{}, store.Card{}, invalidCard(owner)
	}
	if cards[0].Network.Forbidden {
		return store.Recurrence{}, store.Card{}, forbiddenCard(owner)
	}
	return owner, cards[0], nil
}
