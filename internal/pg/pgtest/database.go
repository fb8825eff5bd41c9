package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"testing"

	"github.com/agogopay/agogo/internal/pg"
)

// Database gives a superuser's address of a database of its own, for tests of what all schemas of one share. It is dropped
// when the test ends, whoever is still connected.
func Database(t testing.TB) (dsn string) {
	t.Helper()
	u, err := url.Parse(DSN(t))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	name := "d_" + token()
	u.Path = "/" + name
	if err := execAdmin("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	dropAfter(t, "DATABASE "+name+" WITH (FORCE)")
	return u.String()
}

// Installed gives the address of such a database prepared for a service, whose schema has a fixed name, with a role that may
// do no more than in production.
func Installed(t testing.TB, service string) (dsn string) {
	t.Helper()
	role, password := "r_"+token(), token()
	dropAfter(t, "ROLE IF EXISTS "+role) // and after the database, in which it owns things
	admin := Database(t)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := pg.Prepare(ctx, admin, service, role, password); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	dsn, err := withUser(admin, role, password)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return dsn
}

func dropAfter(t testing.TB, what string) {
	t.Cleanup(func() {
		if err := execAdmin("DROP " + what); err != nil {
			t.Error(err)
		}
	})
}

func execAdmin(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := process.admin.Exec(ctx, sql); err != nil {
		return fmt.Errorf("pgtest: %s: %w", sql, err)
	}
	return nil
}
