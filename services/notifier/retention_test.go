package notifier_test

import "testing"

func TestOldRowsAreForgotten(t *testing.T) {
	t.Parallel()
	install(t).Forgets("", "")
}
