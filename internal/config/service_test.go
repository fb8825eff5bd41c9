package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// owned are the variables of testdata/everything.yaml that a service needs, beside tokens.
func owned(t *testing.T, service string) []string {
	t.Helper()
	all, err := Variables(service, "testdata/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(name string) bool { return strings.HasPrefix(name, "AGOGO_TOKEN_") })
}

// hashed is the file with every token as its hash, as a process of one service must be given it.
func hashed(t *testing.T) []byte {
	t.Helper()
	data, err := readBounded("testdata/everything.yaml", maxFile)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	return regexp.MustCompile(`token: "\$\{[A-Z_]+\}"`).ReplaceAllFunc(data, func([]byte) []byte {
		n++
		return fmt.Appendf(nil, "token_sha256: %q", strings.Repeat(fmt.Sprintf("%02x", n), 32))
	})
}

// Who breaks into one service must not find the tokens of people in it.
func TestAServiceTakesNoToken(t *testing.T) {
	t.Parallel()
	for _, service := range []string{"scheduler", "payouts", "recurrences", "notifier"} {
		_, err := LoadFor(service, "testdata/everything.yaml", sandboxEnv)
		if err == nil || strings.Count(err.Error(), "write token_sha256") != 2 {
			t.Errorf("%s: %v", service, err)
		}
	}
	if _, err := Load("testdata/everything.yaml", sandboxEnv); err != nil {
		t.Errorf("all of them in one process: %v", err)
	}
}

// TestAServiceReadsItsOwnSecretsOnly: it starts without the others', and if they are there it does not take them.
func TestAServiceReadsItsOwnSecretsOnly(t *testing.T) {
	t.Parallel()
	everybody := owned(t, "")
	if len(everybody) < 5 {
		t.Fatalf("the file names only %v", everybody)
	}
	together := map[string]bool{}
	for _, service := range []string{"scheduler", "payouts", "recurrences", "notifier"} {
		own := owned(t, service)
		for _, name := range own {
			if together[name] {
				t.Errorf("%s is given to a second service, %s", name, service)
			}
			together[name] = true
		}
		l := &loader{path: "testdata/everything.yaml", service: service, readFile: readSecret, kinds: providerKinds}
		l.getenv = func(name string) string {
			if strings.HasPrefix(name, "AGOGO_TOKEN_") || slices.Contains(own, name) {
				return sandboxEnv(name)
			}
			t.Errorf("%s asks for %s", service, name)
			return ""
		}
		if _, err := l.load(hashed(t)); err != nil {
			t.Errorf("%s with its own: %v", service, err)
		}
	}
	if d := cmp.Diff(everybody, slices.Sorted(maps.Keys(together))); d != "" {
		t.Errorf("what somebody needs is what each needs together (-want +got):\n%s", d)
	}
	if n := len(owned(t, "scheduler")); n != 0 {
		t.Errorf("the scheduler is given %d secrets", n)
	}
}

// A secret's file is another service's too: here it cannot even be opened.
func TestAServiceOpensItsOwnFilesOnly(t *testing.T) {
	t.Parallel()
	for service, want := range map[string]bool{"scheduler": false, "payouts": true, "recurrences": false, "notifier": true} {
		opened := false
		l := &loader{path: "testdata/everything.yaml", service: service, getenv: sandboxEnv, kinds: providerKinds}
		l.readFile = func(name string) ([]byte, error) { opened = true; return readSecret(name) }
		file, err := l.load(hashed(t))
		if err != nil || opened != want {
			t.Errorf("%s: opened %t, want %t; %v", service, opened, want, err)
			continue
		}
		if (file.Reports.SigningKey != nil) != (service == "payouts") || (file.Notifier.FCM.Credentials != "") != (service == "notifier") {
			t.Errorf("%s has the signing key %t, push credentials %q", service, file.Reports.SigningKey != nil, file.Notifier.FCM.Credentials)
		}
		for _, tenant := range file.Tenants {
			for name, p := range tenant.Providers {
				raw, err := json.Marshal(p)
				if err != nil {
					t.Fatal(err)
				}
				if mine := providerKinds[p.Kind].service == service; strings.Contains(string(raw), "sandbox-") != mine && !mine {
					t.Errorf("%s holds secrets of %s: %s", service, name, raw)
				}
			}
		}
	}
}

func TestEveryKindBelongsToAService(t *testing.T) {
	t.Parallel()
	for name, k := range providerKinds {
		if k.service != "payouts" && k.service != "recurrences" {
			t.Errorf("%s is of service %q", name, k.service)
		}
	}
}
