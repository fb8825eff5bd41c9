package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sandboxEnv answers for every variable, with the shape that some have to have.
func sandboxEnv(name string) string {
	switch name {
	case "CIELO_MERCHANT_ID":
		return "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
	case "CIELO_MERCHANT_KEY":
		return "0123456789012345678901234567890123456789"
	case "MTN_CALLBACK_KEY":
		return "0123456789-0123456789_0123456789-X"
	}
	return "sandbox-" + name
}

func TestLoadExample(t *testing.T) {
	t.Parallel()
	f, err := Load("../../examples/tenants.yaml", sandboxEnv)
	if err != nil {
		t.Fatal(err)
	}
	abidjan, err := time.LoadLocation("Africa/Abidjan")
	if err != nil {
		t.Fatal(err)
	}
	saoPaulo, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	want := &File{
		Path: "../../examples/tenants.yaml",
		Tenants: []Tenant{{
			ID: "lebenis", Timezone: "Africa/Abidjan", Location: abidjan, Currency: "XOF", Locale: "fr-CI", Mode: "sandbox",
			Payouts: &Payouts{
				CommissionBPS: 2000, Minimum: 100, DefaultProvider: "orange", PayableMethods: []string{"orange_money"},
				MaxPerPayout: 2_000_000, DailyCap: 50_000_000, AcceptFrom: "2025-01-01", PauseAboveFailureRate: 0.2,
				PausePayeeAfter: 3, MaxAttempts: 3, OnFailures: OnFailuresPause, DestinationCoolOff: 24 * time.Hour, FloatCheck: 15 * time.Minute,
			},
			Providers: map[string]Provider{"orange": {
				Name: "orange", Kind: "orange_omr", BaseURL: "http://127.0.0.1:9900/orange-money-b2b/v1/ci",
				TokenURL: "http://127.0.0.1:9900/oauth/v3/token", RatePerSec: 50, Concurrency: 16, Timeout: 2 * time.Second,
				QuietTime: 2 * time.Second, LookupAfter: []time.Duration{time.Second, 2 * time.Second, 5 * time.Second},
				ReviewAfter: 24 * time.Hour, RetryAfter: []time.Duration{time.Minute, 10 * time.Minute},
				ClientID: "sandbox-ORANGE_CLIENT_ID", ClientSecret: "sandbox-ORANGE_CLIENT_SECRET", PosID: "sandbox-ORANGE_POS_ID",
				CallbackAuthorization: "sandbox-ORANGE_CALLBACK_AUTH", FormsStep: true, MSISDNFormat: "significant",
			}},
			Schedules: []Schedule{
				{Name: "daily", Service: "payouts", Job: "payouts/daily", Cron: "59 23 * * *", CatchUp: "all", CatchUpCap: 366},
				{Name: "check-pending", Service: "payouts", Job: "payouts/check-pending", Cron: "0 * * * *", CatchUp: "latest", CatchUpCap: 366},
				{Name: "reset-breaks", Service: "payouts", Job: "payouts/reset-breaks", Cron: "0 0 * * *", CatchUp: "latest", CatchUpCap: 366},
			},
		}, {
			ID: "wallclub", Timezone: "America/Sao_Paulo", Location: saoPaulo, Currency: "BRL", Locale: "pt-BR", Mode: "sandbox",
			Recurrences: &Recurrences{
				MaxRetries: 3, RetryDays: []int{1, 3, 7}, CatchUpDays: 7, BusinessDay: "following", Holidays: []string{}, CardFailureLimit: 5,
				CleanupAfterDays: 180, DefaultGateway: "cielo",
			},
			Providers: map[string]Provider{"cielo": {
				Name: "cielo", Kind: "cielo", BaseURL: "http://127.0.0.1:9900/cielo", QueryURL: "http://127.0.0.1:9900/cielo-query",
				MerchantID: "6f9619ff-8b86-d011-b42d-00cf4fc964ff", MerchantKey: "0123456789012345678901234567890123456789",
				RatePerSec: 50, Concurrency: 16, Timeout: 2 * time.Second, QuietTime: 2 * time.Second,
				LookupAfter: []time.Duration{time.Second, 2 * time.Second, 5 * time.Second}, ReviewAfter: 24 * time.Hour,
				RetryAfter: []time.Duration{time.Minute, 10 * time.Minute},
			}},
			Schedules: []Schedule{
				{Name: "charge-due", Service: "recurrences", Job: "recurrences/charge-due", Cron: "0 8 * * *", CatchUp: "latest", CatchUpCap: 366},
				{Name: "retry-failed", Service: "recurrences", Job: "recurrences/retry-failed", Cron: "0 10 * * *", CatchUp: "latest", CatchUpCap: 366},
				{Name: "notify-holds", Service: "recurrences", Job: "recurrences/notify-holds", Cron: "0 18 * * *", CatchUp: "latest", CatchUpCap: 366},
				{Name: "cleanup", Service: "recurrences", Job: "recurrences/cleanup", Cron: "0 2 * * 0", CatchUp: "latest", CatchUpCap: 366},
			},
		}},
		Notifier: Notifier{FCM: FCM{ProjectID: "demo", Endpoint: "http://127.0.0.1:9900/fcm/v1"}},
	}
	if d := cmp.Diff(want, f, cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })); d != "" {
		t.Errorf("examples/tenants.yaml (-want +got):\n%s", d)
	}
	if got, ok := f.Tenant("lebenis"); !ok || got.ID != "lebenis" {
		t.Errorf("Tenant(lebenis) = %v, %v", got.ID, ok)
	}
	if _, ok := f.Tenant("nobody"); ok {
		t.Error("a tenant was found that is not in the file")
	}
}

