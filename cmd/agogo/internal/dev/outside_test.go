package dev

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/examples"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/services/payouts"
)

func load(t *testing.T, text string) *config.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tenants.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Load(path, sandboxValue)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSealedLetsNothingOut(t *testing.T) {
	t.Parallel()
	built := string(examples.Tenants)
	if err := sealed(load(t, built)); err != nil {
		t.Errorf("the built-in example: %v", err)
	}
	for name, text := range map[string]string{
		"base_url":  strings.Replace(built, "http://127.0.0.1:9900/orange-money", "https://api.orange.com/orange-money", 1),
		"token_url": strings.Replace(built, "http://127.0.0.1:9900/oauth", "https://api.orange.com/oauth", 1),
		"pushes":    strings.Replace(built, "http://127.0.0.1:9900/fcm", "https://fcm.googleapis.com", 1),
		"cielo": strings.Replace(built, "      orange:\n", `      cielo: {kind: cielo, base_url: "http://127.0.0.1:9900/cielo", query_url: "https://apiquery.cieloecommerce.cielo.com.br",
        merchant_id: "${CIELO_MERCHANT_ID}", merchant_key: "${CIELO_MERCHANT_KEY}"}`+"\n      orange:\n", 1),
		"another port": strings.Replace(built, "9900/orange", "9901/orange", 1),
	} {
		if text == built {
			t.Fatalf("%s: the example has changed", name)
		}
		if err := sealed(load(t, text)); err == nil || !strings.Contains(err.Error(), "not the simulator's") {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	live := load(t, built)
	live.Tenants[0].Mode = "live"
	if err := sealed(live); err == nil || !strings.Contains(err.Error(), "sandbox tenants only") {
		t.Errorf("live: %v, want a refusal", err)
	}
}

// A clock that is ahead would pay tomorrow's evening today, so it is for sandbox tenants.
func TestAClockAheadIsForSandboxes(t *testing.T) {
	t.Parallel()
	f := load(t, string(examples.Tenants))
	if err := ahead(24*time.Hour, f); err != nil {
		t.Errorf("sandboxes only: %v", err)
	}
	f.Tenants[0].Mode = "live"
	if err := ahead(24*time.Hour, f); err == nil || !strings.Contains(err.Error(), "sandbox tenants only") {
		t.Errorf("live: %v, want a refusal", err)
	}
	if err := ahead(0, f); err != nil {
		t.Errorf("live, by the machine's clock: %v", err)
	}
	if err := (Options{ClockAhead: -time.Hour, Ports: "free"}).Check(); err == nil || !strings.Contains(err.Error(), "negative") {
		t.Errorf("behind: %v, want a refusal", err)
	}
	if got := time.Until((Options{ClockAhead: 24 * time.Hour}).now().Now()); got < 23*time.Hour || got > 25*time.Hour {
		t.Errorf("the clock is %s ahead", got)
	}
}

// The refusal comes before anything is started.
func TestSealedStartsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "tenants.yaml")
	text := strings.Replace(string(examples.Tenants), "http://127.0.0.1:9900/orange-money", "https://api.orange.com/orange-money", 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"a provider":    {Config: path},
		"a NATS":        {NATSURL: "nats://127.0.0.1:1"},
		"a Postgres":    {PostgresDSN: "postgres://127.0.0.1:1/x"},
		"no simulator":  {NoSimulator: true},
		"all of theirs": {Config: path, NATSURL: "nats://127.0.0.1:1", PostgresDSN: "postgres://127.0.0.1:1/x"},
	} {
		o.Sealed, o.DataDir, o.Ports, o.LogTo, o.Progress, o.Getenv = true, filepath.Join(dir, name), "free", io.Discard, io.Discard, sandboxValue
		if err := Run(t.Context(), o, func(*Info) { t.Errorf("%s: it is up", name) }); err == nil {
			t.Errorf("%s: no refusal", name)
		}
		if _, err := os.Stat(filepath.Join(o.DataDir, "postgres")); err == nil {
			t.Errorf("%s: Postgres was begun", name)
		}
	}
}

func TestRedirectMovesEveryAddressOfTheSimulator(t *testing.T) {
	t.Parallel()
	f := load(t, string(examples.Tenants))
	p := f.Tenants[0].Providers["orange"]
	p.QueryURL = "http://127.0.0.1:9900/query"
	f.Tenants[0].Providers["orange"] = p
	redirect(f, "127.0.0.1:12345")
	p = f.Tenants[0].Providers["orange"]
	for _, got := range []string{p.BaseURL, p.TokenURL, p.QueryURL, f.Notifier.FCM.Endpoint} {
		if !strings.HasPrefix(got, "http://127.0.0.1:12345/") {
			t.Errorf("%s was not moved", got)
		}
	}
}

// The built-in example lies where people look for a file to change, and is written anew at each start. Its one difference from the file that is
// to be copied is that it closes its days, with the key that dev has made.
func TestBuiltInExampleSaysThatChangesAreLost(t *testing.T) {
	t.Parallel()
	d := &dev{Options: Options{DataDir: t.TempDir(), Getenv: func(string) string { return "" }}}
	if err := d.load(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(d.DataDir, "tenants.yaml"))
	first, _, _ := strings.Cut(string(raw), "\n")
	closes := strings.Replace(string(examples.Tenants), `# - { name: close, job: payouts/close, cron: "30 0 * * *" }`, `- { name: close, job: payouts/close, cron: "30 0 * * *" }`, 1)
	if err != nil || !strings.Contains(first, "changes here are lost") || !strings.Contains(string(raw), closes) || closes == string(examples.Tenants) {
		t.Errorf("%v: %s", err, first)
	}
	if err := payouts.Check(d.file); err != nil || d.file.Reports.SigningKey == nil {
		t.Errorf("a day cannot be closed: %v", err)
	}
	again := &dev{Options: d.Options}
	if err := again.load(); err != nil {
		t.Fatal(err)
	}
	if !d.file.Reports.SigningKey.Equal(again.file.Reports.SigningKey) {
		t.Error("the next start has another key")
	}
	s := d.file.Tenants[0].Schedules
	if last := s[len(s)-1]; last.Job != "payouts/close" || last.Name != "close" {
		t.Errorf("the example's schedules: %+v", s)
	}
	if d.info.Modes["lebenis"] != "sandbox" {
		t.Errorf("modes %v", d.info.Modes)
	}
}
