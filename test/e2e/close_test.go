package e2e_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/test/harness"
)

// closesFile has a tenant that pays through Wave, which has a statement, and one whose provider tells neither statement nor balance.
// The zone keeps the machine's midnight away from the evening.
func closesFile(zone string) string {
	tenant := `
  - id: %s
    timezone: ` + zone + `
    currency: XOF
    locale: fr-CI
    mode: sandbox
    payouts: {commission_bps: 2000, minimum: 100, default_provider: %s, payable_methods: [mobile], accept_from: "2025-01-01"}
    providers:
      %s
    schedules:
      - {name: daily, job: payouts/daily, cron: "59 23 * * *"}
`
	return "tenants:" +
		fmt.Sprintf(tenant, "written", "wave", `wave: {kind: wave, base_url: "http://127.0.0.1:9900/wave", api_key: "${WAVE_API_KEY}", timeout: 1s, quiet_time: 500ms, deduplicates: true}`) +
		fmt.Sprintf(tenant, "paperless", "orange", `orange: {kind: orange_omr, base_url: "http://127.0.0.1:9900/orange-money-b2b/v1/ci", token_url: "http://127.0.0.1:9900/oauth/v3/token",
               client_id: "${ORANGE_CLIENT_ID}", client_secret: "${ORANGE_CLIENT_SECRET}", pos_id: "${ORANGE_POS_ID}", callback_authorization: "${ORANGE_CALLBACK_AUTH}", timeout: 1s, quiet_time: 500ms}`) + `
notifier:
  fcm: {project_id: demo, endpoint: "http://127.0.0.1:9900/fcm/v1", credentials: ""}
`
}

// closeScene is a tenant's day.
type closeScene struct {
	*testing.T
	*harness.Install
	provider, date string
	number, payees int
}

// closed is an installation on which both tenants paid four payees, and whose clock shows the next day since.
func closed(t *testing.T) (written, paperless closeScene) {
	t.Helper()
	zone := "Africa/Abidjan"
	if h := time.Now().UTC().Hour(); h < 1 || h > 21 {
		zone = "Asia/Tokyo"
	}
	where, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	in := harness.New(t, binary)
	in.Env = []string{"WAVE_API_KEY=wave_ci_test_0123456789abcdef"}
	in.WithSimulator(t)
	in.UseConfig(t, closesFile(zone))
	fill(t, in, 1_000_000)
	dev := in.Dev(t)
	pauseSchedules(t, in)
	scene := func(tenant, provider string, number int) closeScene {
		own := *in
		own.Tenant = tenant
		s := closeScene{t, &own, provider, time.Now().In(where).Format(time.DateOnly), number, 4}
		s.pay()
		return s
	}
	written, paperless = scene("written", "wave", 91), scene("paperless", "orange", 92)
	if r := written.Try(t, "ledger", "close", "--date", written.date); r.Code != 4 || !strings.Contains(r.Err, "is not over") {
		t.Errorf("a day that is not over was closed: %s", r)
	}
	dev.Interrupt(t)
	in.Dev(t, "--clock-ahead", "24h")
	return written, paperless
}

// pay books a top-up and pays an evening.
func (s closeScene) pay() {
	s.Helper()
	var file strings.Builder
	file.WriteString(paymentsHeader)
	for p := range s.payees {
		fmt.Fprintf(&file, "pay-%d,%s,%s,+225%s,30000,XOF,mobile,completed,2025-01-24T12:00:00Z\n", p, payeeID(p), payeeName, wallet(s.number, p))
	}
	s.CLI(s.T, "payments", "import", harness.WriteFile(s.T, "payments.csv", file.String()))
	s.CLI(s.T, "float", "top-up", "1000000", "--currency", "XOF", "--provider", s.provider, "--reference", "BANK-1")
	s.CLI(s.T, "schedules", "trigger", s.Tenant+"/payouts/daily", "--at", january24, "--wait", "--timeout", runEnds)
	awaitState(s.T, s.Install, "succeeded", s.payees)
}

// compare closes the day, or reconciles it again, and returns the newest close.
func (s closeScene) compare(command ...string) *payoutsv1.Close {
	s.Helper()
	all := harness.Items[payoutsv1.Close](s.T, s.Install, append(command, "--date", s.date, "--provider", s.provider, "--wait", "--timeout", "30s")...)
	if len(all) == 0 {
		s.Fatal("no close")
	}
	return slices.MaxFunc(all, func(a, b *payoutsv1.Close) int { return int(a.Revision - b.Revision) })
}

func (s closeScene) report(more ...string) string {
	s.Helper()
	return s.CLI(s.T, append([]string{"recon", "report", "--date", s.date, "--provider", s.provider}, more...)...)
}

// says checks that a text has all the words.
func says(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not say %q:\n%s", what, w, text)
		}
	}
}

// A day is closed through the binary, where there is a statement and where there is none: the sums agree, reports can be checked
// without us, nobody can change them, and closing again changes nothing. Then the statement is wrong in every way, and operators hear it.
func TestADayIsClosed(t *testing.T) {
	t.Parallel()
	written, paperless := closed(t)
	key := harness.WriteFile(t, "key.pem", written.CLI(t, "recon", "key"))

	k := written.compare("ledger", "close")
	if k.State != "completed" || k.Statement != "read" || k.Matched != 4 || k.GetClosing().GetMinor() != 1_000_000-4*24_240 || k.GetDifference().GetMinor() != 0 ||
		k.GetProviderClosing().GetMinor() != k.GetClosing().GetMinor() {
		t.Errorf("the day at Wave: %v", k)
	}
	says(t, "the report", written.report(), "903040 XOF", "4 are payouts that agree (96000 XOF)", k.Digest)

	n := paperless.compare("ledger", "close")
	if n.State != "completed" || n.Statement != "none" || n.Matched != 0 || n.GetClosing().GetMinor() != 1_000_000-4*24_000 || n.ProviderClosing != nil || n.Difference != nil {
		t.Errorf("the day without a statement: %v", n)
	}
	says(t, "the report", paperless.report(), "not told", "has no statement", "tells no balance")

	for _, s := range []closeScene{written, paperless} {
		s.sealed(key)
		s.closedTwice()
		s.statement()
	}
	written.wrongStatement(key)
	written.emptySuspense()
	for _, s := range []closeScene{written, paperless} {
		s.CLI(t, "ledger", "verify")
	}
	written.CLI(t, "events", "verify")
}

// sealed checks the files that auditors get, and what becomes of them in other hands.
func (s closeScene) sealed(key string) {
	s.Helper()
	forms := map[string]string{"csv": s.report("-o", "csv"), "json": s.report("-o", "json")}
	if !json.Valid([]byte(forms["json"])) {
		s.Errorf("no JSON:\n%s", forms["json"])
	}
	for form, text := range forms {
		name := harness.WriteFile(s.T, "report."+form, text)
		if r := s.Try(s.T, "recon", "verify", "--key", key, name); r.Code != 0 || !strings.Contains(r.Out, "1 of 1") {
			s.Errorf("%s of %s: %s", form, s.Tenant, r)
		}
		bad := harness.WriteFile(s.T, "bad."+form, strings.Replace(text, "1000000", "1000001", 1))
		if r := s.Try(s.T, "recon", "verify", "--key", key, bad); r.Code != 1 || !strings.Contains(r.Err, bad+": its content") || !strings.Contains(r.Out, "0 of 1") {
			s.Errorf("%s of %s was changed, and: %s", form, s.Tenant, r)
		}
	}
}

// closedTwice closes the day again: the report, what was found and the books stay as they are, to the byte.
func (s closeScene) closedTwice() {
	s.Helper()
	look := func() string {
		return s.report("-o", "csv") + s.CLI(s.T, "recon", "list", "-o", "json") + s.CLI(s.T, "recon", "closes", "-o", "json") + s.CLI(s.T, "ledger", "entries", "-o", "json")
	}
	before := look()
	if k := s.compare("ledger", "close"); k.Revision != 1 {
		s.Errorf("%s was closed twice: %v", s.date, k)
	}
	if after := look(); after != before {
		s.Errorf("%s: another close changed\n%s\ninto\n%s", s.Tenant, before, after)
	}
}

// statement is what a payee is shown, in every form.
func (s closeScene) statement() {
	s.Helper()
	ask := []string{"payees", "statement", payeeID(0)}
	says(s.T, "the statement", s.CLI(s.T, ask...), "Owed before: 0 XOF", "30000 XOF", "6000 XOF", "-24000 XOF", "succeeded", "Owed after: 0 XOF")
	rows, err := csv.NewReader(strings.NewReader(s.CLI(s.T, append(ask, "-o", "csv")...))).ReadAll()
	if err != nil || len(rows) != 5 || rows[1][1] != "opening" || rows[2][3] != "30000" || rows[3][5] != "-24000" || rows[4][6] != "0" {
		s.Errorf("as CSV: %q %v", rows, err)
	}
	var form struct {
		Items []struct {
			Kind    string `json:"kind"`
			Balance struct {
				Minor string `json:"minor"`
			} `json:"balance"`
		} `json:"items"`
	}
	if err := json.Unmarshal([]byte(s.CLI(s.T, append(ask, "-o", "json")...)), &form); err != nil || len(form.Items) != 2 ||
		form.Items[0].Kind != "payment" || form.Items[0].Balance.Minor != "24000" || form.Items[1].Balance.Minor != "0" {
		s.Errorf("as JSON: %+v %v", form, err)
	}
}

// wrongStatement has the statement lie about every payee, after a page that is cut and one that is garbage.
func (s closeScene) wrongStatement(key string) {
	s.Helper()
	first := s.report("-o", "csv")
	rule := func(operation, fault string, more harness.Rule) {
		r := harness.Rule{"provider": "wave", "operation": operation, "fault": fault}
		for k, v := range more {
			r[k] = v
		}
		s.Misbehave(s.T, r)
	}
	of := func(payee int) map[string]any { return map[string]any{"peer": "+225" + wallet(s.number, payee)} }
	rule("transactions", "page_cut", harness.Rule{"times": 1})
	rule("transactions", "garbage_200", harness.Rule{"times": 1})
	rule("line", "line_missing", harness.Rule{"match": of(0)})
	rule("line", "line_amount", harness.Rule{"match": of(1), "message": "25000"})
	rule("line", "line_twice", harness.Rule{"match": of(2)})
	rule("line", "line_extra", harness.Rule{"match": of(3), "message": "theirs-1"})

	k := s.compare("recon", "run")
	if k.State != "completed" || k.Revision != 2 || k.Matched != 2 || k.Exceptions < 4 {
		s.Errorf("with a wrong statement: %v", k)
	}
	if c := s.Calls(s.T, "transactions"); c["page_cut"] != 1 || c["garbage_200"] != 1 {
		s.Errorf("the unreadable pages were not read: %v", c)
	}
	says(s.T, "the report", s.report(), "missing_there", "amount_differs", "paid 25000", "duplicate", "missing_here", "theirs-1")
	found := s.CLI(s.T, "recon", "list", "-o", "json")
	says(s.T, "recon list", found, "unknown_reference", "amount_differs", "paid 25000")
	says(s.T, "recon list", s.CLI(s.T, "recon", "list"), "unknown_reference", "24240 XOF", "1000 XOF")
	books := s.CLI(s.T, "ledger", "entries", "-o", "json")

	if again := s.compare("recon", "run"); again.Revision != 3 || again.Exceptions != k.Exceptions {
		s.Errorf("once more: %v", again)
	}
	if now := s.CLI(s.T, "recon", "list", "-o", "json"); now != found {
		s.Errorf("what was found is found again:\n%s\nafter\n%s", now, found)
	}
	if now := s.CLI(s.T, "ledger", "entries", "-o", "json"); now != books {
		s.Errorf("it was booked again:\n%s\nafter\n%s", now, books)
	}
	if paid := s.Calls(s.T, "payout"); sum(paid) != s.payees {
		s.Errorf("a wrong statement made somebody pay: %v", paid)
	}
	s.chained(key, first)
	s.told()
}

// A day whose statement cannot be read is closed by nobody alone, and its report says that it was not compared.
func TestADayWithoutItsStatement(t *testing.T) {
	t.Parallel()
	s, _ := closed(t)
	key := harness.WriteFile(t, "key.pem", s.CLI(t, "recon", "key"))
	s.Misbehave(s.T, harness.Rule{"provider": "wave", "operation": "transactions", "fault": "garbage_200"})
	of := []string{"ledger", "close", "--date", s.date, "--provider", s.provider}
	if r := s.Try(s.T, append(of, "--wait")...); r.Code != 1 || !strings.Contains(r.Out, "the statement could not be read") {
		s.Errorf("a day that cannot be read: %s", r)
	}
	without := append(slices.Clone(of), "--without-statement", "--reason", "the provider has none before Monday")
	for range 2 {
		if r := s.Try(s.T, append(without, "--token", "operator")...); r.Code != 0 || !strings.Contains(r.Err, "Another person") || !strings.Contains(r.Out, "open") {
			s.Errorf("one person: %s", r)
		}
	}
	if r := s.Try(s.T, append(without, "--token", "approver", "--wait", "--timeout", runEnds)...); r.Code != 0 || !strings.Contains(r.Out, "not_compared") {
		s.Errorf("two people: %s", r)
	}
	says(s.T, "the report", s.report(), "NOT COMPARED WITH A STATEMENT", "operator", "approver", "the provider has none before Monday")
	if r := s.Try(s.T, "recon", "verify", "--key", key, harness.WriteFile(s.T, "without.csv", s.report("-o", "csv"))); r.Code != 0 {
		s.Errorf("its report: %s", r)
	}
	s.Control(s.T, http.MethodPut, "/_control/plan", map[string]any{"rules": []any{}}, nil)
	if k := s.compare("recon", "run"); k.Statement != "read" || k.Matched != int64(s.payees) || k.Revision != 2 {
		s.Errorf("read since: %v", k)
	}
}

// emptySuspense has two people say whose the money is, until none is left.
func (s closeScene) emptySuspense() {
	s.Helper()
	all := harness.Items[payoutsv1.Suspended](s.T, s.Install, "recon", "suspense")
	if len(all) == 0 {
		s.Fatal("nothing is in suspense after a wrong statement")
	}
	for _, x := range all {
		words := []string{"recon", "resolve", x.GetFinding().GetId(), "--to", "losses", "--reason", "the wrong statement", "--evidence", "ticket 4711", "--token"}
		if r := s.Try(s.T, append(words, "operator")...); r.Code != 0 || !strings.Contains(r.Out, "Another person") {
			s.Errorf("one person: %s", r)
		}
		says(s.T, "recon suspense", s.CLI(s.T, "recon", "suspense"), "to losses by")
		if r := s.Try(s.T, append(words, "approver")...); r.Code != 0 || !strings.Contains(r.Out, "In suspense for it now: 0 XOF") {
			s.Errorf("two people: %s", r)
		}
	}
	if left := harness.Items[payoutsv1.Suspended](s.T, s.Install, "recon", "suspense"); len(left) > 0 {
		s.Errorf("in suspense: %v", left)
	}
	if k := s.compare("recon", "run"); k.State != "completed" {
		s.Errorf("after that: %v", k)
	}
	says(s.T, "the next report", s.report(), "resolved by people", "to losses by", "the wrong statement")
	says(s.T, "the audit trail", s.CLI(s.T, "audit", "list"), "ResolveFinding")
}

