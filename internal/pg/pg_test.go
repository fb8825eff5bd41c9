package pg_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func set(name string, files ...string) pg.Set {
	m := fstest.MapFS{}
	for i, sql := range files {
		m[fmt.Sprintf("%04d_step.sql", i+1)] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql)}
	}
	return pg.Set{Name: name, FS: m}
}

func counter() pg.Set {
	return set("counter", "CREATE TABLE counter (id int PRIMARY KEY, n int NOT NULL CONSTRAINT small CHECK (n < 1000));\nINSERT INTO counter VALUES (1, 0), (2, 0);")
}

func scan[T any](t *testing.T, db interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, sql string, args ...any,
) T {
	t.Helper()
	var v T
	if err := db.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func TestOpenSetsTheSession(t *testing.T) {
	t.Parallel()
	c := pgtest.Config(t)
	c.AppName, c.MaxConns = "payouts", 3
	pool := pgtest.Open(t, c)
	for setting, want := range map[string]string{
		"search_path": `"` + c.Schema + `"`, "application_name": "payouts", "TimeZone": "UTC",
		"statement_timeout": "1min", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "1min",
		"transaction_isolation": "read committed", "random_page_cost": "1.1",
	} {
		if got := scan[string](t, pool, "SELECT current_setting($1)", setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	if got := pool.Config().MaxConns; got != 3 {
		t.Errorf("%d connections at most, want 3", got)
	}
	c.MaxConns = 0
	c.DSN += "&statement_timeout=5s"
	pool = pgtest.Open(t, c)
	if got := scan[string](t, pool, "SHOW statement_timeout"); got != "5s" || pool.Config().MaxConns != 8 {
		t.Errorf("statement_timeout %s of the DSN and %d connections, want 5s and 8", got, pool.Config().MaxConns)
	}
}

func TestOpenSaysWhatIsWrongAndKeepsThePassword(t *testing.T) {
	t.Parallel()
	good := pgtest.Config(t)
	for name, c := range map[string]pg.Config{
		"not a DSN":      {DSN: "postgres://u:geheim@host:port/x", Schema: good.Schema},
		"nobody listens": {DSN: "postgres://u:geheim@127.0.0.1:1/x", Schema: good.Schema},
		"wrong password": {DSN: strings.Replace(good.DSN, "@", "geheim@", 1), Schema: good.Schema},
		"no schema":      {DSN: good.DSN},
		"public":         {DSN: good.DSN, Schema: "public"},
		"needs quotes":   {DSN: good.DSN, Schema: `a"b`},
	} {
		pool, err := pg.Open(t.Context(), c)
		if err == nil {
			pool.Close()
			t.Errorf("%s: opened", name)
		} else if strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
}

func TestInTxCommitsOrRollsBack(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, counter())
	add := func(n int, result error) error {
		return pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "UPDATE counter SET n = n + $1 WHERE id = 1", n); err != nil {
				return err
			}
			return result
		})
	}
	if err := add(1, nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := add(10, broken); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), "UPDATE counter SET n = n + 100 WHERE id = 1"); err != nil {
				t.Error(err)
			}
			panic("in the middle")
		})
	}()
	if got := scan[int](t, pool, "SELECT n FROM counter WHERE id = 1"); got != 1 {
		t.Errorf("n = %d, want 1", got)
	}
	if got := pool.Stat().AcquiredConns(); got != 0 {
		t.Errorf("%d connections were not given back", got)
	}
}

