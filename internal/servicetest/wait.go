package servicetest

import (
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// Until asks again and again whether something has become so.
func (in *Installation) Until(what string, so func() bool) {
	in.T.Helper()
	in.Within(Patience, what, so)
}

// Within is Until with a limit of its own.
func (in *Installation) Within(limit time.Duration, what string, so func() bool) {
	in.T.Helper()
	if !becomes(limit, so) {
		in.T.Fatalf("not within %s: %s", limit, what)
	}
}

func becomes(limit time.Duration, so func() bool) bool {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(limit); !so(); {
		select {
		case <-deadline:
			return false
		case <-again.C:
		}
	}
	return true
}

// Forgets checks that what nobody can deliver or repeat any more is forgotten from the start of a replica on, and the rest is
// kept: of rows called "old" and "young" the young ones. Every service has an inbox and requests that may be repeated; insert
// adds rows of its own, which list selects by name. Both may be empty.
func (in *Installation) Forgets(insert, list string) {
	in.T.Helper()
	if err := in.Start().Stop(); err != nil { // it makes the tables
		in.T.Fatal(err)
	}
	pool, want := in.Pool(), []string{"young", "young"}
	names := "SELECT msg_id FROM inbox UNION ALL SELECT request_id FROM idempotent_requests"
	inserts := []string{
		`INSERT INTO inbox VALUES ('c', 'old', now() - interval '61 days'), ('c', 'young', now() - interval '59 days')`,
		`INSERT INTO idempotent_requests VALUES ('t', 'ada', 'm', 'old', '', '', now() - interval '8 days'),
			('t', 'ada', 'm', 'young', '', '', now() - interval '6 days')`,
	}
	if insert != "" {
		inserts, names, want = append(inserts, insert), names+" UNION ALL "+list, append(want, "young")
	}
	for _, sql := range inserts {
		if _, err := pool.Exec(in.Ctx, sql); err != nil {
			in.T.Fatal(err)
		}
	}
	in.Start()
	var diff string
	if !becomes(Patience, func() bool {
		rows, err := pool.Query(in.Ctx, names+" ORDER BY 1")
		if err != nil {
			in.T.Fatal(err)
		}
		left, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			in.T.Fatal(err)
		}
		diff = cmp.Diff(want, left)
		return diff == ""
	}) {
		in.T.Fatalf("rows that are left (-want +got):\n%s", diff)
	}
}
