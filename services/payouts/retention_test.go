package payouts_test

import "testing"

func TestOldRowsAreForgotten(t *testing.T) {
	t.Parallel()
	install(t).Forgets(
		`INSERT INTO webhooks (tenant, provider, digest, body, refs, received_at)
			SELECT 'lebenis', 'orange', sha256(name::bytea), '', ARRAY[name], now
			FROM (VALUES ('old', '2024-12-24T00:00:00Z'::timestamptz), ('young', '2024-12-26T00:00:00Z')) v(name, now)`,
		"SELECT refs[1] FROM webhooks")
}
