package charging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func wallclub(t testing.TB) Rules {
	t.Helper()
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	return Rules{
		Currency: "BRL", Decimals: 2, MaxRetries: 3, RetryDays: []int{1, 3, 7}, CatchUpDays: 7, CleanupAfterDays: 180, CardFailureLimit: 5,
		Zone: zone, Gateway: "cielo",
	}
}

// club is a model in a test, with its ticks by date.
type club struct {
	*Model
	t testing.TB
}

const header = "recurrence_id,customer_id,customer_name,seller_id,amount,currency,period,anchor_day,anchor_month,next_charge_date," +
	"card_token,card_brand,status,description,interval_days,end_date,max_cycles,failed_attempts,ended_at\n"

// agreed is a club with recurrences given by "period,day,month,next,token,status,interval,end,max,failures,ended".
func agreed(t testing.TB, rows ...string) club {
	t.Helper()
	c := club{New(wallclub(t)), t}
	var file strings.Builder
	file.WriteString(header)
	for i, row := range rows {
		f := append(strings.Split(row, ","), make([]string, 11)...)
		fmt.Fprintf(&file, "rec-%d,cus-%d,Cliente,seller-1,49.90,BRL,%s,%s,%s,%s,%s,visa,%s,Mensalidade,%s,%s,%s,%s,%s\n", i+1, i+1, f[0], f[1], f[2], f[3],
			f[4], f[5], f[6], f[7], f[8], f[9], f[10])
	}
	if err := c.Import(strings.NewReader(file.String())); err != nil {
		t.Fatal(err)
	}
	return c
}

func at(t testing.TB, date string, hour int) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, date)
	if err != nil {
		t.Fatal(err)
	}
	return d.Add(time.Duration(hour+3) * time.Hour) // São Paulo is three hours behind
}

func (c club) morning(date string) club {
	c.t.Helper()
	if err := c.ChargeDue(at(c.t, date, 8)); err != nil {
		c.t.Fatal(err)
	}
	return c
}

func (c club) retry(date string) club {
	c.t.Helper()
	if err := c.RetryFailed(at(c.t, date, 10)); err != nil {
		c.t.Fatal(err)
	}
	return c
}

// lines say where everything stands.
func (c club) lines() []string {
	var all []string
	for _, r := range c.sorted() {
		words := []string{r.id, r.state}
		if r.reason != "imported" && r.reason != "" {
			words = append(words, r.reason)
		}
		if r.next != nil {
			words = append(words, "next", text(r.next.date))
		}
		if len(r.missed) > 0 {
			words = append(words, "missed", strings.Join(r.missed, "+"))
		}
		all = append(all, strings.Join(words, " "))
		for _, k := range c.of(r) {
			line := "  " + text(k.cycle.date) + " " + k.state
			if !k.retryOn.IsZero() {
				line += " retry " + text(k.retryOn)
			}
			all = append(all, line)
		}
	}
	return all
}

