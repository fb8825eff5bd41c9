package pg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/agogopay/agogo/internal/clock"
)

// Prepare creates schema and role of a service and gives the role that schema alone; adminDSN is a superuser's or owner's.
// It may be repeated, and then sets the password anew. The database is meant to be Agogo's own: Prepare also closes the
// schema "public" to everybody who owns nothing there, and refuses to when other programs keep tables in it.
func Prepare(ctx context.Context, adminDSN, schema, role, password string) error {
	if err := errors.Join(checkName("schema", schema), checkName("role", role)); err != nil {
		return err
	}
	verifier, err := scramVerifier(password)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, adminDSN)
	if err != nil {
		return fmt.Errorf("connect to prepare schema %s: %w", schema, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // everything is committed or failed by now

	p := preparation{schema: schema, role: role, verifier: verifier}
	for attempt := 1; ; attempt++ {
		err := InTx(ctx, conn, func(tx pgx.Tx) error { return p.run(ctx, tx) })
		switch {
		case err == nil:
			return nil
		case attempt == prepareAttempts || !roleRaced(err):
			return fmt.Errorf("prepare schema %s for role %s: %w", schema, role, err)
		}
		if err := clock.Real().Sleep(ctx, backoff(attempt)); err != nil {
			return err
		}
	}
}

// prepareAttempts is how often preparing begins anew when it meets another database's.
const prepareAttempts = 8

// roleRaced reports whether somebody else made or changed the role at the same moment. Roles belong to the server, the lock
// below to the database, so two installations on one server meet here.
func roleRaced(err error) bool {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code {
	case "42710", "23505": // the role is there, by name or by the catalog's own index
		return true
	case "XX000": // the code of all internal errors, so the text decides
		return strings.Contains(refused.Message, "tuple concurrently")
	}
	return false
}

type preparation struct{ schema, role, verifier string }

func (p preparation) run(ctx context.Context, tx pgx.Tx) error {
	for _, step := range []func(context.Context, pgx.Tx) error{p.lock, p.ensureRole, p.ensureSchema, p.closePublic, p.verify} {
		if err := step(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

func exec(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, s := range statements {
		if _, err := tx.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// lock lets services that start at once wait for each other; Postgres itself would answer "tuple concurrently updated".
func (p preparation) lock(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lockKey("prepare", ""))
	return err
}

func (p preparation) ensureRole(ctx context.Context, tx pgx.Tx) error {
	var powerful bool
	var memberOf []string
	err := tx.QueryRow(ctx, `
		SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls,
		       ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid)
		FROM pg_roles r WHERE rolname = $1`, p.role).Scan(&powerful, &memberOf)
	verb := "ALTER"
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		verb = "CREATE"
	case err != nil:
		return err
	case powerful || len(memberOf) > 0:
		return fmt.Errorf("role %s exists with more rights than a service may have (member of %v): choose another name", p.role, memberOf)
	}
	// The password goes over as its verifier, so no server log can show it. Neither statement takes parameters.
	if err := exec(ctx, tx, fmt.Sprintf("%s ROLE %s LOGIN PASSWORD '%s'", verb, p.role, p.verifier)); err != nil {
		return err
	}
	return p.joinRole(ctx, tx)
}

// joinRole lets an admin who is no superuser create a schema that belongs to the role. From Postgres 16 on who makes a role is a
// member of it that may manage it and not act as it, so there membership alone says nothing.
func (p preparation) joinRole(ctx context.Context, tx pgx.Tx) error {
	var may bool
	err := tx.QueryRow(ctx, `
		SELECT pg_has_role(current_user, $1, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)`,
		p.role).Scan(&may)
	if err != nil || may {
		return err
	}
	return exec(ctx, tx, fmt.Sprintf("GRANT %s TO CURRENT_USER", p.role))
}

func (p preparation) ensureSchema(ctx context.Context, tx pgx.Tx) error {
	var owner, database string
	err := tx.QueryRow(ctx, `
		SELECT coalesce((SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = $1), ''), quote_ident(current_database())`,
		p.schema).Scan(&owner, &database)
	if err != nil {
		return err
	}
	if owner != "" && owner != p.role {
		return fmt.Errorf("schema %s belongs to role %s: choose another schema, or change its owner", p.schema, owner)
	}
	if owner == "" {
		if err := exec(ctx, tx, fmt.Sprintf("CREATE SCHEMA %s AUTHORIZATION %s", p.schema, p.role)); err != nil {
			return err
		}
	}
	return exec(ctx, tx,
		fmt.Sprintf("REVOKE ALL ON SCHEMA %s FROM PUBLIC", p.schema),
		fmt.Sprintf("GRANT CONNECT ON DATABASE %s TO %s", database, p.role),
		// For people who open psql as the role; the services say it themselves.
		fmt.Sprintf("ALTER ROLE %s IN DATABASE %s SET search_path = %s", p.role, database, p.schema))
}

// closePublic takes the rights that Postgres gives everybody on the schema "public".
func (p preparation) closePublic(ctx context.Context, tx pgx.Tx) error {
	var open, used bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
		               WHERE n.nspname = 'public' AND a.grantee = 0),
		       EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public'
		               AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'))`).Scan(&open, &used)
	if err != nil || !open {
		return err
	}
	if used {
		return errors.New("schema public of this database holds tables of other programs: give Agogo a database of its own")
	}
	return exec(ctx, tx, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
}

// verify asks Postgres itself what the role may do, because REVOKE by somebody who did not grant only warns.
func (p preparation) verify(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		SELECT nspname::text FROM pg_namespace
		WHERE nspname <> 'information_schema' AND nspname !~ '^pg_'
		  AND (has_schema_privilege($1, oid, 'CREATE') OR has_schema_privilege($1, oid, 'USAGE'))`, p.role)
	if err != nil {
		return err
	}
	schemas, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if !slices.Equal(schemas, []string{p.schema}) {
		return fmt.Errorf("role has rights on schemas %v instead of %s alone: revoke them as the owner of the database", schemas, p.schema)
	}
	return nil
}
