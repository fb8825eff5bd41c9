package rules_test

import (
	"fmt"
	"strings"
)

// scene is what Prometheus has scraped each minute, and from which minute on an alert fires for it; never is not at all.
type scene struct {
	series string
	from   int
}

const (
	never   = -1
	minutes = 40
)

// stops is what a service shows until the minute at which Prometheus finds nobody any more; answers until the end.
const (
	answers = " 0x40"
	stops   = " 0x10 stale"
)

// installation is what the services of one show: of the scheduler, payouts, recurrences and the notifier.
func installation(namespace string, shows ...string) string {
	var all strings.Builder
	for i, service := range []string{"scheduler", "payouts", "recurrences", "notifier"} {
		if shows[i] != "" {
			fmt.Fprintf(&all, "agogo_%s_restore_unmarked{%sjob=%q}%s\n", service, namespace, service, shows[i])
		}
	}
	return all.String()
}

const (
	ours   = `namespace="pay",`
	theirs = `namespace="other",`
)

var scenes = map[string][]scene{
	"AgogoTicksOverdue": {
		{"agogo_scheduler_overdue_seconds{namespace=\"pay\"} 0 0 61x40\nagogo_scheduler_overdue_seconds{namespace=\"other\"} 0x40", 3},
		{`agogo_scheduler_overdue_seconds 0 0 61x40`, 3},
		{`agogo_scheduler_overdue_seconds 60x40`, never},
		{`agogo_scheduler_overdue_seconds 0 90 0 90 0x40`, never},
	},
	"AgogoNobodyWakes": {
		{"agogo_scheduler_leader{instance=\"a\"} 1 0x40\nagogo_scheduler_leader{instance=\"b\"} 0x40", 3},
		{"agogo_scheduler_leader{instance=\"a\"} 1 0x40\nagogo_scheduler_leader{instance=\"b\"} 0 1x40", never},
		{"agogo_scheduler_leader{namespace=\"a\"} 1x40\nagogo_scheduler_leader{namespace=\"b\"} 0x40", 2},
	},
	"AgogoServiceGone": {
		{installation("", answers, answers, answers, answers), never},
		{installation("", "", answers, answers, answers), 5},
		{installation("", answers, "", answers, answers), 5},
		{installation("", answers, answers, "", answers), 5},
		{installation("", answers, answers, answers, ""), 5},
		{installation("", answers, answers, answers, stops), 16},
		{installation("", stops, stops, stops, stops), 16},
		{`up{job="something else"} 1x40`, 5},
		{installation(ours, answers, answers, answers, answers) + installation(theirs, answers, answers, answers, answers), never},
		// The same service of another installation does not stand in for ours, one service missing or all of them.
		{installation(ours, answers, answers, stops, answers) + installation(theirs, answers, answers, answers, answers), 16},
		{installation(ours, answers, answers, answers, "") + installation(theirs, answers, answers, answers, answers), 5},
		{installation(ours, stops, stops, stops, stops) + installation(theirs, answers, answers, answers, answers), 16},
		// A replica that is gone is no service that is gone.
		{installation(ours, answers, answers, answers, answers) + "agogo_payouts_restore_unmarked{namespace=\"pay\",job=\"payouts\",pod=\"b\"}" + stops, never},
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
	"AgogoCancelledPayoutsStay": {
		{"agogo_payouts_cancel_stuck{instance=\"a\"} 0x40\nagogo_payouts_cancel_stuck{instance=\"b\"} 0 1x40", 16}, {`agogo_payouts_cancel_stuck 2x10 0x40`, never},
	},
	"AgogoSweepStuck": {
		{"agogo_payouts_sweep_stuck{step=\"retry\",instance=\"a\"} 0x40\nagogo_payouts_sweep_stuck{step=\"retry\",instance=\"b\"} 0 1x40", 16},
		{`agogo_payouts_sweep_stuck{step="retry"} 2x10 0x40`, never},
		{`agogo_recurrences_sweep_stuck{step="settle_run"} 0 1x40`, 16},
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
		{`agogo_webhooks_total{provider="orange",outcome="forged"} 0+1x40`, 6},
		{`agogo_webhooks_total{provider="orange",outcome="taken"} 0+9x40`, never},
		{`agogo_webhooks_total{provider="orange",outcome="forged"} 0 3x40`, never},
		{"agogo_webhooks_total{namespace=\"pay\",provider=\"orange\",outcome=\"forged\"} 0 3x40\nagogo_webhooks_total{namespace=\"other\",provider=\"orange\",outcome=\"forged\"} 0 3x40", never},
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
	"AgogoBrokerFilesRefused": {
		{`agogo_broker_reloads_refused_total{namespace="pay",pod="nats-0"} 0 0 0+3x40`, 8},
		{`agogo_broker_reloads_refused_total{namespace="pay",pod="nats-0"} 0 0 1x40`, never},
		{`agogo_broker_reloads_total{namespace="pay",pod="nats-0"} 0+3x40`, never},
	},
	"AgogoBrokerReloaderGone": {
		{"agogo_broker_reloads_total{namespace=\"pay\",pod=\"nats-0\"} 1x10 stale\nagogo_broker_reloads_total{namespace=\"pay\",pod=\"nats-1\"} 1x40", 26},
		{"agogo_broker_reloads_total{namespace=\"pay\",pod=\"nats-0\"} 1x10 stale\nagogo_broker_reloads_total{namespace=\"other\",pod=\"nats-0\"} 1x40", 26},
		{"agogo_broker_reloads_total{namespace=\"pay\",pod=\"nats-0\",instance=\"a\"} 1x10 stale\nagogo_broker_reloads_total{namespace=\"pay\",pod=\"nats-0\",instance=\"b\"} _x15 1x40", never},
		{installation(ours, answers, answers, answers, answers), never},
	},
	"AgogoSettingsStale": {
		{`agogo_settings_stale{job="agogo",instance="a"} 0 1x40`, 6}, {`agogo_settings_stale{job="agogo",instance="a"} 0 1 1 0x40`, never},
	},
}
