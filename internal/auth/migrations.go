package auth

import (
	"embed"

	"github.com/agogopay/agogo/internal/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the audit trail and the table of idempotent requests.
var Migrations = pg.Set{Name: "auth", FS: migrations, Dir: "migrations"}
