package auth

import (
	"embed"
	"io/fs"

	"github.com/agogopay/agogo/internal/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the audit trail and the table of idempotent requests.
var Migrations = pg.Set{Name: "auth", FS: sub(migrations)}

func sub(f embed.FS) fs.FS {
	s, err := fs.Sub(f, "migrations")
	if err != nil {
		panic(err) // the folder is embedded: only a broken build can get here
	}
	return s
}