// Two transactions that lock two rows in opposite order: Postgres kills one, and InTx runs it again.
func TestInTxRepeatsAfterADeadlock(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, counter())
	var bothHoldOne, done sync.WaitGroup
	bothHoldOne.Add(2)
	runs := make(chan int, 2)
	for i := range 2 {
		done.Go(func() {
			n := 0
			err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
				n++
				for k := range 2 {
					if _, err := tx.Exec(t.Context(), "UPDATE counter SET n = n + 1 WHERE id = $1", 1+(i+k)%2); err != nil {
						return err
					}
					if k == 0 && n == 1 {
						bothHoldOne.Done()
						bothHoldOne.Wait()
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			runs <- n
		})
	}
	done.Wait()
	if total := <-runs + <-runs; total < 3 {
		t.Errorf("%d runs: none was repeated, so there was no deadlock", total)
	}
	if got := scan[int](t, pool, "SELECT sum(n) FROM counter"); got != 4 {
		t.Errorf("sum %d, want 4: each transaction once", got)
	}
}

func TestInTxGivesUpInTheEnd(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	runs := 0
	err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		runs++
		_, err := tx.Exec(t.Context(), "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$")
		return err
	})
	if pg.KindOf(err) != pg.Conflict || runs != 5 {
		t.Errorf("error %v after %d runs, want a conflict after 5", err, runs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	runs = 0
	err = pg.InTx(ctx, pool, func(tx pgx.Tx) error {
		runs++
		_, err := tx.Exec(ctx, "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$")
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) || runs != 1 {
		t.Errorf("error %v after %d runs, want the end of the context after 1", err, runs)
	}
}

func TestInTxInATransactionIsASavepoint(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, counter())
	broken := errors.New("broken")
	err := pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		for _, result := range []error{nil, broken} {
			err := pg.InTx(t.Context(), tx, func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), "UPDATE counter SET n = n + 1 WHERE id = 1")
				return errors.Join(err, result)
			})
			if !errors.Is(err, result) {
				t.Errorf("error %v, want %v", err, result)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := scan[int](t, pool, "SELECT n FROM counter WHERE id = 1"); got != 1 {
		t.Errorf("n = %d, want 1", got)
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t, counter(), set("child", "CREATE TABLE child (id int REFERENCES counter);"))
	exec := func(sql string) error { _, err := pool.Exec(t.Context(), sql); return err }
	lost := pgtest.Open(t, pg.Config{DSN: pool.Config().ConnString(), Schema: schemaOf(t, pool)})
	for name, tc := range map[string]struct {
		err       error
		kind      pg.Kind
		transient bool
	}{
		"nil":          {nil, pg.Other, false},
		"not ours":     {errors.New("x"), pg.Other, false},
		"no row":       {pool.QueryRow(t.Context(), "SELECT n FROM counter WHERE id = 77").Scan(new(int)), pg.NotFound, false},
		"unique":       {exec("INSERT INTO counter VALUES (1, 0)"), pg.Unique, false},
		"foreign key":  {exec("INSERT INTO child VALUES (77)"), pg.ForeignKey, false},
		"check":        {exec("UPDATE counter SET n = 5000"), pg.Invalid, false},
		"not null":     {exec("UPDATE counter SET n = NULL"), pg.Invalid, false},
		"overflow":     {exec("SELECT 2147483647 + 1"), pg.Invalid, false},
		"syntax":       {exec("SELEC"), pg.Other, false},
		"forbidden":    {exec("CREATE ROLE x"), pg.Denied, false},
		"timeout":      {exec("BEGIN; SET LOCAL statement_timeout = 1; SELECT pg_sleep(5)"), pg.Unavailable, true},
		"lock timeout": {lockTimeout(t, pool), pg.Unavailable, true},
		"conflict":     {exec("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"), pg.Conflict, true},
		"shutdown":     {exec("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '57P01'; END $$"), pg.Unavailable, true},
		"killed":       {killed(t, lost), pg.Unavailable, true},
		"refused":      {refused(t), pg.Unavailable, true},
		"canceled":     {canceled(t, pool), pg.Other, false},
	} {
		wrapped := fmt.Errorf("outer: %w", tc.err)
		if tc.err == nil {
			wrapped = nil
		}
		if got := pg.KindOf(wrapped); got != tc.kind || pg.Transient(wrapped) != tc.transient {
			t.Errorf("%s: kind %d, transient %v, want %d, %v (%v)", name, got, pg.Transient(wrapped), tc.kind, tc.transient, tc.err)
		}
		if work, lock := pg.TimedOut(wrapped), pg.LockTimedOut(wrapped); work != (name == "timeout") || lock != (name == "lock timeout") {
			t.Errorf("%s: timed out %v at work and %v at a lock (%v)", name, work, lock, tc.err)
		}
	}
}

func schemaOf(t *testing.T, pool *pgxpool.Pool) string {
	return scan[string](t, pool, "SELECT current_schema()")
}

func lockTimeout(t *testing.T, pool *pgxpool.Pool) error {
	return pg.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "SELECT * FROM counter FOR UPDATE"); err != nil {
			return err
		}
		_, err := pool.Exec(t.Context(), "SELECT * FROM counter FOR UPDATE NOWAIT")
		return err
	})
}

// killed is the error of a statement whose session somebody ends.
func killed(t *testing.T, pool *pgxpool.Pool) error {
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	_, err = conn.Exec(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)")
	if err == nil {
		t.Fatal("the session survived")
	}
	_, after := conn.Exec(t.Context(), "SELECT 1")
	if !pg.Transient(after) {
		t.Errorf("after the connection is lost: %v is not transient", after)
	}
	return err
}

func refused(t *testing.T) error {
	_, err := pg.Open(t.Context(), pg.Config{DSN: "postgres://u:p@127.0.0.1:1/x", Schema: "s"})
	return err
}

func canceled(t *testing.T, pool *pgxpool.Pool) error {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := pool.Exec(ctx, "SELECT pg_sleep(5)")
	return err
}

