// Package collect knows the charges that are sent: which of a page may go now, what must be looked at once more right before,
// and what is written when a send begins. How sends are claimed, called and recorded is internal/dispatch.
package collect

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/dispatch"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/recurrences/internal/collect/db"
	"github.com/agogopay/agogo/services/recurrences/internal/outcome"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// Book is the dispatcher's view of charges.
type Book struct {
	Store    *store.Store
	Runs     *run.Store
	Outcomes *outcome.Outcomes
	Clock    clock.Clock
	Logger   *slog.Logger
}

var _ dispatch.Book = (*Book)(nil)

// Providers lists the gateways of what a page is to send.
func (b *Book) Providers(ctx context.Context, q dispatch.DBTX, at run.Place) ([]string, error) {
	names, err := db.New(q).PageGateways(ctx, db.PageGatewaysParams{RunID: at.Run, Page: int32(at.Page)})
	if err != nil {
		return nil, fmt.Errorf("read gateways: %w", err)
	}
	return names, nil
}

// Gate leaves charges where they are behind a connector that is stopped. A tenant's stop is about what it pays out.
func (b *Book) Gate(_ context.Context, _ dispatch.DBTX, _ dispatch.Lane, st provider.Status) (dispatch.Gate, error) {
	if st.State == provider.Stopped {
		return dispatch.Gate{Code: dispatch.CodeStopped, Stay: true}, nil
	}
	return dispatch.Gate{}, nil
}

// Hold is never called: charges stay where they are.
func (b *Book) Hold(context.Context, pgx.Tx, dispatch.Lane, string, int) (int, error) { return 0, nil }

// unservedPause is how long charges rest whose gateway the tenants file does not have. No run waits for them meanwhile.
const unservedPause = time.Hour

// unservedMost is how many of them one transaction puts to rest: a whole page.
const unservedMost = 1000

// Unserved has charges rest whose gateway is gone. They go when it comes back, or when they are given another.
func (b *Book) Unserved(ctx context.Context, tx pgx.Tx, l dispatch.Lane) error {
	now := b.Clock.Now()
	ids, err := db.New(tx).UnservedCharges(ctx, db.UnservedChargesParams{
		RunID: l.Run.ID, Page: int32(l.Page), Gateway: l.Provider, Now: now, PageLimit: unservedMost,
	})
	if err != nil {
		return fmt.Errorf("claim charges of a gateway that is gone: %w", err)
	}
	until := make(map[uuid.UUID]time.Time, len(ids))
	for _, id := range ids {
		until[id] = now.Add(unservedPause)
	}
	b.Logger.ErrorContext(ctx, "recurrences: due at a gateway that the tenants file does not have; they wait for it",
		"tenant", l.Run.Tenant, "gateway", l.Provider, "run", l.Run.ID, "charges", len(ids))
	if err := b.Store.RestSends(ctx, tx, until); err != nil {
		return err
	}
	return b.Runs.Settle(ctx, tx, l.Run.ID)
}

// Apply moves the charges of attempts that have changed. The lane settles its run by itself.
func (b *Book) Apply(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) error {
	_, err := b.Outcomes.Move(ctx, tx, moved)
	return err
}

// Late takes in answers that came after somebody else had taken their attempts over.
func (b *Book) Late(ctx context.Context, tx pgx.Tx, answers []attempt.Outcome) error {
	return b.Outcomes.Late(ctx, tx, answers)
}

// Watch does nothing: charges have no batch to pause, and faults in a row have degraded the connector already.
func (b *Book) Watch(context.Context, pgx.Tx, dispatch.Lane, int, bool) error { return nil }

// Settle completes runs that waited for nothing else.
func (b *Book) Settle(ctx context.Context, tx pgx.Tx, runs ...uuid.UUID) error {
	return b.Runs.Settle(ctx, tx, runs...)
}
