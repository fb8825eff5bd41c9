package scheduler_test

import "testing"

func TestOldRowsAreForgotten(t *testing.T) {
	t.Parallel()
	install(t, "2025-01-24T12:00:00Z").Forgets("", "")
}
