// Package migrations holds the tables of the notifier.
package migrations

import (
	"embed"

	"github.com/agogopay/agogo/internal/pg"
)

//go:embed *.sql
var files embed.FS

// Set creates devices, notifications, the queue of pushes, and alerts.
var Set = pg.Set{Name: "notifier", FS: files}