func TestMigrateBringsEachSetForwardOnItsOwn(t *testing.T) {
	t.Parallel()
	first := "CREATE TABLE a (x int);\n"
	c := pgtest.Config(t)
	pool := pgtest.Open(t, c)
	if err := pg.Migrate(t.Context(), c, set("left", first), set("right", "CREATE TABLE b (x int);\n")); err != nil {
		t.Fatal(err)
	}
	grown := []pg.Set{set("left", first, "ALTER TABLE a ADD y int;\nINSERT INTO a VALUES (1, 2);\n"), set("right", "CREATE TABLE b (x int);\n")}
	for range 2 {
		if err := pg.Migrate(t.Context(), c, grown...); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int{
		"a":     scan[int](t, pool, "SELECT count(*) FROM a"),
		"left":  scan[int](t, pool, "SELECT max(version_id) FROM goose_left"),
		"right": scan[int](t, pool, "SELECT max(version_id) FROM goose_right"),
	}
	if diff := cmp.Diff(map[string]int{"a": 1, "left": 2, "right": 1}, got); diff != "" {
		t.Error(diff)
	}
}

func TestReplicasMigrateAtOnce(t *testing.T) {
	t.Parallel()
	c := pgtest.Config(t)
	pool := pgtest.Open(t, c)
	slow := set("slow", "CREATE TABLE once (x int);\nSELECT pg_sleep(0.2);\nINSERT INTO once VALUES (1);\n", "INSERT INTO once VALUES (2);\n")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := pg.Migrate(t.Context(), c, slow, counter()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := scan[int](t, pool, "SELECT count(*) FROM once"); got != 2 {
		t.Errorf("%d rows, want 2: each migration once", got)
	}
}

func TestFailedMigrationLeavesNothingAndNamesItsFile(t *testing.T) {
	t.Parallel()
	c := pgtest.Config(t)
	pool := pgtest.Open(t, c)
	err := pg.Migrate(t.Context(), c, set("bad", "CREATE TABLE half (x int);\nSELECT broken;\n"))
	if err == nil || !strings.Contains(err.Error(), "0001_step.sql") || !strings.Contains(err.Error(), c.Schema) {
		t.Errorf("error %v", err)
	}
	if scan[bool](t, pool, "SELECT to_regclass('half') IS NOT NULL") {
		t.Error("half a migration stayed")
	}
	if err := pg.Migrate(t.Context(), c, set("bad", "CREATE TABLE half (x int);\n")); err != nil {
		t.Errorf("the repaired migration: %v", err)
	}
}

func TestMigrateNeedsTheSchema(t *testing.T) {
	t.Parallel()
	c := pgtest.Config(t)
	c.Schema = "not_there"
	if err := pg.Migrate(t.Context(), c, counter()); err == nil || !strings.Contains(err.Error(), "not_there does not exist") {
		t.Errorf("error %v", err)
	}
}

func as(t *testing.T, dsn, user, password string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

func dropRoles(t *testing.T, dsn string, roles ...string) {
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), dsn)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close(context.Background()) }()
		for _, role := range roles {
			if _, err := conn.Exec(context.Background(), "DROP OWNED BY "+role+" CASCADE; DROP ROLE "+role); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestPrepareGivesEachServiceItsSchemaAlone(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	dropRoles(t, dsn, "prep_one", "prep_two")
	password := "naïve 'pass\\word' ½"
	var wg sync.WaitGroup
	for range 3 { // replicas of two services at once
		for _, role := range []string{"prep_one", "prep_two"} {
			wg.Go(func() {
				if err := pg.Prepare(t.Context(), dsn, role, role, password); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	c := pg.Config{DSN: as(t, dsn, "prep_one", password), Schema: "prep_one"}
	if err := pg.Migrate(t.Context(), c, counter()); err != nil {
		t.Fatal(err)
	}
	pool := pgtest.Open(t, c)
	other := pgtest.Open(t, pg.Config{DSN: as(t, dsn, "prep_two", password), Schema: "prep_two"})
	if got := scan[int](t, pool, "SELECT count(*) FROM counter"); got != 2 {
		t.Errorf("%d rows in the own schema", got)
	}
	for _, sql := range []string{
		"SELECT * FROM prep_one.counter", "CREATE TABLE prep_one.mine (x int)", "CREATE TABLE public.mine (x int)",
		"CREATE SCHEMA mine", "CREATE ROLE mine", "SELECT * FROM pg_authid", "DROP SCHEMA prep_one CASCADE", "SET ROLE prep_one",
	} {
		if _, err := other.Exec(t.Context(), sql); pg.KindOf(err) != pg.Denied {
			t.Errorf("%s by another service: %v, want denied", sql, err)
		}
	}
	admin := pgtest.Open(t, pg.Config{DSN: dsn, Schema: "prep_one"})
	if stored := scan[string](t, admin, "SELECT rolpassword FROM pg_authid WHERE rolname = 'prep_one'"); !strings.HasPrefix(stored, "SCRAM-SHA-256$4096:") {
		t.Errorf("stored password begins with %.14s", stored)
	}
}

// Roles belong to the server, so installations in several databases of one server prepare the same ones.
func TestPrepareMeetsThatOfAnotherDatabase(t *testing.T) {
	t.Parallel()
	const databases, rounds = 4, 5
	dsns := []string{pgtest.Database(t)}
	dropRoles(t, dsns[0], "prep_shared") // after the databases that follow are gone
	for range databases - 1 {
		dsns = append(dsns, pgtest.Database(t))
	}
	var wg sync.WaitGroup
	for _, dsn := range dsns {
		wg.Go(func() {
			for range rounds {
				if err := pg.Prepare(t.Context(), dsn, "prep_shared", "prep_shared", "p"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestPrepareSetsANewPassword(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	dropRoles(t, dsn, "prep_again")
	for _, password := range []string{"first", "second"} {
		if err := pg.Prepare(t.Context(), dsn, "prep_again", "prep_again", password); err != nil {
			t.Fatal(err)
		}
	}
	pgtest.Open(t, pg.Config{DSN: as(t, dsn, "prep_again", "second"), Schema: "prep_again"})
	_, err := pg.Open(t.Context(), pg.Config{DSN: as(t, dsn, "prep_again", "first"), Schema: "prep_again"})
	if pg.KindOf(err) != pg.Denied {
		t.Errorf("the old password: %v, want denied", err)
	}
}

// The installer, CloudNativePG and managed databases all have one who may make roles and is no superuser. What that means is
// not the same in all versions of Postgres: make test/postgres-versions runs this on a newer one too.
func TestPrepareByAnAdministratorWhoIsNoSuperuser(t *testing.T) {
	t.Parallel()
	dropRoles(t, pgtest.DSN(t), "prep_plain", "prep_admin") // after the database that they own
	super := pgtest.Database(t)
	conn, err := pgx.Connect(t.Context(), super)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, sql := range []string{
		"CREATE ROLE prep_admin LOGIN CREATEROLE CREATEDB PASSWORD 'a'", "ALTER DATABASE " + conn.Config().Database + " OWNER TO prep_admin",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // as an upgrade does
		if err := pg.Prepare(t.Context(), as(t, super, "prep_admin", "a"), "prep_plain", "prep_plain", "p"); err != nil {
			t.Fatalf("on Postgres %s: %v", scan[string](t, conn, "SHOW server_version"), err)
		}
	}
	c := pg.Config{DSN: as(t, super, "prep_plain", "p"), Schema: "prep_plain"}
	if err := pg.Migrate(t.Context(), c, counter()); err != nil {
		t.Fatal(err)
	}
	if _, err := pgtest.Open(t, c).Exec(t.Context(), "SET ROLE prep_admin"); pg.KindOf(err) != pg.Denied {
		t.Errorf("the role becomes its administrator: %v, want denied", err)
	}
}

func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	admin, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	dropRoles(t, dsn, "prep_strong", "prep_member")
	for _, sql := range []string{
		"CREATE ROLE prep_strong CREATEDB", "CREATE ROLE prep_member IN ROLE pg_read_all_data", "CREATE SCHEMA taken",
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct{ schema, role, password, want string }{
		"powerful role":      {"s", "prep_strong", "p", "more rights"},
		"member of another":  {"s", "prep_member", "p", "pg_read_all_data"},
		"somebody's schema":  {"taken", "prep_new", "p", "belongs to"},
		"no password":        {"s", "prep_new", "", "must not be empty"},
		"schema with quotes": {`s"`, "prep_new", "p", "lower-case"},
		"role with quotes":   {"s", "x; DROP", "p", "lower-case"},
		"reserved schema":    {"pg_mine", "prep_new", "p", "reserved"},
	} {
		if err := pg.Prepare(t.Context(), dsn, tc.schema, tc.role, tc.password); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
	}
	if _, err := admin.Exec(t.Context(), "CREATE TABLE public.of_others (x int)"); err != nil {
		t.Fatal(err)
	}
	if err := pg.Prepare(t.Context(), dsn, "s", "prep_new", "p"); err == nil || !strings.Contains(err.Error(), "database of its own") {
		t.Errorf("tables of others in public: error %v", err)
	}
	if scan[int](t, admin, "SELECT count(*) FROM pg_roles WHERE rolname = 'prep_new'") != 0 {
		t.Error("a refused Prepare left a role")
	}
}