// TestLoadEverything reads a file that uses every key, with nothing left at its default.
func TestLoadEverything(t *testing.T) {
	t.Parallel()
	f, err := Load("testdata/everything.yaml", sandboxEnv)
	if err != nil {
		t.Fatal(err)
	}
	tenant := f.Tenants[0]
	wantPayouts := &Payouts{
		CommissionBPS: 0, Minimum: 1, DefaultProvider: "orange", PayableMethods: []string{"orange_money", "wave"},
		MaxPerPayout: 1, DailyCap: 2, PayeeDailyCap: 3, AcceptFrom: "2025-01-01", PauseAboveFailureRate: 1,
		PausePayeeAfter: 4, MaxAttempts: 5, Approval: Approval{
			Tiers: []Tier{{500000, 1}, {5000000, 2}}, BatchTiers: []Tier{{20000000, 1}}, ExpiresAfter: 48 * time.Hour,
		}, ConfirmFirstDestination: true, OnFailures: OnFailuresHold, FloatCheck: 5 * time.Minute,
	}
	if d := cmp.Diff(wantPayouts, tenant.Payouts); d != "" {
		t.Errorf("payouts (-want +got):\n%s", d)
	}
	wantProvider := Provider{
		Name: "orange", Kind: "orange_omr", BaseURL: "https://api.example.com/orange-money-b2b/v1/ci", RatePerSec: 1,
		TokenURL: "https://api.example.com/oauth/v3/token", Concurrency: 2, Timeout: 3 * time.Second, QuietTime: 4 * time.Second,
		LookupAfter: []time.Duration{5 * time.Second}, ReviewAfter: 6 * time.Second, RetryAfter: []time.Duration{},
		Deduplicates: true, ClientID: "literal", ClientSecret: "from a file", PosID: "12", FormsStep: false,
		Country: "gn", Currency: "GNF", MSISDNFormat: "national", SkipActivationCheck: true,
		Statuses:              map[string]string{"EN_COURS": "pending", "PAYE": "succeeded", "REFUSE": "failed"},
		CallbackAuthorization: "sandbox-CALLBACK",
	}
	if d := cmp.Diff(wantProvider, tenant.Providers["orange"]); d != "" {
		t.Errorf("provider (-want +got):\n%s", d)
	}
	wantSonatel := defaultProvider("sonatel")
	wantSonatel.Kind, wantSonatel.BaseURL, wantSonatel.TokenURL = "orange_sonatel", "https://sonatel.example.com", "https://sonatel.example.com/oauth/v1/token"
	wantSonatel.ClientID, wantSonatel.ClientSecret, wantSonatel.RetailerNumber, wantSonatel.PIN = "literal", "sandbox-SONATEL_CLIENT_SECRET", "770000000", "sandbox-SONATEL_PIN"
	wantSonatel.CallbackKey, wantSonatel.CallbackSecret = "sandbox-SONATEL_CALLBACK_KEY", "sandbox-SONATEL_CALLBACK_SECRET"
	wantSonatel.CallbackURL = "https://pay.example.com/webhooks/payouts/everything/sonatel"
	if d := cmp.Diff(wantSonatel, tenant.Providers["sonatel"]); d != "" {
		t.Errorf("sonatel (-want +got):\n%s", d)
	}
	wantWave := defaultProvider("wave")
	wantWave.Kind, wantWave.BaseURL, wantWave.APIKey, wantWave.SigningSecret = "wave", "https://wave.example.com", "sandbox-WAVE_API_KEY", "sandbox-WAVE_SIGNING_SECRET"
	wantWave.AggregatedMerchant, wantWave.VerifyRecipients = "am-7", VerifyPartial
	if d := cmp.Diff(wantWave, tenant.Providers["wave"]); d != "" {
		t.Errorf("wave (-want +got):\n%s", d)
	}
	wantRecurrences := &Recurrences{
		MaxRetries: 2, RetryDays: []int{2, 4}, CatchUpDays: 0, BusinessDay: "modified_following", Holidays: []string{"2025-11-20", "2025-12-25"},
		CardFailureLimit: 9, CleanupAfterDays: 1, DefaultGateway: "cielo",
	}
	if d := cmp.Diff(wantRecurrences, tenant.Recurrences); d != "" {
		t.Errorf("recurrences (-want +got):\n%s", d)
	}
	wantGateway := defaultProvider("cielo")
	wantGateway.Kind, wantGateway.BaseURL, wantGateway.QueryURL = "cielo", "https://api.example.com", "https://apiquery.example.com"
	wantGateway.MerchantID, wantGateway.MerchantKey = "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "0123456789012345678901234567890123456789"
	wantGateway.WebhookHeader, wantGateway.WebhookSecret, wantGateway.SoftDescriptor = "X-Agogo-Webhook", "sandbox-CIELO_WEBHOOK_SECRET", "EVERYTHING"
	if d := cmp.Diff(wantGateway, tenant.Providers["cielo"]); d != "" {
		t.Errorf("gateway (-want +got):\n%s", d)
	}
	wantMTN := defaultProvider("mtn")
	wantMTN.Kind, wantMTN.BaseURL, wantMTN.APIUser = "mtn_momo", "https://proxy.example.com/disbursement", "7d1f3a52-9c0b-4e5d-8a6f-0123456789ab"
	wantMTN.APIKey, wantMTN.SubscriptionKey, wantMTN.TargetEnvironment = "sandbox-MTN_API_KEY", "sandbox-MTN_SUBSCRIPTION_KEY", "mtnivorycoast"
	wantMTN.CallbackURL, wantMTN.CallbackKey = "https://pay.example.com/webhooks/payouts/everything/mtn", "0123456789-0123456789_0123456789-X"
	wantMTN.Deduplicates = true // which is its default
	if d := cmp.Diff(wantMTN, tenant.Providers["mtn"]); d != "" {
		t.Errorf("mtn (-want +got):\n%s", d)
	}
	wantSchedules := []Schedule{
		{Name: "daily", Service: "payouts", Job: "payouts/daily", Cron: "59 23 * * 1-5", CatchUp: "skip", CatchUpWindow: 48 * time.Hour, CatchUpCap: 7},
		{Name: "charge-due", Service: "recurrences", Job: "recurrences/charge-due", Cron: "0 8 * * *", CatchUp: "latest", CatchUpCap: 366},
	}
	if d := cmp.Diff(wantSchedules, tenant.Schedules); d != "" {
		t.Errorf("schedules (-want +got):\n%s", d)
	}
	wantTokens := []Token{
		{Name: "ada", Role: "operator", Tenants: []string{"everything"}, Hash: HashToken("sandbox-AGOGO_TOKEN_OF_ADA")},
		{Name: "service:console", Role: "viewer", Tenants: []string{"*"}, Hash: HashToken("sandbox-AGOGO_TOKEN_OF_CONSOLE")},
		{Name: "bo", Role: "approver", Tenants: []string{"*"}, Hash: HashToken("a token of twenty-two c")},
	}
	if d := cmp.Diff(wantTokens, f.Auth.Tokens); d != "" {
		t.Errorf("tokens (-want +got):\n%s", d)
	}
	wantFCM := FCM{ProjectID: "demo", Endpoint: "https://fcm.example.com/v1", Credentials: "testdata/service-account.json"}
	if d := cmp.Diff(wantFCM, f.Notifier.FCM); d != "" {
		t.Errorf("fcm (-want +got):\n%s", d)
	}
}

