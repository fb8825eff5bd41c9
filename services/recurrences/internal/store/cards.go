package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store/db"
)

// InsertCards stores cards that are not there yet; those that are stay as they are. A card has no event before something
// happens to it.
func (s *Store) InsertCards(ctx context.Context, tx pgx.Tx, cards []Card) error {
	byID := map[uuid.UUID]Card{}
	for _, c := range cards {
		c.ID = CardID(c.Tenant, c.Token)
		byID[c.ID] = c
	}
	if len(byID) == 0 {
		return nil
	}
	p := db.InsertCardsParams{Now: s.Clock.Now()}
	for _, id := range slices.SortedFunc(maps.Keys(byID), compareIDs) {
		c := byID[id]
		p.Ids, p.Tenants, p.Tokens, p.Brands = append(p.Ids, id), append(p.Tenants, c.Tenant), append(p.Tokens, c.Token), append(p.Brands, c.Brand)
	}
	if err := db.New(tx).InsertCards(ctx, p); err != nil {
		return fmt.Errorf("insert cards: %w", err)
	}
	return nil
}

// InvalidateCards makes valid cards invalid for their reasons, and puts everything that they would be charged for on hold.
// heldBy is the nominal time of the tick that led to it, per card; nil when none did. It returns the recurrences it moved.
func (s *Store) InvalidateCards(ctx context.Context, tx pgx.Tx, why map[uuid.UUID]Reason, heldBy map[uuid.UUID]*time.Time) ([]Recurrence, error) {
	if len(why) == 0 {
		return nil, nil
	}
	ids := slices.SortedFunc(maps.Keys(why), compareIDs)
	if err := s.invalidate(ctx, tx, ids, why); err != nil {
		return nil, err
	}
	rows, err := charged(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	changes := make([]RecurrenceChange, len(rows))
	for i, r := range rows {
		changes[i] = RecurrenceChange{
			Key: Key{r.Tenant, r.RecurrenceID}, From: []recurrence.State{recurrence.Active, recurrence.PastDue}, To: recurrence.Hold,
			Reason: Reason{Scope: "card", Code: recurrence.CodeCardInvalid}, HeldBy: heldBy[r.CardID],
		}
	}
	return s.ApplyRecurrences(ctx, tx, changes)
}

// ChargedTo lists the recurrences that are charged to some cards: those that [Store.InvalidateCards] would move.
func (s *Store) ChargedTo(ctx context.Context, q db.DBTX, cards ...uuid.UUID) ([]Key, error) {
	rows, err := charged(ctx, q, cards)
	if err != nil {
		return nil, err
	}
	keys := make([]Key, len(rows))
	for i, r := range rows {
		keys[i] = Key{r.Tenant, r.RecurrenceID}
	}
	return keys, nil
}

func charged(ctx context.Context, q db.DBTX, cards []uuid.UUID) ([]db.RecurrencesToHoldRow, error) {
	if len(cards) == 0 {
		return nil, nil
	}
	rows, err := db.New(q).RecurrencesToHold(ctx, cards)
	if err != nil {
		return nil, fmt.Errorf("find recurrences of cards: %w", err)
	}
	return rows, nil
}

func (s *Store) invalidate(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, why map[uuid.UUID]Reason) error {
	cards, err := s.LockCards(ctx, tx, ids...)
	if err != nil {
		return err
	}
	p := db.MoveCardsParams{Now: s.Clock.Now()}
	var msgs []outbox.Message
	for _, c := range cards {
		if c.State == CardInvalid {
			continue
		}
		t, err := next(event.Card, c.State, CardInvalid, "")
		if err != nil {
			return fmt.Errorf("card %s: %w", c.ID, err)
		}
		c.Previous, c.State, c.Reason, c.Version = c.State, CardInvalid, why[c.ID], c.Version+1
		p.Ids, p.States, p.Versions = append(p.Ids, c.ID), append(p.States, c.State), append(p.Versions, c.Version)
		p.Reasons = append(p.Reasons, c.Reason.Code)
		msg, err := s.Event(ctx, c.Tenant, t, c.ID.String(), c.Version, CardSnapshot(c))
		if err != nil {
			return err
		}
		msgs = append(msgs, msg)
	}
	if len(msgs) == 0 {
		return nil
	}
	if _, err := db.New(tx).MoveCards(ctx, p); err != nil {
		return fmt.Errorf("move cards: %w", err)
	}
	return s.Outbox.Append(ctx, tx, msgs...)
}

// CountFailures writes how many declines in a row cards have now. The caller has locked them.
func (s *Store) CountFailures(ctx context.Context, tx pgx.Tx, failures map[uuid.UUID]int) error {
	if len(failures) == 0 {
		return nil
	}
	p := db.CountCardFailuresParams{Now: s.Clock.Now()}
	for _, id := range slices.SortedFunc(maps.Keys(failures), compareIDs) {
		p.Ids, p.Failures = append(p.Ids, id), append(p.Failures, int32(failures[id]))
	}
	if err := db.New(tx).CountCardFailures(ctx, p); err != nil {
		return fmt.Errorf("count failures of cards: %w", err)
	}
	return nil
}

// NoteNetworkWords keeps what networks said about cards, beside what they said before. The caller has locked the cards.
func (s *Store) NoteNetworkWords(ctx context.Context, tx pgx.Tx, words map[uuid.UUID]NetworkWord) error {
	if len(words) == 0 {
		return nil
	}
	p := db.NoteNetworkWordsParams{Now: s.Clock.Now()}
	for _, id := range slices.SortedFunc(maps.Keys(words), compareIDs) {
		p.Ids, p.Forbiddens = append(p.Ids, id), append(p.Forbiddens, words[id].Forbidden)
		p.WaitUntils = append(p.WaitUntils, timeOrZero(words[id].WaitUntil))
	}
	if err := db.New(tx).NoteNetworkWords(ctx, p); err != nil {
		return fmt.Errorf("note what networks said of cards: %w", err)
	}
	return nil
}

func compareIDs(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }
