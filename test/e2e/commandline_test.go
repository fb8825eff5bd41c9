package e2e_test

import (
	"net"
	"net/url"
	"strings"
	"testing"
)

// Exit codes are 0 done, 1 failed, 2 usage, 3 not found, 4 refused, and a message says what to do.
func TestExitCodes(t *testing.T) {
	w := evening(t)
	const nobody = "00000000-0000-0000-0000-000000000000"
	for _, c := range []struct {
		command string
		code    int
		says    string
	}{
		{"--help", 0, "agogo demo"},
		{"payouts list --help", 0, "--state"},
		{"doctor", 0, "ready"},
		{"nope", 2, `unknown command "nope"`},
		{"payouts nope", 2, "agogo payouts --help"},
		{"payouts", 2, "name a command"},
		{"payouts get", 2, "wants ID"},
		{"payouts list extra", 2, "got 1 argument"},
		{"payouts list --prots", 2, "unknown flag"},
		{"payouts list -o xml", 2, "table or json"},
		{"payouts list --state paid", 2, `"paid" is no state`},
		{"payouts get 12", 2, "UUID"},
		{"payouts hold " + nobody, 2, `"reason"`},
		{"payouts resolve " + nobody + " --outcome perhaps --evidence nothing", 2, "outcome"},
		{"schedules trigger " + daily + " --at yesterday", 2, "RFC 3339"},
		{"float top-up 10.5 --currency XOF --provider orange --reference r1", 2, "AMOUNT"},
		{"dlq show first", 2, "SEQ"},
		{"dev --ports many", 2, "default, free or +N"},
		{"dev --only everything", 2, "payouts"},
		{"payouts get " + nobody, 3, "no payout"},
		{"payouts list --run lebenis/payouts/daily@2020-01-01T23:59:00Z", 3, "no run"},
		{"payouts list --tenant nobody", 3, "lebenis"},
		{"schedules list --tenant nobody", 3, "lebenis"},
		{"schedules get lebenis/payouts/nightly", 3, "no schedule"},
		{"runs get lebenis/payouts/daily@2020-01-01T23:59:00Z", 3, "no run"},
		{"batches get " + nobody, 3, "no batch"},
		{"dlq show 4711", 3, "not found"},
		{"schedules trigger " + daily + " --at 2099-01-24T23:59:00Z", 4, "future"},
		{"schedules pause " + daily + " --reason x --token approver", 4, "needs the role operator"},
		{"stop --reason x --token approver", 4, "needs the role operator"},
		{"payments import /dev/null --token approver", 4, "needs the role operator"},
		{"payouts list --token nobody-s-token", 4, "not known"},
		{"payments import /no/such/file.csv", 1, "no such file"},
		{"payments import .", 1, "is a directory"},
		{"events tail --type nope", 2, "no type of event"},
		{"payouts list --context /no/such/dev.json", 1, "agogo dev"},
	} {
		t.Run(c.command, func(t *testing.T) {
			r := w.Try(t, strings.Fields(c.command)...)
			if r.Code != c.code || !strings.Contains(r.String(), c.says) {
				t.Errorf("exit %d, want %d and %q in\n%s", r.Code, c.code, c.says, r)
			}
			if strings.Contains(r.String(), "the file is empty") {
				t.Errorf("what was not read was taken for an empty file:\n%s", r)
			}
			if r.Code != 0 && strings.Contains(r.Err, "goroutine ") {
				t.Errorf("a panic:\n%s", r.Err)
			}
		})
	}
}

// Only people who may do so change anything; everybody in dev.json may look.
func TestRolesOfDevJSON(t *testing.T) {
	w := evening(t)
	for token, code := range map[string]int{"admin": 0, "operator": 0, "approver": 4, "approver2": 4} {
		if r := w.Try(t, "schedules", "pause", "lebenis/payouts/check-pending", "--reason", "by "+token, "--token", token); r.Code != code {
			t.Errorf("schedules pause as %s: exit %d, want %d\n%s", token, r.Code, code, r)
		}
		if r := w.TryWith(t, []string{"AGOGO_TOKEN=" + w.Info(t).Tokens[token]}, nil, "payees", "list"); r.Code != 0 {
			t.Errorf("payees list as %s, by its token: exit %d\n%s", token, r.Code, r)
		}
	}
}

// Names and numbers are for people who may see them, and phones are masked even for those.
func TestPhonesAreMasked(t *testing.T) {
	w := evening(t)
	out := w.CLI(t, "payees", "list") + w.CLI(t, "payees", "list", "-o", "json")
	if !strings.Contains(out, "Jean Kouassi") || strings.Contains(out, "0700000101") {
		t.Errorf("want names, and of phones no more than the end:\n%s", out)
	}
}

// Nothing answers without a token, and nothing is reachable from other machines.
func TestNothingIsOpen(t *testing.T) {
	w := evening(t)
	info := w.Info(t)
	dsn, err := url.Parse(info.PostgresDSN)
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{strings.TrimPrefix(info.NATS.URL, "nats://"), strings.TrimPrefix(info.Simulator, "http://"), dsn.Host}
	for service := range info.GRPC {
		addresses = append(addresses, info.GRPC[service], info.HTTP[service])
	}
	for _, a := range addresses {
		host, _, err := net.SplitHostPort(a)
		if err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("%s: want an address of this machine only (%v)", a, err)
		}
	}
	if r := w.Try(t, "payouts", "list", "--token", "x"); r.Code != 4 {
		t.Errorf("a wrong token: exit %d\n%s", r.Code, r)
	}
}