func (c club) want(lines ...string) {
	c.t.Helper()
	if got := c.lines(); !slices.Equal(got, lines) {
		c.t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

type stage struct {
	Tick time.Time `json:"tick"`
	Sum  map[string]struct {
		Count  int      `json:"count"`
		Amount int64    `json:"amount_minor"`
		IDs    []string `json:"ids"`
	} `json:"by_seller"`
	Attempted []string `json:"attempted"`
	Completed []string `json:"completed"`
}

// The customer's own day, which nobody computed with this code.
func TestTheCustomersDay(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("../../../../../examples/wallclub/recurrences-2025-10-30.csv")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("../../../../../examples/wallclub/expected-2025-10-30.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Morning map[string]json.RawMessage `json:"after_charge_due"`
		Lookup  struct {
			Charged struct {
				Count  int   `json:"count"`
				Amount int64 `json:"amount_minor"`
			} `json:"charged"`
		} `json:"after_lookup"`
		Digest  stage `json:"hold_digest"`
		Retry   stage `json:"retry_failed"`
		Cleanup stage `json:"cleanup"`
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	c := club{New(wallclub(t)), t}
	if err := c.Import(bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	c.morning("2025-10-30")
	for state, name := range map[string]string{"succeeded": "charged", "failed_soft": "soft_failed", "failed_hard": "hard_failed", "unknown": "unknown"} {
		var g struct {
			IDs []string `json:"ids"`
		}
		if err := json.Unmarshal(want.Morning[name], &g); err != nil {
			t.Fatal(err)
		}
		if got := c.in(state); len(got) == 0 || !slices.Equal(got, g.IDs) {
			t.Errorf("%s: %v, want %v", name, got, g.IDs)
		}
	}
	c.Settle()
	if n, total := c.Charged(); n != want.Lookup.Charged.Count || total != want.Lookup.Charged.Amount {
		t.Errorf("after the lookups %d charged, %d", n, total)
	}
	c.NotifyHolds(want.Digest.Tick)
	if len(c.digests) != len(want.Digest.Sum) {
		t.Errorf("digests %v", c.digests)
	}
	for seller, s := range want.Digest.Sum {
		if d := c.digests[seller+" 2025-10-30"]; !slices.Equal(d.IDs, s.IDs) || d.Total != s.Amount {
			t.Errorf("digest of %s: %v, want %v", seller, d, s)
		}
	}
	c.retry("2025-10-31")
	for _, k := range c.charges {
		retried := slices.Contains(want.Retry.Attempted, k.of.id)
		if retried != (k.attempts == 2) || retried && text(k.retryOn) != "2025-11-03" {
			t.Errorf("%s was attempted %d times, next on %s", k, k.attempts, text(k.retryOn))
		}
	}
	c.Cleanup(want.Cleanup.Tick)
	var expired []string
	for _, r := range c.sorted() {
		if r.reason == "expired" && r.state == "completed" {
			expired = append(expired, r.id)
		}
	}
	if !slices.Equal(expired, want.Cleanup.Completed) {
		t.Errorf("cleaned up %v", expired)
	}
}

func (c club) in(state string) []string {
	var ids []string
	for _, k := range c.charges {
		if k.state == state {
			ids = append(ids, k.of.id)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestCyclesKeepTheirAnchor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rhythm rhythm
		from   string
		want   []string
	}{
		"the 31st":          {rhythm{"monthly", 31, 0, 0}, "2025-01-31", []string{"2025-02-28", "2025-03-31", "2025-04-30", "2025-05-31"}},
		"the 29th":          {rhythm{"monthly", 29, 0, 0}, "2024-01-29", []string{"2024-02-29", "2024-03-29"}},
		"the 30th":          {rhythm{"monthly", 30, 0, 0}, "2025-01-30", []string{"2025-02-28", "2025-03-30"}},
		"29 February":       {rhythm{"yearly", 29, 2, 0}, "2024-02-29", []string{"2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"}},
		"Sundays":           {rhythm{"weekly", 7, 0, 0}, "2025-11-02", []string{"2025-11-09", "2025-11-16"}},
		"every ten days":    {rhythm{"days", 0, 0, 10}, "2025-12-28", []string{"2026-01-07", "2026-01-17"}},
		"the turn of years": {rhythm{"monthly", 31, 0, 0}, "2025-12-31", []string{"2026-01-31", "2026-02-28"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := time.Parse(time.DateOnly, c.from)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if d = c.rhythm.after(d); text(d) != want {
					t.Fatalf("%s, want %s", text(d), want)
				}
			}
		})
	}
}

func TestADateOfAFileIsItsCycle(t *testing.T) {
	t.Parallel()
	m := New(wallclub(t))
	for row, want := range map[string]string{
		"monthly,1,2025-11-03": "2025-11-01 2025-11-03", // Monday, for Saturday the 1st
		"monthly,1,2025-11-01": "2025-11-01 2025-11-03",
		"monthly,3,2025-11-03": "2025-11-03 2025-11-03",
		"weekly,7,2025-11-03":  "2025-11-02 2025-11-03",
		"monthly,5,2025-11-03": "",
		"monthly,1,2025-11-04": "",
	} {
		f := strings.Split(row, ",")
		d, err := time.Parse(time.DateOnly, f[2])
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if c := m.cycle(rhythm{f[0], int(f[1][0] - '0'), 0, 0}, d); c != nil {
			got = text(c.date) + " " + text(c.chargeOn)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", row, got, want)
		}
	}
}

// A card that has no funds: D, D+1, D+3 and D+7, moved off weekends, then on hold.
func TestRetriesToTheirEnd(t *testing.T) {
	t.Parallel()
	c := agreed(t, "monthly,30,,2025-10-30,tok_soft_51_a,active")
	c.morning("2025-10-30").want("rec-1 past_due next 2025-11-30", "  2025-10-30 failed_soft retry 2025-10-31")
	c.retry("2025-10-30").want("rec-1 past_due next 2025-11-30", "  2025-10-30 failed_soft retry 2025-10-31")
	c.retry("2025-10-31").want("rec-1 past_due next 2025-11-30", "  2025-10-30 failed_soft retry 2025-11-03")
	c.retry("2025-11-01").retry("2025-11-02").retry("2025-11-04").want("rec-1 past_due next 2025-11-30", "  2025-10-30 failed_soft retry 2025-11-06")
	c.retry("2025-11-06").want("rec-1 hold retries_over next 2025-11-30", "  2025-10-30 exhausted")
	c.morning("2025-12-01").want("rec-1 hold retries_over next 2025-11-30", "  2025-10-30 exhausted")
	if k := c.cards["tok_soft_51_a"]; k.failures != 4 || k.dead {
		t.Errorf("card %+v", k)
	}
}

func TestLateMornings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		row   string
		days  []string
		lines []string
	}{
		"a day": {"weekly,4,,2025-10-30,tok_ok_a,active", []string{"2025-10-31"}, []string{"rec-1 active next 2025-11-06", "  2025-10-30 succeeded"}},
		"seven days": {
			"weekly,4,,2025-10-30,tok_ok_a,active",
			[]string{"2025-11-06", "2025-11-06", "2025-11-07"},
			[]string{"rec-1 active next 2025-11-13", "  2025-10-30 succeeded", "  2025-11-06 succeeded"},
		},
		"eight days": {"weekly,4,,2025-10-30,tok_ok_a,active", []string{"2025-11-07"}, []string{"rec-1 active next 2025-11-13 missed 2025-10-30+2025-11-06"}},
		"eight days, every three": {
			"days,,,2025-10-30,tok_ok_a,active,3",
			[]string{"2025-11-07"},
			[]string{"rec-1 active next 2025-11-08 missed 2025-10-30+2025-11-02+2025-11-05"},
		},
		"200 days":       {"monthly,13,,2025-04-13,tok_ok_a,active", []string{"2025-10-30"}, []string{"rec-1 active next 2025-04-13"}},
		"a late tick":    {"days,,,2025-10-29,tok_ok_a,active,1", []string{"2025-10-30", "2025-10-29", "2025-10-31"}, []string{"rec-1 active next 2025-10-31", "  2025-10-29 succeeded", "  2025-10-30 succeeded"}},
		"the last cycle": {"weekly,4,,2025-10-30,tok_ok_a,active,,,1", []string{"2025-10-30", "2025-11-06"}, []string{"rec-1 completed last_cycle", "  2025-10-30 succeeded"}},
		"the end":        {"weekly,4,,2025-10-30,tok_ok_a,active,,2025-11-05", []string{"2025-10-30"}, []string{"rec-1 completed last_cycle", "  2025-10-30 succeeded"}},
		"in doubt":       {"days,,,2025-10-29,tok_timeout_unpaid_a,active,1", []string{"2025-10-29", "2025-10-30"}, []string{"rec-1 active next 2025-10-30", "  2025-10-29 unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			club := agreed(t, c.row)
			for _, d := range c.days {
				club.morning(d)
			}
			club.want(c.lines...)
		})
	}
}

// A card that does not work takes all its recurrences along, and five declines in a row say that it does not.
func TestCards(t *testing.T) {
	t.Parallel()
	later := "monthly,20,,2025-11-20,"
	agreed(t, "monthly,30,,2025-10-30,tok_hard_54_a,active", later+"tok_hard_54_a,active", later+"tok_hard_54_a,paused").morning("2025-10-30").want(
		"rec-1 hold card_invalid next 2025-11-30", "  2025-10-30 failed_hard", "rec-2 hold card_invalid next 2025-11-20", "rec-3 paused next 2025-11-20")
	agreed(t, "monthly,30,,2025-10-30,tok_hard_15_a,active", later+"tok_hard_15_a,active").morning("2025-10-30").want(
		"rec-1 hold hard_decline next 2025-11-30", "  2025-10-30 failed_hard", "rec-2 active next 2025-11-20")
	agreed(t, "monthly,30,,2025-10-30,tok_action_70_a,active").morning("2025-10-30").want(
		"rec-1 hold requires_action next 2025-11-30", "  2025-10-30 requires_action")
	agreed(t, "monthly,30,,2025-10-30,tok_soft_51_a,active,,,,4", later+"tok_soft_51_a,active").morning("2025-10-30").want(
		"rec-1 hold card_invalid next 2025-11-30", "  2025-10-30 failed_soft retry 2025-10-31", "rec-2 hold card_invalid next 2025-11-20")
	c := agreed(t, "monthly,30,,2025-10-30,tok_hard_54_a,active", "monthly,30,,2025-10-30,tok_hard_54_a,active")
	if err := c.ChargeDue(at(t, "2025-10-30", 8)); err == nil {
		t.Error("two charges of one card that dies with the first: nothing says which one is first")
	}
}

func TestADeclineThatComesLaterIsRetried(t *testing.T) {
	t.Parallel()
	c := agreed(t, "monthly,30,,2025-10-30,tok_pending_denied_a,active")
	c.morning("2025-10-30").want("rec-1 active next 2025-11-30", "  2025-10-30 processing")
	c.Settle()
	c.want("rec-1 past_due next 2025-11-30", "  2025-10-30 failed_soft retry 2025-10-31")
}

// What was set for a card goes before the words of its token, once each.
func TestFates(t *testing.T) {
	t.Parallel()
	c := agreed(t, "monthly,30,,2025-10-30,tok_ok_a,active")
	c.Fates(map[string][]Answer{"tok_ok_a": {Declines, PaysUnseen}})
	c.morning("2025-10-30").retry("2025-10-31").want("rec-1 past_due next 2025-11-30", "  2025-10-30 unknown retry 2025-10-31")
	c.Settle()
	c.want("rec-1 active next 2025-11-30", "  2025-10-30 succeeded")
}

func TestADigestSaysWhatItWouldHaveSaidInTime(t *testing.T) {
	t.Parallel()
	c := agreed(t, "monthly,30,,2025-10-30,tok_hard_15_a,active", "monthly,31,,2025-10-31,tok_hard_15_b,active", "monthly,1,,2025-12-01,tok_ok_c,hold")
	c.morning("2025-10-30").morning("2025-10-31")
	c.NotifyHolds(at(t, "2025-10-30", 18))
	c.NotifyHolds(at(t, "2025-10-30", 18))
	if d := c.digests["seller-1 2025-10-30"]; len(c.digests) != 1 || !slices.Equal(d.IDs, []string{"rec-1", "rec-3"}) || d.Total != 9980 {
		t.Errorf("%+v", c.digests)
	}
}

func TestCleanup(t *testing.T) {
	t.Parallel()
	c := agreed(t,
		"monthly,13,,2025-04-13,tok_ok_a,active", "monthly,13,,2025-04-13,tok_ok_b,paused", "monthly,13,,2025-10-13,tok_ok_c,hold",
		"monthly,13,,2025-04-13,tok_ok_d,cancelled,,,,,2025-05-01T00:00:00Z", "monthly,13,,2025-04-13,tok_ok_e,completed", "monthly,6,,2025-05-06,tok_ok_f,active")
	c.Cleanup(at(t, "2025-11-02", 2))
	c.want("rec-1 completed expired", "rec-2 completed expired", "rec-3 hold next 2025-10-13", "rec-4 archived", "rec-5 completed", "rec-6 active next 2025-05-06")
}

func TestFilesThatSayNothingAreRefused(t *testing.T) {
	t.Parallel()
	good := "rec-1,cus-1,Cliente,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_ok_a,visa,active,x,,,,,\n"
	for was, is := range map[string]string{
		"49.90": "49.901", "BRL": "USD", ",30,": ",3x,", "2025-10-30": "2025-13-30", "monthly,30": "monthly,29",
	} {
		if err := New(wallclub(t)).Import(strings.NewReader(header + strings.Replace(good, was, is, 1))); err == nil {
			t.Errorf("%s for %s was taken", is, was)
		}
	}
}
