package pg_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/pg/pgtest"
)

// Ids go to Postgres and come back as the same bytes: alone, absent, in arrays and in text.
func TestUUIDs(t *testing.T) {
	t.Parallel()
	pool := pgtest.Pool(t)
	a, b := uuid.MustParse("0193e3a0-0000-7000-8000-0123456789ab"), uuid.MustParse("ffffffff-ffff-4fff-bfff-ffffffffffff")
	type row struct {
		One, Text  uuid.UUID
		None, Some *uuid.UUID
		All        []uuid.UUID
		Words      string
	}
	var got row
	err := pool.QueryRow(t.Context(), `SELECT $1::uuid, $2::text::uuid, NULL::uuid, $3::uuid, array_append($4::uuid[], $1), $1::uuid::text`,
		a, b.String(), &b, []uuid.UUID{b, uuid.Nil}).Scan(&got.One, &got.Text, &got.None, &got.Some, &got.All, &got.Words)
	if err != nil {
		t.Fatal(err)
	}
	want := row{One: a, Text: b, Some: &b, All: []uuid.UUID{b, uuid.Nil, a}, Words: a.String()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var id uuid.UUID
	if err := pool.QueryRow(t.Context(), "SELECT NULL::uuid").Scan(&id); err == nil {
		t.Error("nothing was read into an id")
	}
}
