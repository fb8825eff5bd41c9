package rules_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

const top = "../../deploy"

// alerts are all of the file, by name.
func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(filepath.Join(top, "prometheus", "agogo.yaml"), false)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	all := map[string]rulefmt.Rule{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			all[r.Alert] = r
		}
	}
	return all
}

func TestEachAlertFiresWhenItShouldAndNotBefore(t *testing.T) {
	all := alerts(t)
	for name := range scenes {
		if _, ok := all[name]; !ok {
			t.Errorf("there is no alert %s", name)
		}
	}
	for name, r := range all {
		if !slices.ContainsFunc(scenes[name], func(s scene) bool { return s.from == never }) || !slices.ContainsFunc(scenes[name], func(s scene) bool { return s.from != never }) {
			t.Errorf("%s needs a scene in which it fires and one in which it does not", name)
		}
		for _, s := range scenes[name] {
			if got := fires(t, r, s.series); got != s.from {
				t.Errorf("%s fires from minute %d on, want %d:\n%s", name, got, s.from, s.series)
			}
		}
	}
}

// fires is the first minute at whose evaluation the alert fires.
func fires(t *testing.T, r rulefmt.Rule, series string) int {
	t.Helper()
	query := over(t, series)
	expr, err := parser.ParseExpr(r.Expr)
	if err != nil {
		t.Fatal(err)
	}
	rule := rules.NewAlertingRule(r.Alert, expr, time.Duration(r.For), 0, labels.FromMap(r.Labels), labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
	end := minutes
	if strings.Contains(series, "x400") {
		end = 400
	}
	for minute := range end {
		if _, err := rule.Eval(t.Context(), 0, time.Unix(int64(minute)*60, 0), query, nil, 0); err != nil {
			t.Fatal(err)
		}
		if rule.State() == rules.StateFiring {
			for _, a := range rule.ActiveAlerts() {
				if text := a.Annotations.Get("summary"); strings.Contains(text, "error expanding") || strings.Contains(text, "<no value>") {
					t.Errorf("%s: %s", r.Alert, text)
				}
			}
			return minute
		}
	}
	return never
}

// over answers questions about what was scraped.
func over(t *testing.T, series string) rules.QueryFunc {
	t.Helper()
	var load strings.Builder
	load.WriteString("load 1m\n")
	for line := range strings.Lines(series) {
		load.WriteString("  " + line)
	}
	storage := promqltest.LoadedStorage(t, load.String())
	t.Cleanup(func() { _ = storage.Close() })
	return rules.EngineQueryFunc(promqltest.NewTestEngine(t, false, 5*time.Minute, 1_000_000), storage)
}

// Who is told that something is gone is told what and where, once, and for how long: what nothing but memory knows is known for a
// day, as the runbook says.
func TestWhatIsGoneIsNamedOnceAndForHowLong(t *testing.T) {
	healthy := installation(theirs, " 0x2000", " 0x2000", " 0x2000", " 0x2000")
	for _, c := range []struct {
		name, series string
		at           time.Duration
		want         []string
	}{
		{"one service", installation(ours, " 0x2000", " 0x2000", stops, " 0x2000") + healthy, 23 * time.Hour, []string{"pay recurrences"}},
		{"one service, long after", installation(ours, " 0x2000", " 0x2000", stops, " 0x2000") + healthy, 25 * time.Hour, []string{"pay recurrences"}},
		{"all of them", installation(ours, stops, stops, stops, stops) + healthy, 23 * time.Hour, []string{"pay notifier", "pay payouts", "pay recurrences", "pay scheduler"}},
		{"all of them, long after", installation(ours, stops, stops, stops, stops) + healthy, 25 * time.Hour, nil},
		{"nobody else was there", installation(ours, stops, stops, stops, stops), 23 * time.Hour, []string{"pay notifier", "pay payouts", "pay recurrences", "pay scheduler"}},
		{"nobody else was there, long after", installation(ours, stops, stops, stops, stops), 25 * time.Hour, []string{" any service"}},
	} {
		var got []string
		found, err := over(t, c.series)(t.Context(), alerts(t)["AgogoServiceGone"].Expr, time.Unix(0, 0).Add(c.at))
		if err != nil {
			t.Fatal(err)
		}
		for _, sample := range found {
			got = append(got, sample.Metric.Get("namespace")+" "+sample.Metric.Get("gone"))
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestEachAlertSaysHowUrgentItIsAndWhatToDo(t *testing.T) {
	for name, r := range alerts(t) {
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity %q", name, s)
		}
		page, heading, _ := strings.Cut(r.Annotations["runbook_url"][strings.LastIndex(r.Annotations["runbook_url"], "/")+1:], "#")
		text, err := os.ReadFile(filepath.Join("../../docs/runbooks", page))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if heading != "" && !strings.Contains(strings.ReplaceAll(strings.ToLower(string(text)), " ", "-"), "#-"+heading+"\n") {
			t.Errorf("%s: %s has no heading %s", name, page, heading)
		}
		if r.Annotations["summary"] == "" {
			t.Errorf("%s does not say what is the matter", name)
		}
	}
}

// Every question of the dashboards is one that Prometheus understands.
func TestDashboardsAskWhatPrometheusUnderstands(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(top, "grafana", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	asked := 0
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(raw, &board); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		for _, p := range board.Panels {
			for _, q := range p.Targets {
				asked++
				if strings.Contains(q.Expr, "_attempts_open{") && !strings.HasPrefix(q.Expr, "max ") {
					t.Errorf("%s: %s adds up what each replica counts in the same database: %s", f, p.Title, q.Expr)
				}
				if _, err := parser.ParseExpr(strings.NewReplacer("$__rate_interval", "5m", "$tenant", ".*", "$namespace", ".*").Replace(q.Expr)); err != nil {
					t.Errorf("%s: %s: %v", f, p.Title, err)
				}
			}
		}
	}
	if asked < 15 {
		t.Errorf("only %d questions", asked)
	}
}
