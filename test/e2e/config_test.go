package e2e_test

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/test/harness"
)

// wrong is a fault that is put into the tenants file, and what dev says about it. at is a text on the line that dev must
// name, where wrong has several lines.
type wrong struct{ right, wrong, says, at string }

// A wrong tenants file is refused as a whole, with file, line and remedy for every fault, and nothing is started.
func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	for name, c := range map[string][]wrong{
		"unknown key":        {{"minimum: 100 #", "minimun: 100 #", "did you mean minimum?", ""}},
		"unknown kind":       {{"kind: orange_omr", "kind: orange_ci", "write cielo, ", ""}},
		"unknown zone":       {{"timezone: Africa/Abidjan", "timezone: Africa/Abidjam", "zone", ""}},
		"unknown currency":   {{"currency: XOF", "currency: XFO", "currenc", ""}},
		"cron":               {{`cron: "59 23 * * *"`, `cron: "59 25 * * *"`, "write 0 to 23", ""}},
		"unserved job":       {{"job: payouts/reset-breaks", "job: payouts/reset-brakes", "served by no service: write payouts/check-pending, payouts/close, payouts/daily, payouts/reset-breaks", ""}},
		"missing secret":     {{"${ORANGE_CLIENT_SECRET}", "${ORANGE_CLIENT_PASSWORD}", "ORANGE_CLIENT_PASSWORD is not set: export it", ""}},
		"secret written out": {{"${ORANGE_CLIENT_SECRET}", "correct-horse-battery", "is written out", ""}},
		"two of one id":      {{"notifier:", "  - {id: lebenis, timezone: UTC, currency: XOF, locale: fr, mode: sandbox}\nnotifier:", "twice", "{id: lebenis"}},
		"live on simulator":  {{"mode: sandbox #", "mode: live #", "base_url: is an address of this machine, which mode live refuses", "base_url:"}},
		"everything at once": {
			{"timezone: Africa/Abidjan", "timezone: Abidjan", "zone", ""},
			{"commission_bps: 2000", "commission_bps: 20000", "out of bounds", ""},
			{"kind: orange_omr", "kind: orange_omr\n        colour: orange", "not a known key", "colour"},
			{"timeout: 2s", "timeout: 2", "not a duration", ""},
			{`cron: "0 * * * *"`, `cron: "hourly"`, "cron", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(harness.Example(t, "tenants.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			text := string(raw)
			for _, w := range c {
				if strings.Count(text, w.right) == 0 {
					t.Fatalf("examples/tenants.yaml has no %q", w.right)
				}
				text = strings.Replace(text, w.right, w.wrong, 1)
			}
			in := harness.New(t, binary)
			in.UseConfig(t, text)
			checkRefused(t, in, text, c)
		})
	}
}

func checkRefused(t *testing.T, in *harness.Install, text string, faults []wrong) {
	t.Helper()
	p := in.DevWith(t, nil)
	code := p.AwaitExit(t, 20*time.Second)
	said := p.Log()
	if code != 1 && code != 2 {
		t.Errorf("exit %d, want 1 or 2", code)
	}
	for _, w := range faults {
		before, _, _ := strings.Cut(text, cmp.Or(w.at, w.wrong))
		place := fmt.Sprintf("%s:%d: ", in.Config, strings.Count(before, "\n")+1)
		if !hasLine(said, place, w.says) {
			t.Errorf("no line with %q and %q in\n%s", place, w.says, said)
		}
	}
	if strings.Contains(said, "correct-horse") || p.Output() != "" {
		t.Errorf("said a secret, or was ready:\n%s%s", p.Output(), said)
	}
	left, err := os.ReadDir(in.DataDir())
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, f := range left {
		if f.Name() != "dev.lock" {
			t.Errorf("%s is in the data directory, although nothing should have been started", f.Name())
		}
	}
}

func hasLine(text string, parts ...string) bool {
	for _, line := range strings.Split(text, "\n") {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return true
		}
	}
	return false
}

func TestNoConfigurationAtAll(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "binary": "\x00\x01\x02", "not yaml": "tenants: [", "a list": "- a"} {
		in := harness.New(t, binary)
		in.UseConfig(t, text)
		p := in.DevWith(t, nil)
		if code := p.AwaitExit(t, 20*time.Second); code == 0 || !strings.Contains(p.Log(), in.Config) {
			t.Errorf("%s: exit %d\n%s", name, code, p.Log())
		}
	}
	in := harness.New(t, binary)
	in.Config = in.Dir + "/none.yaml"
	p := in.DevWith(t, nil)
	if code := p.AwaitExit(t, 20*time.Second); code == 0 || !strings.Contains(p.Log(), "none.yaml: no such file") {
		t.Errorf("no file: exit %d\n%s", code, p.Log())
	}
}
