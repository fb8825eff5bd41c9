package e2e_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/test/harness"
)

// clubsFile has a tenant for each club: charges by card, with times as short as those of [tenantsFile].
func clubsFile(clubs map[string]stage) string {
	var text strings.Builder
	text.WriteString("tenants:\n")
	for _, name := range slices.Sorted(maps.Keys(clubs)) {
		s := clubs[name]
		fmt.Fprintf(&text, `
  - id: %s
    timezone: America/Sao_Paulo
    currency: BRL
    locale: pt-BR
    mode: sandbox
    recurrences: {default_gateway: cielo, business_day: following, catch_up_days: 7, max_retries: 3, retry_days: [1, 3, 7], card_failure_limit: 5, cleanup_after_days: 180}
    providers:
      cielo: {kind: cielo, base_url: "http://127.0.0.1:9900/cielo", query_url: "http://127.0.0.1:9900/cielo-query",
              merchant_id: "${CIELO_MERCHANT_ID}", merchant_key: "${CIELO_MERCHANT_KEY}", webhook_header: X-Agogo-Webhook, webhook_secret: "${CIELO_WEBHOOK_SECRET}",
              rate_per_second: 200, concurrency: %d, timeout: %s, quiet_time: 500ms, lookup_after: [%s], review_after: 24h}
    schedules:
      - {name: charge-due, job: recurrences/charge-due, cron: "0 8 * * *"}
      - {name: retry-failed, job: recurrences/retry-failed, cron: "0 10 * * *"}
      - {name: notify-holds, job: recurrences/notify-holds, cron: "0 18 * * *"}
      - {name: cleanup, job: recurrences/cleanup, cron: "0 2 * * 0"}
`, name, cmp.Or(s.concurrency, 8), cmp.Or(s.timeout, "1s"), cmp.Or(s.lookupAfter, "1s, 2s, 3s, 4s, 6s, 8s, 10s, 12s, 15s, 20s, 30s"))
	}
	text.WriteString(`
auth:
  tokens:
    - {name: auditor, role: viewer, tenants: ["*"], token: "${AUDITOR_TOKEN}"}
notifier:
  fcm: {project_id: demo, endpoint: "http://127.0.0.1:9900/fcm/v1", credentials: ""}
`)
	return text.String()
}

// webhookSecret is recognisable, so that a test can look for it where it must not be.
const webhookSecret = "webhook-secret-83b1f6d2"

const recurrencesHeader = "recurrence_id,customer_id,customer_name,seller_id,amount,currency,period,anchor_day,anchor_month,next_charge_date," +
	"card_token,card_brand,status,description,interval_days,max_cycles\n"

const memberName = "Conceição Araújo"

// clubScene is a test with a club of its own on a shared installation.
type clubScene struct {
	*testing.T
	*harness.Install
}

// agree imports recurrences, each given as "period,day,next date,what the card does[,status[,interval]]". The first is rec-1,
// of 10.00; the second rec-2, of 20.00. Cards are the club's own.
func (s clubScene) agree(rows ...string) {
	s.Helper()
	var file strings.Builder
	file.WriteString(recurrencesHeader)
	for i, row := range rows {
		f := append(strings.Split(row, ","), "", "")
		fmt.Fprintf(&file, "rec-%d,cus-%d,%s,seller-1,%d.00,BRL,%s,%s,,%s,%s,visa,%s,Mensalidade,%s,\n",
			i+1, i+1, memberName, 10*(i+1), f[0], f[1], f[2], s.card(i+1, f[3]), cmp.Or(f[4], "active"), f[5])
	}
	s.CLI(s.T, "recurrences", "import", harness.WriteFile(s.T, "recurrences.csv", file.String()))
}

// card is the token of a recurrence's card, by what it does: "ok", "soft_51", "timeout_paid".
func (s clubScene) card(n int, does string) string {
	return fmt.Sprintf("tok_%s_%s-%d", does, s.Tenant, n)
}

// hours are those of the schedules, in UTC.
var hours = map[string]string{"charge-due": "T11:00:00Z", "retry-failed": "T13:00:00Z", "notify-holds": "T21:00:00Z", "cleanup": "T05:00:00Z"}

