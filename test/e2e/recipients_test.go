package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/test/harness"
)

// verifiedTenant pays over MTN, who is asked about each wallet first.
func verifiedTenant(kind, keys string) string {
	return fmt.Sprintf(`
tenants:
  - id: lebenis
    timezone: Africa/Abidjan
    currency: XOF
    locale: fr-CI
    mode: sandbox
    payouts: {commission_bps: 2000, minimum: 100, default_provider: momo, payable_methods: [mobile_money], accept_from: "2025-01-01"}
    providers:
      momo: {kind: %s, %s, verify_recipients: match, rate_per_second: 50, concurrency: 8, timeout: 2s, quiet_time: 500ms, lookup_after: [1s, 2s]}
    schedules:
      - {name: daily, job: payouts/daily, cron: "59 23 * * *"}
notifier:
  fcm: {project_id: demo, endpoint: "http://127.0.0.1:9900/fcm/v1", credentials: ""}
`, kind, keys)
}

const mtnKeys = `base_url: "http://127.0.0.1:9900/disbursement", target_environment: mtnivorycoast, api_user: user,
             api_key: "${MTN_API_KEY}", subscription_key: "${MTN_SUBSCRIPTION_KEY}"`

// MTN's sandbox calls everybody Sand Box, but for the numbers that its documentation names.
var verifiedPayees = []struct{ id, name, phone, recipient string }{
	{"drv-01", "Sand Box", "+2250500000001", "verified"},
	{"drv-02", payeeName, "+2250500000002", "mismatch name_differs"},
	{"drv-03", "Sand Box", "+46733123451", "refused payee_inactive"},
}

func importVerified(t *testing.T, in *harness.Install, day int) {
	t.Helper()
	file := paymentsHeader
	for _, p := range verifiedPayees {
		file += fmt.Sprintf("pay-%d-%s,%s,%s,%s,10000,XOF,mobile_money,completed,2025-01-%02dT12:00:00Z\n", day, p.id, p.id, p.name, p.phone, day)
	}
	in.CLI(t, "payments", "import", harness.WriteFile(t, "payments.csv", file), "--token", "operator")
}

// Before a wallet is paid for the first time its provider says whose it is. Who agrees is paid without anybody's doing; the others wait, and
// operators see why and what to do; a second person's word counts more than the provider's.
func TestWalletsAreVerifiedBeforeTheyArePaid(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Tenant = lebenis
	in.Env = []string{"MTN_API_KEY=mtn-api-key-8c1f", "MTN_SUBSCRIPTION_KEY=mtn-subscription-4d2a", "AGOGO_LOG=debug,text"}
	in.UseConfig(t, verifiedTenant("mtn_momo", mtnKeys))
	dev := in.Dev(t)
	pauseSchedules(t, in)
	importVerified(t, in, 2)
	preview := in.CLI(t, "payouts", "preview", "--at", at(2))
	if strings.Count(preview, "recipient_unverified") != len(verifiedPayees) {
		t.Errorf("the preview does not say who is not verified:\n%s", preview)
	}
	in.CLI(t, "schedules", "trigger", daily, "--at", at(2), "--wait")
	s := scene{T: t, Install: in}
	s.await(2, 1, "succeeded")
	for _, p := range verifiedPayees[1:] {
		harness.Eventually(t, waiting, p.id+" held with a cause", func() (bool, string) {
			held := s.payout(2, int(p.id[5]-'0'))
			why := held.Reason.GetCode() + " " + held.Reason.GetProviderCode()
			return held.State == "held" && why == "recipient_mismatch "+strings.Fields(p.recipient)[1], held.State + " " + why
		})
	}
	s.went(1, "created", "held", "approved", "submitting", "processing", "succeeded")
	s.went(2, "created", "held", "held")
	for _, y := range harness.Items[payoutsv1.Payee](t, in, "payees", "list") {
		want := verifiedPayees[int(y.Id[5]-'0')-1].recipient
		if got := strings.TrimSpace(y.RecipientState + " " + y.RecipientCode); got != want || y.RecipientSince == nil || y.RecipientCheckedAt == nil {
			t.Errorf("%s is %v, want %s", y.Id, y, want)
		}
		if (want == "verified") != (y.RecipientNextAt == nil) || y.RecipientCovers != nil { // MTN says nothing of amounts
			t.Errorf("%s: asked next %v, up to %v", y.Id, y.RecipientNextAt, y.RecipientCovers)
		}
		if (want == "verified") != (y.NextStep == "") {
			t.Errorf("%s: next %q", y.Id, y.NextStep)
		}
	}
	if list := harness.Items[payoutsv1.Payee](t, in, "payees", "list", "--state", "unverified"); len(list) != 2 {
		t.Errorf("%d payees are unverified, want 2", len(list))
	}
	if table := in.CLI(t, "payees", "list"); !strings.Contains(table, "mismatch (name_differs) since ") || !strings.Contains(table, ", asked next ") {
		t.Errorf("the list does not say why:\n%s", table)
	}
	if r := in.Try(t, "payouts", "release", s.payout(2, 2).Id, "--reason", "impatient"); r.Code != 4 || !strings.Contains(r.Err, "agogo payees confirm --tenant lebenis drv-02 --phone-ends DIGITS --reason TEXT") {
		t.Errorf("released against the provider's word: %s", r)
	}
	word := []string{"payees", "confirm", "drv-02", "--phone-ends", "0002", "--reason", "called the payee", "--token"}
	if r := in.Try(t, append(word, "operator")...); r.Code != 4 || !strings.Contains(r.Err, "you imported") {
		t.Errorf("confirmed by who imported it: %s", r)
	}
	in.CLI(t, append(word, "approver")...)
	s.await(2, 2, "succeeded")

	// The next evening nobody is asked about again, and the one that is refused is held at once.
	importVerified(t, in, 3)
	in.CLI(t, "schedules", "trigger", daily, "--at", at(3), "--wait")
	s.await(3, 1, "succeeded")
	s.await(3, 2, "succeeded")
	s.await(3, 3, "held")
	words := []string{payeeName, "Sand Box", "500000001", "500000002", "46733123451", "mtn-api-key-8c1f", "mtn-subscription-4d2a"}
	for _, name := range []string{"EVENTS", "AUDIT"} {
		for _, m := range messages(t, in, name) {
			search(t, name+" "+m.Subject(), append(headerText(m.Headers()), m.Data()...), words)
		}
	}
	search(t, "the log", []byte(dev.Log()), words)
	in.CLI(t, "events", "verify")
	in.CLI(t, "ledger", "verify")
}

// A provider that cannot be asked, and is to be, keeps the services from starting: the message names the key.
func TestVerificationNeedsAProviderThatAnswers(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.UseConfig(t, verifiedTenant("orange_omr", `base_url: "http://127.0.0.1:9900/orange-money-b2b/v1/ci", token_url: "http://127.0.0.1:9900/oauth/v3/token",
             client_id: "${ORANGE_CLIENT_ID}", client_secret: "${ORANGE_CLIENT_SECRET}", pos_id: "${ORANGE_POS_ID}", callback_authorization: "${ORANGE_CALLBACK_AUTH}"`))
	p := in.DevWith(t, nil)
	if code := p.AwaitExit(t, waiting); code != 2 && code != 1 || !strings.Contains(p.Log(), "providers.momo.verify_recipients: asks about wallets, which orange_omr does not answer") {
		t.Errorf("exit %d\n%s", code, p.Log())
	}
}
