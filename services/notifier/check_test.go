package notifier_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/services/notifier"
)

// A process that runs must not end for credentials that the next one would fail with.
func TestCheckReadsTheCredentials(t *testing.T) {
	t.Parallel()
	file := &config.File{}
	if err := notifier.Check(file); err != nil {
		t.Errorf("without a push service: %v", err)
	}
	account := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(account, []byte("{ no json"), 0o600); err != nil {
		t.Fatal(err)
	}
	file.Notifier.FCM.ProjectID, file.Notifier.FCM.Credentials = "demo", account
	if err := notifier.Check(file); err == nil {
		t.Error("a service account that is no JSON passes")
	}
}
