package provision_test

import (
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// onFaults are metrics that a day without a fault does not show, in whose evening nothing is outstanding: their series begin with
// the first fault.
var onFaults = []string{
	"agogo_payouts_mismatches_total", "agogo_recurrences_mismatches_total", "agogo_payouts_alarms_total", "agogo_recurrences_alarms_total", "agogo_webhooks_total",
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
	for _, m := range slices.Sorted(maps.Keys(asked)) {
		if !exposed[m] && !slices.Contains(onFaults, m) {
			s.t.Errorf("%v ask for %s, which no service exposes", asked[m], m)
		}
	}
}
