package closing

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/closing/db"
)

// Place is where a list of closes goes on: behind this one.
type Place struct {
	Date     string
	Provider string
	Revision int
}

// OfDay lists the closes of a tenant's day; provider "" is all of them.
func OfDay(ctx context.Context, conn db.DBTX, tenant, provider, date string) ([]*payoutsv1.Close, error) {
	d, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return nil, fmt.Errorf("local date: %w", err)
	}
	rows, err := db.New(conn).OfDay(ctx, db.OfDayParams{Tenant: tenant, LocalDate: pgDate(d), Provider: provider})
	if err != nil {
		return nil, fmt.Errorf("list the closes of %s: %w", date, err)
	}
	return protos(ctx, conn, rows)
}

// List lists closes, newest day first.
func List(ctx context.Context, conn db.DBTX, tenant, provider string, after Place, limit int) ([]*payoutsv1.Close, error) {
	p := db.ListParams{
		Tenant: tenant, Provider: provider, BeforeDate: pgDate(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)), PageLimit: int32(limit),
	}
	if after.Date != "" {
		d, err := time.Parse(time.DateOnly, after.Date)
		if err != nil {
			return nil, fmt.Errorf("local date: %w", err)
		}
		p.BeforeDate, p.BeforeProvider, p.BeforeRevision = pgDate(d), after.Provider, int32(-after.Revision)
	}
	rows, err := db.New(conn).List(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list closes of %s: %w", tenant, err)
	}
	return protos(ctx, conn, rows)
}

// protos shows closes, and of open ones who would have them closed without their statement: the second of two people has to give the
// first one's reason.
func protos(ctx context.Context, conn db.DBTX, rows []db.Close) ([]*payoutsv1.Close, error) {
	all, open, ids := make([]*payoutsv1.Close, len(rows)), map[uuid.UUID]*payoutsv1.Close{}, []uuid.UUID{}
	for i, k := range rows {
		all[i] = proto(k)
		if k.State != Completed {
			open[k.CloseID], ids = all[i], append(ids, k.CloseID)
		}
	}
	if len(ids) == 0 {
		return all, nil
	}
	said, err := db.New(conn).Waivers(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read who would close days without their statement: %w", err)
	}
	for _, w := range said {
		m := open[w.CloseID]
		m.ProposedBy, m.ProposedReason, m.AgreedBy = w.ProposedBy, w.Reason, w.AgreedBy
	}
	return all, nil
}

// proto shows the figures of a close only when they are there.
func proto(k db.Close) *payoutsv1.Close {
	m := &payoutsv1.Close{
		Id: k.CloseID.String(), Tenant: k.Tenant, Provider: k.Provider, LocalDate: dateOf(k.LocalDate), Revision: k.Revision, State: k.State,
		Reason: k.Reason, Tries: k.Tries,
	}
	if k.State != Completed {
		m.NextTryAt = timestamppb.New(k.NextTryAt)
		return m
	}
	amount := func(minor int64) *eventsv1.Money { return &eventsv1.Money{Minor: minor, Currency: k.Currency} }
	m.Sequence, m.Opening, m.Late, m.TopUps, m.Paid = *k.Sequence, amount(k.Opening), amount(k.Late), amount(k.TopUps), amount(k.Paid)
	m.Fees, m.Reversed, m.Corrections, m.Closing = amount(k.Fees), amount(k.Reversed), amount(k.Corrections), amount(k.Closing)
	m.Statement, m.Lines, m.Matched, m.MatchedSum, m.Carried = k.Statement, k.Lines, k.Matched, amount(k.MatchedSum), amount(k.Carried)
	m.WaivedBy, m.WaivedBecause = k.WaivedBy, k.WaivedBecause
	m.ProviderClosingSource, m.Exceptions, m.Digest, m.KeyId = k.ClosingSource, k.Exceptions, k.Digest, k.KeyID
	m.CompletedAt = timestamppb.New(*k.CompletedAt)
	if k.ProviderClosing != nil {
		m.ProviderClosing, m.Difference = amount(*k.ProviderClosing), amount(*k.Difference)
	}
	return m
}