// fire has a job's tick of a local date run.
func (s clubScene) fire(job, date string) *schedulerv1.Run {
	s.Helper()
	return harness.One[schedulerv1.Run](s.T, s.Install, "schedules", "trigger", s.Tenant+"/recurrences/"+job, "--at", date+hours[job], "--wait", "--timeout", runEnds)
}

func (s clubScene) recurrence(n int) *recurrencesv1.Recurrence {
	s.Helper()
	return harness.One[recurrencesv1.Recurrence](s.T, s.Install, "recurrences", "get", fmt.Sprintf("rec-%d", n))
}

func (s clubScene) charges(n int) []*recurrencesv1.Charge {
	s.Helper()
	all := harness.Items[recurrencesv1.Charge](s.T, s.Install, "charges", "list", "--recurrence", fmt.Sprintf("rec-%d", n))
	slices.SortFunc(all, func(a, b *recurrencesv1.Charge) int { return cmp.Compare(a.Cycle, b.Cycle) })
	return all
}

// stands says where a recurrence and its charges are: "active 2025-11-30: 2025-10-30 succeeded".
func (s clubScene) stands(n int) string {
	s.Helper()
	r := s.recurrence(n)
	words := []string{r.State}
	if r.NextCycle != "" {
		words = append(words, r.NextCycle)
	}
	for _, m := range r.MissedCycles {
		words = append(words, "missed", m.Cycle)
	}
	text := strings.Join(words, " ")
	for _, c := range s.charges(n) {
		text += ", " + c.Cycle + " " + c.State
	}
	return text
}

// await waits until a recurrence and its charges are where they must be.
func (s clubScene) await(n int, want string) {
	s.Helper()
	harness.Eventually(s.T, waiting, fmt.Sprintf("rec-%d: %s", n, want), func() (bool, string) {
		got := s.stands(n)
		return got == want, got
	})
}

// taken checks how often the gateway charged a card, over all orders.
func (s clubScene) taken(card string, want int) {
	s.Helper()
	n := 0
	for _, e := range s.Orders(s.T) {
		if e.Peer == card {
			n += e.Moved
		}
	}
	if n != want {
		s.Errorf("%s was charged %d times, want %d", card, n, want)
	}
}

// went checks the states that the only charge of a recurrence went through, by its events.
func (s clubScene) went(n int, want ...string) {
	s.Helper()
	harness.Eventually(s.T, waiting, fmt.Sprintf("events of rec-%d", n), func() (bool, string) {
		var got []string
		for _, e := range events(s.T, s.Install) {
			if e.Tenant == s.Tenant && strings.HasPrefix(e.Type, "com.agogo.charge.") && e.field("recurrence_id") == fmt.Sprintf("rec-%d", n) {
				got = append(got, e.field("state"))
			}
		}
		return slices.Equal(got, want), fmt.Sprintf("%q, want %q", got, want)
	})
}

// rebuilt follows every charge and every recurrence of the club through its events: versions are contiguous, each state
// follows from the one before it, and the last one is what the service says now (promise 5).
func (s clubScene) rebuilt() {
	s.Helper()
	now := map[string]string{}
	for _, c := range harness.Items[recurrencesv1.Charge](s.T, s.Install, "charges", "list") {
		now["charge "+c.Id] = fmt.Sprint(c.State, " ", c.Version)
	}
	for _, r := range harness.Items[recurrencesv1.Recurrence](s.T, s.Install, "recurrences", "list") {
		now["recurrence "+r.Id] = fmt.Sprint(r.State, " ", r.Version)
	}
	harness.Eventually(s.T, waiting, "events that end where the tables are", func() (bool, string) {
		told, version, state := map[string]string{}, map[string]int{}, map[string]string{}
		for _, e := range events(s.T, s.Install) {
			kind := strings.Split(e.Type, ".")[2]
			if e.Tenant != s.Tenant || kind != "charge" && kind != "recurrence" {
				continue
			}
			k := kind + " " + e.field(kind+"_id")
			if e.Version != version[k]+1 || e.field("previous_state") != state[k] {
				s.Fatalf("%s of %s: version %d from %q follows version %d, %q", e.Type, k, e.Version, e.field("previous_state"), version[k], state[k])
			}
			version[k], state[k] = e.Version, e.field("state")
			told[k] = fmt.Sprint(state[k], " ", e.Version)
		}
		return maps.Equal(told, now), fmt.Sprintf("events end in %v, the tables in %v", told, now)
	})
}
