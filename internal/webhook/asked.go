package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/webhook/db"
)

// What a provider calls a transfer says nothing where the tables that knew it are lost. It is asked then; see ADR 10.

// Askable are ids by which webhooks wait because nothing here knows them, and which their provider is to be asked about now, the longest waiting
// first. An id is asked about as often as its webhook is tried, by one replica at a time, and no longer than that waits.
func Askable(ctx context.Context, tx pgx.Tx, now time.Time, tenant, name string, most int) ([]string, error) {
	q := db.New(tx)
	waiting, err := q.AskableNames(ctx, db.AskableNamesParams{Tenant: tenant, Provider: name, Now: now, Most: int32(most)})
	if err != nil {
		return nil, fmt.Errorf("find ids that webhooks wait by: %w", err)
	}
	if len(waiting) == 0 {
		return nil, nil
	}
	p := db.AskNamesParams{Tenant: tenant, Provider: name, Now: now}
	for _, w := range waiting {
		p.Ids, p.NextAsks = append(p.Ids, w.ID), append(p.NextAsks, nextTry(now, now.Sub(w.ReceivedAt)))
	}
	ids, err := q.AskNames(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("take ids that webhooks wait by: %w", err)
	}
	return ids, nil
}

// Answered notes of ids what their provider said their references are, and which it did not tell of.
func Answered(ctx context.Context, tx pgx.Tx, tenant, name string, told map[string]string, missed []string) error {
	p := db.TellNamesParams{Tenant: tenant, Provider: name}
	for id, reference := range told {
		p.Ids, p.Refs = append(p.Ids, id), append(p.Refs, reference)
	}
	if err := db.New(tx).TellNames(ctx, p); err != nil {
		return fmt.Errorf("note what ids are of: %w", err)
	}
	if err := db.New(tx).MissNames(ctx, db.MissNamesParams{Tenant: tenant, Provider: name, Ids: missed}); err != nil {
		return fmt.Errorf("note what ids are not told of: %w", err)
	}
	return nil
}

// Unnamed is when the first of the webhooks came that wait by an id which their provider is being asked about, or, with missed, was asked about in
// vain; the zero time when there is none.
func Unnamed(ctx context.Context, tx pgx.Tx, tenant, name string, missed bool) (time.Time, error) {
	oldest, err := db.New(tx).Unnamed(ctx, db.UnnamedParams{Tenant: tenant, Provider: name, Missed: missed})
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("find webhooks whose ids are not told of: %w", err)
	}
	return oldest, nil
}

// Named reports whether a provider has said that an id is of this reference: it has it, whatever it says when it is asked for the reference.
func Named(ctx context.Context, q db.DBTX, tenant, name, reference string) (bool, error) {
	named, err := db.New(q).IsNamed(ctx, db.IsNamedParams{Tenant: tenant, Provider: name, Reference: reference})
	if err != nil {
		return false, fmt.Errorf("look for an id of a reference: %w", err)
	}
	return named, nil
}
