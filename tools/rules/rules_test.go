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

// scene is what Prometheus has scraped each minute, and from which minute on an alert fires for it; never is not at all.
type scene struct {
	series string
	from   int
}

const (
	never   = -1
	minutes = 40
	healthy = "agogo_scheduler_leader 1x40\nagogo_payouts_restore_unmarked{s=\"p\"} 0x40\nagogo_recurrences_restore_unmarked{s=\"r\"} 0x40\nagogo_notifier_restore_unmarked{s=\"n\"} 0x40\n"
)

var scenes = map[string][]scene{
	"AgogoTicksOverdue": {
		{`agogo_scheduler_overdue_seconds 0 0 61x40`, 3}, {`agogo_scheduler_overdue_seconds 60x40`, never}, {`agogo_scheduler_overdue_seconds 0 90 0 90 0x40`, never},
	},
	"AgogoNobodyWakes": {
		{"agogo_scheduler_leader{instance=\"a\"} 1 0x40\nagogo_scheduler_leader{instance=\"b\"} 0x40", 3},
		{"agogo_scheduler_leader{instance=\"a\"} 1 0x40\nagogo_scheduler_leader{instance=\"b\"} 0 1x40", never},
		{"agogo_scheduler_leader{namespace=\"a\"} 1x40\nagogo_scheduler_leader{namespace=\"b\"} 0x40", 2},
	},
	"AgogoServiceGone": {
		{healthy, never}, {strings.Replace(healthy, "agogo_notifier_restore_unmarked{s=\"n\"} 0x40\n", "", 1), 5}, {strings.Replace(healthy, "agogo_scheduler_leader 1x40\n", "", 1), 5},
	},
	"AgogoOutcomesOutstanding": {
		{`agogo_payouts_attempts_oldest_seconds{tenant="lebenis",provider="orange",state="unknown"} 0+600x40`, 17},
		{`agogo_recurrences_attempts_oldest_seconds{tenant="wallclub",provider="cielo",state="manual_review"} 3601x40`, 10},
		{`agogo_payouts_attempts_oldest_seconds{tenant="lebenis",provider="orange",state="processing"} 0+600x40`, never},
	},
	"AgogoProviderContradicts": {
		{`agogo_payouts_mismatches_total{tenant="lebenis",provider="orange",code="paid_twice"} 0 0 1x40`, 2},
		{`agogo_recurrences_mismatches_total{tenant="wallclub",provider="cielo",code="x"} 0 0 1x40`, 2},
		{`agogo_payouts_mismatches_total{tenant="lebenis",provider="orange",code="paid_twice"} _ _ 1x40`, 2},
		{`agogo_recurrences_mismatches_total{tenant="wallclub",provider="cielo",code="x"} _ _ 1x40`, 2},
		{`agogo_webhooks_total{provider="orange",outcome="taken"} 0x40`, never},
	},
	"AgogoAnswersNeedPeople": {
		{`agogo_payouts_alarms_total{tenant="lebenis",provider="wave"} 0 0 1x40`, 2},
		{`agogo_recurrences_alarms_total{tenant="wallclub",provider="cielo"} _ _ 1x40`, 2},
		{`agogo_payouts_alarms_total{tenant="lebenis",provider="wave"} _ _ 1x40`, 2},
		{`agogo_payouts_alarms_total{tenant="lebenis",provider="wave"} 0x40`, never},
	},
	"AgogoDayStaysOpen": {
		{`agogo_payouts_oldest_open_close_seconds 172700+60x400`, 62}, {`agogo_payouts_oldest_open_close_seconds 86400x400`, never},
	},
	"AgogoRestoreUnmarked": {
		{`agogo_notifier_restore_unmarked 0 1x40`, 1}, {`agogo_scheduler_restore_unmarked 1x40`, 0}, {`agogo_payouts_restore_unmarked 0x40`, never},
	},
	"AgogoOutboxStuck": {
		{`agogo_outbox_oldest_unpublished_seconds{service="payouts",stream="EVENTS"} 0+60x40`, 4}, {`agogo_outbox_oldest_unpublished_seconds{service="payouts",stream="EVENTS"} 0 70 0 70 0x40`, never},
	},
	"AgogoConsumerBehind": {
		{`agogo_stream_lag_seconds{consumer="notifier"} 301x40`, 10}, {`agogo_stream_lag_seconds{consumer="notifier"} 300x40`, never},
	},
	"AgogoDeadLetters": {
		{`agogo_stream_deliveries_total{consumer="payouts-exec",result="dead_lettered"} 0 0 0 1x40`, 3}, {`agogo_stream_deliveries_total{consumer="payouts-exec",result="handled"} 0+5x40`, never},
	},
	"AgogoWebhooksRefused": {
		{`agogo_webhooks_total{provider="orange",outcome="forged"} 0+1x40`, 6}, {`agogo_webhooks_total{provider="orange",outcome="taken"} 0+9x40`, never}, {`agogo_webhooks_total{provider="orange",outcome="forged"} 0 3x40`, never},
	},
	// The clock begins in 1970: a certificate that ends after 14 days and 5 minutes has 14 days left at minute 5.
	"AgogoCertificateEnds": {
		{`agogo_certificate_expires_timestamp_seconds{certificate="grpc"} 1209900x40`, 21},
		{`agogo_certificate_expires_timestamp_seconds{certificate="grpc"} 2592000x40`, never},
		{"agogo_certificate_expires_timestamp_seconds{certificate=\"nats\",pod=\"a\"} 2592000x40\nagogo_certificate_expires_timestamp_seconds{certificate=\"nats\",pod=\"b\"} 1000000x40", 15},
		{`agogo_certificate_expires_timestamp_seconds{certificate="nats"} 1000000x10 2592000x40`, never},
	},
	"AgogoCertificateEndsSoon": {
		{`agogo_certificate_expires_timestamp_seconds{certificate="nats-ca"} 0x40`, 15}, {`agogo_certificate_expires_timestamp_seconds{certificate="nats-ca"} 1000000x40`, never},
	},
	"AgogoSettingsStale": {
		{`agogo_settings_stale{job="agogo",instance="a"} 0 1x40`, 6}, {`agogo_settings_stale{job="agogo",instance="a"} 0 1 1 0x40`, never},
	},
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
	var load strings.Builder
	load.WriteString("load 1m\n")
	for line := range strings.Lines(series) {
		load.WriteString("  " + line)
	}
	storage := promqltest.LoadedStorage(t, load.String())
	defer func() { _ = storage.Close() }()
	query := rules.EngineQueryFunc(promqltest.NewTestEngine(t, false, 5*time.Minute, 1_000_000), storage)
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

func TestEachAlertSaysHowUrgentItIsAndWhatToDo(t *testing.T) {
	for name, r := range alerts(t) {
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity %q", name, s)
		}
		page := r.Annotations["runbook_url"][strings.LastIndex(r.Annotations["runbook_url"], "/")+1:]
		if _, err := os.Stat(filepath.Join("../../docs/runbooks", page)); err != nil {
			t.Errorf("%s: %v", name, err)
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
				if _, err := parser.ParseExpr(strings.NewReplacer("$__rate_interval", "5m", "$tenant", ".*").Replace(q.Expr)); err != nil {
					t.Errorf("%s: %s: %v", f, p.Title, err)
				}
			}
		}
	}
	if asked < 15 {
		t.Errorf("only %d questions", asked)
	}
}
