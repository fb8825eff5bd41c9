package process

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/telemetry"
)

// Loaded is the telemetry of a process that was loaded from env and a tenants file, and does not run.
func Loaded(t *testing.T, tenants string, env map[string]string) *telemetry.Telemetry {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(path, []byte(tenants), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := load(t.Context(), "payouts", func(key string) string {
		if key == "AGOGO_CONFIG" {
			return path
		}
		return env[key]
	}, io.Discard, func(*config.File) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return p.Telemetry
}
