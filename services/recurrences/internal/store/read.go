package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store/db"
)

// Recurrences reads recurrences in key order; unknown ones are absent.
func (s *Store) Recurrences(ctx context.Context, q db.DBTX, keys ...Key) ([]Recurrence, error) {
	tenants, ids := split(keys)
	rows, err := db.New(q).GetRecurrences(ctx, db.GetRecurrencesParams{Tenants: tenants, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("read recurrences: %w", err)
	}
	all := make([]Recurrence, len(rows))
	for i, r := range rows {
		all[i] = recurrenceFrom(db.LockRecurrencesRow(r))
	}
	return all, nil
}

// LockRecurrences reads recurrences in key order and holds their rows until the transaction ends.
func (s *Store) LockRecurrences(ctx context.Context, tx pgx.Tx, keys ...Key) ([]Recurrence, error) {
	tenants, ids := split(keys)
	rows, err := db.New(tx).LockRecurrences(ctx, db.LockRecurrencesParams{Tenants: tenants, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("lock recurrences: %w", err)
	}
	all := make([]Recurrence, len(rows))
	for i, r := range rows {
		all[i] = recurrenceFrom(r)
	}
	return all, nil
}

// Charges reads charges in id order; unknown ones are absent.
func (s *Store) Charges(ctx context.Context, q db.DBTX, ids ...uuid.UUID) ([]Charge, error) {
	rows, err := db.New(q).GetCharges(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read charges: %w", err)
	}
	all := make([]Charge, len(rows))
	for i, r := range rows {
		all[i] = chargeFrom(db.LockChargesRow(r))
	}
	return all, nil
}

// LockCharges reads charges in id order and holds their rows until the transaction ends.
func (s *Store) LockCharges(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) ([]Charge, error) {
	rows, err := db.New(tx).LockCharges(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("lock charges: %w", err)
	}
	all := make([]Charge, len(rows))
	for i, r := range rows {
		all[i] = chargeFrom(r)
	}
	return all, nil
}

// Unpaid reads the charges of recurrences that neither succeeded nor were cancelled, oldest cycle first.
func (s *Store) Unpaid(ctx context.Context, q db.DBTX, keys ...Key) (map[Key][]Charge, error) {
	tenants, ids := split(keys)
	rows, err := db.New(q).UnpaidCharges(ctx, db.UnpaidChargesParams{Tenants: tenants, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("read unpaid charges: %w", err)
	}
	all := map[Key][]Charge{}
	for _, r := range rows {
		c := chargeFrom(db.LockChargesRow(r))
		all[c.Key()] = append(all[c.Key()], c)
	}
	return all, nil
}

// Cards reads cards in id order; unknown ones are absent.
func (s *Store) Cards(ctx context.Context, q db.DBTX, ids ...uuid.UUID) ([]Card, error) {
	rows, err := db.New(q).GetCards(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read cards: %w", err)
	}
	all := make([]Card, len(rows))
	for i, r := range rows {
		all[i] = cardFrom(db.LockCardsRow(r))
	}
	return all, nil
}

// LockCards reads cards in id order and holds their rows until the transaction ends.
func (s *Store) LockCards(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) ([]Card, error) {
	rows, err := db.New(tx).LockCards(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("lock cards: %w", err)
	}
	all := make([]Card, len(rows))
	for i, r := range rows {
		all[i] = cardFrom(r)
	}
	return all, nil
}

func recurrenceFrom(r db.LockRecurrencesRow) Recurrence {
	return Recurrence{
		Key: Key{r.Tenant, r.RecurrenceID}, CustomerID: r.CustomerID, CustomerName: r.CustomerName, SellerID: r.SellerID,
		Amount: money.Amount{Minor: r.Amount, Currency: money.Currency(r.Currency)}, Description: r.Description,
		Terms: recurrence.Terms{
			Rhythm: recurrence.Rhythm{
				Period: recurrence.Period(r.Period), Day: int(r.AnchorDay), Month: int(r.AnchorMonth), Interval: int(r.IntervalDays),
			},
			EndDate: r.EndDate, MaxCycles: int(r.MaxCycles),
		},
		At:     recurrence.Position{Next: recurrence.Cycle{Date: r.NextCycle, ChargeOn: r.NextChargeDate}, Cycles: int(r.Cycles)},
		CardID: r.CardID, State: recurrence.State(r.State),
		Reason: Reason{Class: r.ReasonClass, Scope: r.ReasonScope, Code: r.ReasonCode, ProviderCode: r.ProviderCode},
		HeldBy: r.HeldBy, EndedAt: r.EndedAt, Version: r.Version,
	}
}

func chargeFrom(r db.LockChargesRow) Charge {
	c := Charge{
		ID: r.ChargeID, Tenant: r.Tenant, RecurrenceID: r.RecurrenceID, Cycle: recurrence.Cycle{Date: r.Cycle, ChargeOn: r.ChargeDate},
		CustomerID: r.CustomerID, SellerID: r.SellerID, CardID: r.CardID, Gateway: r.Gateway,
		Amount: money.Amount{Minor: r.Amount, Currency: money.Currency(r.Currency)}, State: charge.State(r.State),
		Reason:    Reason{Class: r.ReasonClass, Scope: r.ReasonScope, Code: r.ReasonCode, ProviderCode: r.ProviderCode},
		TakenBack: charge.TakenBack{Refunded: r.Refunded, Disputed: r.Disputed, ChargedBack: r.ChargedBack},
		Attempt:   int(r.Attempt), Reference: r.Reference, Tries: int(r.Tries), TriedAttempt: int(r.TriedAttempt), FirstAttempt: r.FirstAttemptDate,
		LastAttempt: r.LastAttemptDate, RetryOn: r.RetryOn, Send: Send{Date: r.SendDate, Cause: r.SendCause}, NotBefore: r.NotBefore,
		Contradicted: r.Contradicted, RunID: r.RunID, NominalTime: r.NominalTime, Version: r.Version,
	}
	if r.SendRun != nil {
		c.Send.Run = *r.SendRun
	}
	if r.SendPage != nil {
		c.Send.Page = int(*r.SendPage)
	}
	if r.SendWantedAt != nil {
		c.Send.At = *r.SendWantedAt
	}
	if r.Fee != nil {
		c.Fee = &money.Amount{Minor: *r.Fee, Currency: c.Amount.Currency}
	}
	return c
}

func cardFrom(r db.LockCardsRow) Card {
	return Card{
		ID: r.CardID, Tenant: r.Tenant, Token: r.Token, Brand: r.Brand, State: r.State, Reason: Reason{Code: r.Reason},
		Failures: int(r.Failures), Network: NetworkWord{Forbidden: r.Forbidden, WaitUntil: r.WaitUntil}, Version: r.Version,
	}
}