// chained checks the three reports of the day, in any order, and without the one in the middle.
func (s closeScene) chained(key, first string) {
	s.Helper()
	one := harness.WriteFile(s.T, "1.csv", first)
	two, three := harness.WriteFile(s.T, "2.csv", s.report("--revision", "2", "-o", "csv")), harness.WriteFile(s.T, "3.csv", s.report("-o", "csv"))
	if r := s.Try(s.T, "recon", "verify", "--key", key, three, one, two); r.Code != 0 || r.Err != "" {
		s.Errorf("three revisions: %s", r)
	}
	if r := s.Try(s.T, "recon", "verify", "--key", key, one, three); r.Code != 0 || !strings.Contains(r.Err, "not given, so not checked") {
		s.Errorf("without the second: %s", r)
	}
}

// told checks that operators have heard, and that every fault happened.
func (s closeScene) told() {
	s.Helper()
	says(s.T, "events", s.CLI(s.T, "events", "tail", "--type", "recon.*", "--follow=false"), "recon.mismatch_found", "recon.completed")
	harness.Eventually(s.T, waiting, "operators are told", func() (bool, string) {
		var texts []string
		for _, n := range harness.Items[notifierv1.Notification](s.T, s.Install, "notifications", "list", "--recipient", "operators") {
			if n.Kind == "recon.mismatch_found" {
				texts = append(texts, n.Title+": "+n.Body)
			}
		}
		all := strings.Join(texts, "\n")
		return strings.Contains(all, "Écarts de rapprochement") && strings.Contains(all, "agogo recon list"), all
	})
	var plan struct {
		Rules []struct {
			Fault   string `json:"fault"`
			Applied int    `json:"applied"`
		} `json:"rules"`
	}
	s.Control(s.T, http.MethodGet, "/_control/plan", nil, &plan)
	for _, r := range plan.Rules {
		if r.Applied == 0 {
			s.Errorf("%s never happened", r.Fault)
		}
	}
}

// A new user's first close: the example as agogo dev runs it, an evening, and the day after it, which comes with the next start. Nobody writes
// a tenants file or makes a key.
func TestTheExampleClosesItsDays(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Tenant = lebenis
	ahead := 0 // hours, away from the machine's midnight: the close comes at half past twelve
	if h := time.Now().UTC().Hour(); h < 2 || h > 20 {
		ahead = 6
	}
	date := time.Now().UTC().Add(time.Duration(ahead) * time.Hour).Format(time.DateOnly)
	dev := in.Dev(t, "--clock-ahead", fmt.Sprintf("%dh", ahead))
	want := expectation(t)
	in.CLI(t, "payments", "import", harness.Example(t, "lebenis/payments-2025-01-24.csv"))
	in.CLI(t, "schedules", "trigger", daily, "--at", january24, "--wait", "--timeout", runEnds)
	awaitState(t, in, "succeeded", want.Payouts)
	dev.Interrupt(t)
	in.Dev(t, "--clock-ahead", fmt.Sprintf("%dh", ahead+24))
	harness.Eventually(t, waiting, "the day is closed", func() (bool, string) {
		all := harness.Items[payoutsv1.Close](t, in, "recon", "closes")
		done := len(all) == 1 && all[0].State == "completed" && all[0].LocalDate == date && all[0].GetClosing().GetMinor() == -want.TotalNet
		return done, fmt.Sprint(all)
	})
	says(t, "the report", in.CLI(t, "recon", "report", "--date", date), "-450000 XOF", "has no statement")
	key := harness.WriteFile(t, "key.pem", in.CLI(t, "recon", "key"))
	name := harness.WriteFile(t, "report.csv", in.CLI(t, "recon", "report", "--date", date, "-o", "csv"))
	if r := in.Try(t, "recon", "verify", "--key", key, name); r.Code != 0 || !strings.Contains(r.Out, "1 of 1") {
		t.Errorf("verify: %s", r)
	}
}
