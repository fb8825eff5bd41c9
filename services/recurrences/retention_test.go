package recurrences_test

import "testing"

func TestOldRowsAreForgotten(t *testing.T) {
	t.Parallel()
	install(t).Forgets(
		`INSERT INTO webhooks (tenant, provider, digest, body, refs, received_at)
			SELECT 'wallclub', 'cielo', sha256(name::bytea), '', ARRAY[name], now
			FROM (VALUES ('old', '2025-09-29T00:00:00Z'::timestamptz), ('young', '2025-10-01T00:00:00Z')) v(name, now)`,
		"SELECT refs[1] FROM webhooks")
}
