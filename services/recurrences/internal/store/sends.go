package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/store/db"
)

// WantSent has charges sent by a page of a run, in place of whatever was to send them before, and returns those that will be.
// Charges that are on their way, in doubt or over are left alone, and so are contradicted ones: nothing ever sends those.
// The caller wakes the page.
func (s *Store) WantSent(ctx context.Context, tx pgx.Tx, send Send, ids ...uuid.UUID) ([]uuid.UUID, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	wanted, err := db.New(tx).WantSent(ctx, db.WantSentParams{
		SendRun: send.Run, SendPage: int32(send.Page), SendDate: send.Date.String(), SendCause: send.Cause, Now: s.Clock.Now(), Ids: ids,
	})
	if err != nil {
		return nil, fmt.Errorf("have charges sent: %w", err)
	}
	return wanted, nil
}

// UnwantSent has charges not sent after all, unless they are on their way.
func (s *Store) UnwantSent(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	if err := db.New(tx).UnwantSent(ctx, db.UnwantSentParams{Now: s.Clock.Now(), Ids: ids}); err != nil {
		return fmt.Errorf("have charges not sent: %w", err)
	}
	return nil
}

// ScheduleRetries gives declined charges dates to be retried on. They stay in their state, so no event tells it. The caller has
// locked them.
func (s *Store) ScheduleRetries(ctx context.Context, tx pgx.Tx, on map[uuid.UUID]recurrence.Date) error {
	if len(on) == 0 {
		return nil
	}
	p := db.ScheduleRetriesParams{Now: s.Clock.Now()}
	for _, id := range slices.SortedFunc(maps.Keys(on), compareIDs) {
		p.Ids, p.RetryOns = append(p.Ids, id), append(p.RetryOns, on[id].String())
	}
	if err := db.New(tx).ScheduleRetries(ctx, p); err != nil {
		return fmt.Errorf("schedule retries: %w", err)
	}
	return nil
}

// RestSends has charges rest until times of their own before they are sent. The caller has locked them.
func (s *Store) RestSends(ctx context.Context, tx pgx.Tx, until map[uuid.UUID]time.Time) error {
	if len(until) == 0 {
		return nil
	}
	p := db.RestSendsParams{Now: s.Clock.Now()}
	for _, id := range slices.SortedFunc(maps.Keys(until), compareIDs) {
		p.Ids, p.Untils = append(p.Ids, id), append(p.Untils, until[id])
	}
	if err := db.New(tx).RestSends(ctx, p); err != nil {
		return fmt.Errorf("have charges rest: %w", err)
	}
	return nil
}

// Contradict marks charges of which the gateway says that a closed attempt took money, or may yet. From then on nothing
// sends them, whatever state they are in: charging late can be mended, charging twice cannot.
func (s *Store) Contradict(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	if err := db.New(tx).Contradict(ctx, db.ContradictParams{Now: s.Clock.Now(), Ids: ids}); err != nil {
		return fmt.Errorf("mark contradicted charges: %w", err)
	}
	return nil
}
