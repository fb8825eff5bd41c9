// Package migrations holds the recurrences service's own tables; those of shared mechanism come with their packages.
package migrations

import (
	"embed"

	"github.com/agogopay/agogo/internal/pg"
)

//go:embed *.sql
var files embed.FS

// Set is the service's own tables.
var Set = pg.Set{Name: "recurrences", FS: files}
