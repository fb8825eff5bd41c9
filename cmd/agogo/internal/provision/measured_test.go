package provision_test

import (
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/cmd/agogo/internal/provision"
)

// onFaults are metrics that a day without a fault does not show, in whose evening nothing is outstanding: their series begin with
// the first fault. Each is asked for by an alert or a dashboard, and no counter of them is there before that, or it would not stand here.
var onFaults = []string{
	"agogo_payouts_mismatches_total", "agogo_recurrences_mismatches_total", "agogo_payouts_alarms_total", "agogo_recurrences_alarms_total",
	"agogo_payouts_attempts_oldest_seconds", "agogo_payouts_attempts_open", "agogo_recurrences_attempts_oldest_seconds", "agogo_recurrences_attempts_open",
}

// measured holds the alerts and dashboards against what the services really expose after both tenants' days. A metric that was
// renamed would leave an alert silent for ever.
func (s *separate) measured() {
	s.t.Helper()
	exposed := map[string]bool{}
	for name, addr := range s.http {
		res, err := http.Get("http://" + addr + "/metrics")
		if err != nil {
			s.t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			s.t.Fatalf("metrics of %s: %s, %v", name, res.Status, err)
		}
		for _, m := range regexp.MustCompile(`(?m)^[a-z_]+`).FindAllString(string(raw), -1) {
			exposed[m] = true
		}
	}
	asked := map[string][]string{}
	deploy := filepath.Join("..", "..", "..", "..", "deploy")
	for _, pattern := range []string{"prometheus/*.yaml", "grafana/*.json"} {
		files, err := filepath.Glob(filepath.Join(deploy, pattern))
		if err != nil || len(files) == 0 {
			s.t.Fatalf("%s: %v", pattern, err)
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				s.t.Fatal(err)
			}
			for line := range strings.Lines(string(raw)) {
				if strings.HasPrefix(strings.TrimSpace(line), "#") || strings.Contains(line, "name: agogo-") {
					continue
				}
				for _, m := range regexp.MustCompile(`(agogo|process|go)_[a-z_]+`).FindAllString(line, -1) {
					asked[m] = append(asked[m], filepath.Base(f))
				}
			}
		}
	}
	if len(asked) < 20 {
		s.t.Errorf("only %d metrics are asked for", len(asked))
	}
	for _, m := range reloaderMetrics(s.t) {
		exposed[m] = true // not by a service, but beside the broker
	}
	for _, m := range onFaults {
		// A gauge of what is open may still show what has just been settled; a counter that is there was there from the start.
		if len(asked[m]) == 0 || strings.HasSuffix(m, "_total") && exposed[m] {
			s.t.Errorf("%s is no exception: asked for by %v, exposed: %t", m, asked[m], exposed[m])
		}
	}
	for _, m := range slices.Sorted(maps.Keys(asked)) {
		if !exposed[m] && !slices.Contains(onFaults, m) {
			s.t.Errorf("%v ask for %s, which no service exposes", asked[m], m)
		}
	}
}

// reloaderMetrics are those that the process beside a bundled broker exposes from its start.
func reloaderMetrics(t *testing.T) []string {
	t.Helper()
	registry := prometheus.NewRegistry()
	if err := new(provision.Reloader).Register(registry); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	return names
}

// No evening shows them, so the code is asked: one that was renamed there would leave its alert silent.
func TestMetricsThatFaultsBeginAreRegistered(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, dir := range []string{"internal", "services"} {
		err := filepath.WalkDir(filepath.Join("..", "..", "..", "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			raw, err := os.ReadFile(path)
			for _, m := range regexp.MustCompile(`Name: "agogo_(?:([a-z_]+)"|" \+ [a-zA-Z.]+ \+ "([a-z_]+)")`).FindAllStringSubmatch(string(raw), -1) {
				if m[1] != "" {
					names["agogo_"+m[1]] = true
					continue
				}
				for _, service := range provision.Services {
					names["agogo_"+service+m[2]] = true
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range onFaults {
		if !names[m] {
			t.Errorf("nothing registers %s", m)
		}
	}
}
