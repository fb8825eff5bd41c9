// Package migrations holds the tables of the scheduler.
package migrations

import (
	"embed"

	"github.com/agogopay/agogo/internal/pg"
)

//go:embed *.sql
var files embed.FS

// Set is the scheduler's own set; outbox, inbox and auth bring theirs.
var Set = pg.Set{Name: "scheduler", FS: files}
