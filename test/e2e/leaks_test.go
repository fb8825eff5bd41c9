package e2e_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agogopay/agogo/test/harness"
)

// Promise 8: no secret, name or full phone number reaches a log, an event or a trace. The shared world logs at level debug
// and sends its traces here; everything that it published since it was ready was heard.
func TestNothingLeaks(t *testing.T) {
	w := evening(t)
	words := append(personal(t), secrets(t, w.Install)...)
	heard := 0
	for _, m := range w.heard.messages(t) {
		if strings.HasPrefix(m.Subject, "agogo.dlq.") || strings.HasPrefix(m.Header.Get("Nats-Msg-Id"), "poison") {
			continue // a dead letter is a full copy of what somebody sent, here TestDeadLetters
		}
		heard++
		search(t, "message on "+m.Subject, append(headerText(m.Header), m.Data...), words)
	}
	for _, name := range []string{"EVENTS", "AUDIT", "TICKS", "ADVISORIES"} {
		for _, m := range messages(t, w.Install, name) {
			search(t, name+" "+m.Subject(), append(headerText(m.Headers()), m.Data()...), words)
		}
	}
	search(t, "the log", []byte(w.dev.Log()), words)
	search(t, "standard output", []byte(w.dev.Output()), words)
	for service, addr := range w.Info(t).HTTP {
		search(t, "the metrics of "+service, fetch(t, "http://"+addr+"/metrics"), words)
	}
	harness.Eventually(t, waiting, "traces of payouts", func() (bool, string) {
		spans := w.spans.Bytes()
		return bytes.Contains(spans, []byte("payouts")), fmt.Sprintf("%d bytes", len(spans))
	})
	search(t, "the traces", w.spans.Bytes(), words)
	if heard < 100 || w.dev.Log() == "" {
		t.Errorf("only %d messages and %d bytes of log were searched", heard, len(w.dev.Log()))
	}
}

// personal are the names and phone numbers of the sample's drivers, in the forms they travel in, and their push tokens.
func personal(t *testing.T) []string {
	t.Helper()
	known := map[string]bool{}
	for _, row := range rows(t, "lebenis/payments-2025-01-24.csv") {
		known[row[2]] = true                                 // payee_name
		known[strings.TrimPrefix(row[3], "+225")] = true     // as people write it, and as the provider wants it
		known[strings.TrimPrefix(row[3], "+2250")] = true    // without the leading zero
		known[url.QueryEscape(row[2])] = true                // in a header
		known[strings.ReplaceAll(row[2], " ", "%20")] = true // likewise
	}
	for _, row := range rows(t, "lebenis/devices.csv") {
		known[row[1]] = true
	}
	words := make([]string, 0, len(known))
	for w := range known {
		words = append(words, w)
	}
	if len(words) < 15*3 {
		t.Fatalf("only %d words", len(words))
	}
	return words
}

func rows(t *testing.T, example string) [][]string {
	t.Helper()
	raw, err := os.ReadFile(harness.Example(t, example))
	if err != nil {
		t.Fatal(err)
	}
	all, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return all[1:]
}

// secrets are those of the installation: tokens, passwords, and the credentials at the provider.
func secrets(t *testing.T, in *harness.Install) []string {
	t.Helper()
	words := []string{harness.ClientID, harness.ClientSecret, harness.PosID, harness.CallbackAuth, strings.TrimPrefix(harness.CallbackAuth, "Basic ")}
	info := in.Info(t)
	for _, token := range info.Tokens {
		words = append(words, token)
	}
	dsn, err := url.Parse(info.PostgresDSN)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := dsn.User.Password()
	raw, err := os.ReadFile(filepath.Join(in.DataDir(), "secrets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Roles map[string]string `json:"roles"`
	}
	if err := json.Unmarshal(raw, &kept); err != nil || len(kept.Roles) == 0 {
		t.Fatalf("secrets.json: %v", err)
	}
	for _, s := range kept.Roles {
		words = append(words, s)
	}
	return append(words, password)
}

func headerText(h map[string][]string) []byte {
	var b bytes.Buffer
	for k, vs := range h {
		fmt.Fprintf(&b, "%s: %s\n", k, strings.Join(vs, "\n"))
	}
	return b.Bytes()
}

func search(t *testing.T, where string, text []byte, words []string) {
	t.Helper()
	for _, w := range words {
		if i := bytes.Index(text, []byte(w)); i >= 0 {
			t.Errorf("%s holds %q: …%s…", where, w, text[max(0, i-200):min(len(text), i+len(w)+100)])
		}
	}
}

func fetch(t *testing.T, address string) []byte {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", address, res.Status, err)
	}
	return body
}
