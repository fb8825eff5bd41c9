package imports

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/recurrences/internal/imports/db"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// store stores a batch: rows are taken in order against what is known, then written set-based. Cards are locked first, so
// that none is invalidated while recurrences are put on it.
func (im *Importer) store(ctx context.Context, tx pgx.Tx, tenant string, batch []row) (rows.Stored, error) {
	known, err := known(ctx, tx, tenant, batch)
	if err != nil {
		return rows.Stored{}, err
	}
	cards, err := im.lockCards(ctx, tx, batch)
	if err != nil {
		return rows.Stored{}, err
	}
	var done rows.Stored
	var fresh []row
	for _, r := range batch {
		was, seen := known[r.ID]
		var ref *rows.Error
		if seen {
			ref = was.differs(r)
		} else {
			ref = fits(r, cards)
		}
		switch {
		case ref != nil:
			done.Refused = append(done.Refused, *ref)
		case seen:
			done.Unchanged++
		default:
			known[r.ID] = r.facts
			if _, ok := cards[r.CardID]; !ok {
				cards[r.CardID] = store.Card{ID: r.CardID, Tenant: tenant, Token: r.token, Brand: r.CardBrand, State: store.CardValid}
			}
			fresh = append(fresh, r)
		}
	}
	done.Inserted = int64(len(fresh))
	return done, im.write(ctx, tx, tenant, fresh, cards)
}

// known reads what the recurrences that exist were imported with.
func known(ctx context.Context, tx pgx.Tx, tenant string, batch []row) (map[string]facts, error) {
	ids := make([]string, len(batch))
	for i, r := range batch {
		ids[i] = r.ID
	}
	slices.Sort(ids)
	rows, err := db.New(tx).Known(ctx, db.KnownParams{Tenant: tenant, Ids: slices.Compact(ids)})
	if err != nil {
		return nil, fmt.Errorf("read known recurrences: %w", err)
	}
	known := make(map[string]facts, len(batch))
	for _, r := range rows {
		x := facts{ID: r.RecurrenceID, CustomerName: r.CustomerName}
		if err := json.Unmarshal(r.Imported, &x); err != nil {
			return nil, fmt.Errorf("read what recurrence %s was imported with: %w", r.RecurrenceID, err)
		}
		known[r.RecurrenceID] = x
	}
	return known, nil
}

func (im *Importer) lockCards(ctx context.Context, tx pgx.Tx, batch []row) (map[uuid.UUID]store.Card, error) {
	ids := make([]uuid.UUID, len(batch))
	for i, r := range batch {
		ids[i] = r.CardID
	}
	locked, err := im.Store.LockCards(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	cards := make(map[uuid.UUID]store.Card, len(batch))
	for _, c := range locked {
		cards[c.ID] = c
	}
	return cards, nil
}

// fits refuses a row whose card is known as another one than the row says, or is known to be of no use.
func fits(r row, cards map[uuid.UUID]store.Card) *rows.Error {
	c, ok := cards[r.CardID]
	switch {
	case !ok:
		return nil
	case c.Brand != r.CardBrand:
		return &rows.Error{Line: r.line, Field: "card_brand", Message: fmt.Sprintf("%s, but this token is known as one of %s", rows.Shape(r.CardBrand), c.Brand)}
	case c.State == store.CardInvalid && recurrence.Charges(recurrence.State(r.Status)):
		return &rows.Error{Line: r.line, Field: "card_token", Message: "this card is invalid (" + c.Reason.Code + "): give another one, or import it on hold"}
	}
	return nil
}

// write inserts the cards that are new and the recurrences.
func (im *Importer) write(ctx context.Context, tx pgx.Tx, tenant string, fresh []row, cards map[uuid.UUID]store.Card) error {
	if len(fresh) == 0 {
		return nil
	}
	if err := im.writeCards(ctx, tx, fresh, cards); err != nil {
		return err
	}
	all := make([]store.Recurrence, len(fresh))
	for i, r := range fresh {
		imported, err := r.encode()
		if err != nil {
			return err
		}
		all[i] = store.Recurrence{
			Key: store.Key{Tenant: tenant, ID: r.ID}, CustomerID: r.CustomerID, CustomerName: r.CustomerName, SellerID: r.SellerID,
			Amount: r.money(), Description: r.Description, Terms: r.terms(), At: r.at, CardID: r.CardID, State: recurrence.State(r.Status),
			Reason: store.Reason{Code: recurrence.CodeImported}, EndedAt: im.ended(r), Imported: imported,
		}
	}
	stored, err := im.Store.InsertRecurrences(ctx, tx, all)
	if err != nil {
		return err
	}
	if len(stored) != len(fresh) {
		return rows.ErrRaced
	}
	return nil
}

// ended is when an ended recurrence ended. Of one whose file does not say, the archive's time begins now.
func (im *Importer) ended(r row) *time.Time {
	at := r.EndedAt
	switch {
	case !recurrence.Ended(recurrence.State(r.Status)):
		return nil
	case at.IsZero():
		at = im.Clock.Now()
	}
	return &at
}

// writeCards inserts the cards that are new, and adds to what all of them have failed in a row. The attempts that failed
// elsewhere are the card's, whoever made them: they bring it nearer to being invalidated, and nothing else. The cycle that
// failed there is charged here as if for the first time, with all its retries, since nobody knows when it was tried.
func (im *Importer) writeCards(ctx context.Context, tx pgx.Tx, fresh []row, cards map[uuid.UUID]store.Card) error {
	wanted, failures := make([]store.Card, len(fresh)), map[uuid.UUID]int{}
	for i, r := range fresh {
		c := cards[r.CardID]
		wanted[i] = c
		if r.FailedAttempts > 0 && !recurrence.Ended(recurrence.State(r.Status)) {
			failures[r.CardID] += r.FailedAttempts
		}
	}
	if err := im.Store.InsertCards(ctx, tx, wanted); err != nil {
		return err
	}
	now, err := im.lockCards(ctx, tx, fresh)
	if err != nil {
		return err
	}
	for id, c := range now {
		if c.Brand != cards[id].Brand || c.State != cards[id].State {
			return rows.ErrRaced // another import made this card meanwhile
		}
		if failures[id] > 0 {
			failures[id] += c.Failures
		}
	}
	return im.Store.CountFailures(ctx, tx, failures)
}
