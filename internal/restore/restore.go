// Package restore keeps a service from acting on tables that were restored from a backup before people have said so, and keeps
// what they say: the epoch, which separates what is told after a restore from what was told before it, and what must be looked at
// before money is sent. See ADR 10 and docs/runbooks/restore.md.
package restore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/restore/db"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the tables of marks and of what they found lost.
var Migrations = pg.Set{Name: "restore", FS: migrations, Dir: "migrations"}

// Mark is people's word that a service's tables were restored.
type Mark struct {
	Epoch int
	At    time.Time // service clock; nothing was sent after it that the tables do not know
	// SentSince is since when something may have been sent that they do not know; zero when nobody can tell.
	SentSince time.Time
	// Until is the last day that anything sent before the mark can be of, as midnight in UTC.
	Until  time.Time
	Reason string
	Actor  string
}

// Careful reports whether something of a day may have been sent before the mark.
func (m Mark) Careful(day time.Time) bool { return m.Epoch > 0 && !day.After(m.Until) }

// Newest reads the newest mark; the zero Mark when there never was a restore.
func Newest(ctx context.Context, q db.DBTX) (Mark, error) {
	row, err := db.New(q).Newest(ctx)
	if errors.Is(err, pgx.ErrNoRows) {
		return Mark{}, nil
	}
	if err != nil {
		return Mark{}, fmt.Errorf("read the newest mark of a restore: %w", err)
	}
	until, err := time.Parse(time.DateOnly, row.CarefulUntil)
	if err != nil {
		return Mark{}, fmt.Errorf("mark of epoch %d: %w", row.Epoch, err)
	}
	m := Mark{Epoch: int(row.Epoch), At: row.MarkedAt, Until: until, Reason: row.Reason, Actor: row.Actor}
	if row.SentSince != nil {
		m.SentSince = *row.SentSince
	}
	return m, nil
}

// DBTX is what is read and written through: the pool or a transaction.
type DBTX = db.DBTX

// slack is what lies between the day of the mark in UTC and the last local day of something sent before it: a day for zones east
// of UTC, and one for clocks.
const slack = 2

// until is the last day that something sent before a moment can be of.
func until(moment time.Time) time.Time {
	return moment.UTC().Truncate(24*time.Hour).AddDate(0, 0, slack)
}