// What the scheduler fires by is what the file may hold, also where other dialects disagree.
func TestLoadAcceptsTheSchedulersDialect(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"0 2 * * 7", "0 2 * * SAT-SUN", "@daily", "0 0 29 2 *"} {
		path := filepath.Join(t.TempDir(), "tenants.yaml")
		err := os.WriteFile(path, []byte(`
tenants:
  - id: t
    timezone: UTC
    currency: BRL
    locale: pt-BR
    mode: sandbox
    payouts: {commission_bps: 1, default_provider: p, payable_methods: [m]}
    providers:
      p: {kind: orange_omr, base_url: "http://h/", token_url: "http://h/t/", client_id: c, client_secret: "${S}", pos_id: p, callback_authorization: "${S}"}
    schedules:
      - {name: daily, job: payouts/daily, cron: "`+rule+`"}
`), 0o600)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Load(path, sandboxEnv)
		if err != nil {
			t.Error(err)
		} else if got := f.Tenants[0].Schedules[0].Cron; got != rule {
			t.Errorf("cron %q reads as %q", rule, got)
		}
	}
}

func TestDefaultsOfRecurrences(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	err := os.WriteFile(path, []byte(`
tenants:
  - id: t
    timezone: UTC
    currency: BRL
    locale: pt-BR
    recurrences: {default_gateway: c}
    providers:
      c: {kind: cielo, base_url: "http://127.0.0.1:9900/cielo", query_url: "http://127.0.0.1:9900/cielo-query", merchant_id: "${CIELO_MERCHANT_ID}", merchant_key: "${CIELO_MERCHANT_KEY}"}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Load(path, sandboxEnv)
	if err != nil {
		t.Fatal(err)
	}
	want := &Recurrences{
		MaxRetries: 3, RetryDays: []int{1, 3, 7}, CatchUpDays: 7, BusinessDay: "none", CardFailureLimit: 5, CleanupAfterDays: 180, DefaultGateway: "c",
	}
	if d := cmp.Diff(want, f.Tenants[0].Recurrences); d != "" {
		t.Errorf("recurrences (-want +got):\n%s", d)
	}
	if p := f.Tenants[0].Providers["c"]; p.QueryURL != "http://127.0.0.1:9900/cielo-query" || p.WebhookSecret != "" || p.Deduplicates {
		t.Errorf("gateway %+v", p)
	}
}

// What is sent to Wave twice with one key is paid once, by its documentation: the file need not say so.
func TestDefaultsOfWave(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	err := os.WriteFile(path, []byte(`
tenants:
  - id: t
    timezone: UTC
    currency: XOF
    locale: fr-CI
    payouts: {commission_bps: 1, default_provider: w, payable_methods: [wave]}
    providers:
      w: {kind: wave, base_url: "http://127.0.0.1:9900/wave", api_key: "${K}"}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for key, problem := range map[string]string{
		"wave_ci_test_example": "", "another": "",
		"wave_ci_prod_example": "api_key: is a key for mode live and the tenant's is sandbox",
	} {
		f, err := Load(path, func(string) string { return key })
		if problem != "" {
			if err == nil || !strings.Contains(err.Error(), problem) || strings.Contains(err.Error(), key) {
				t.Errorf("%s: got %v", key, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if p := f.Tenants[0].Providers["w"]; !p.Deduplicates || p.APIKey != key || p.SigningSecret != "" || p.AggregatedMerchant != "" {
			t.Errorf("got %+v", p)
		}
	}
}

func TestLoadDefaults(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	err := os.WriteFile(path, []byte(`
tenants:
  - id: t
    timezone: UTC
    currency: BRL
    locale: pt-BR
    mode: sandbox
    payouts: {commission_bps: 1, default_provider: p, payable_methods: [m]}
    providers:
      p: {kind: orange_omr, base_url: "http://h/", token_url: "http://h/t/", client_id: c, client_secret: "${S}", pos_id: p, callback_authorization: "${S}"}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Load(path, sandboxEnv)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&Payouts{CommissionBPS: 1, DefaultProvider: "p", PayableMethods: []string{"m"}, MaxAttempts: 3, OnFailures: OnFailuresPause, DestinationCoolOff: 24 * time.Hour, FloatCheck: 15 * time.Minute}, f.Tenants[0].Payouts); d != "" {
		t.Errorf("payouts (-want +got):\n%s", d)
	}
	want := Provider{
		Name: "p", Kind: "orange_omr", BaseURL: "http://h", TokenURL: "http://h/t", RatePerSec: 10, Concurrency: 8,
		Timeout: 30 * time.Second, QuietTime: 5 * time.Minute, ReviewAfter: 24 * time.Hour,
		LookupAfter: []time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour},
		RetryAfter:  []time.Duration{time.Minute, 10 * time.Minute},
		ClientID:    "c", ClientSecret: "sandbox-S", PosID: "p", CallbackAuthorization: "sandbox-S", FormsStep: true,
		MSISDNFormat: "significant",
	}
	if d := cmp.Diff(want, f.Tenants[0].Providers["p"]); d != "" {
		t.Errorf("provider (-want +got):\n%s", d)
	}
}
