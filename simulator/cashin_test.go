package simulator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/simulator"
)

const (
	peer   = "0700000101"
	amount = 24000
)

// Every fault as a raw client sees it: the answer to the payment, a lookup right after it, a lookup an hour later, and how
// often the money really moved by then.
func TestFaultsOfCashin(t *testing.T) {
	for name, c := range map[string]struct {
		rule          simulator.Rule
		answer        string
		lookup, later string
		moved         int
	}{
		"none":                          {simulator.Rule{}, "SUCCESS", "SUCCESS", "SUCCESS", 1},
		"lost answer":                   {simulator.Rule{Fault: simulator.LostAnswer}, "eof", "SUCCESS", "SUCCESS", 1},
		"lost answer, blind":            {simulator.Rule{Fault: simulator.LostAnswer, Blind: time.Minute}, "eof", "404/60", "SUCCESS", 1},
		"lookup blind":                  {simulator.Rule{Fault: simulator.LookupBlind, Duration: time.Minute}, "eof", "404/60", "SUCCESS", 1},
		"reset after":                   {simulator.Rule{Fault: simulator.ResetAfter}, "reset", "SUCCESS", "SUCCESS", 1},
		"reset before":                  {simulator.Rule{Fault: simulator.ResetBefore}, "reset", "404/60", "404/60", 0},
		"502 after":                     {simulator.Rule{Fault: simulator.ServerErrorAfter}, "502/0", "SUCCESS", "SUCCESS", 1},
		"504 after":                     {simulator.Rule{Fault: simulator.ServerErrorAfter, Status: 504}, "504/0", "SUCCESS", "SUCCESS", 1},
		"408 after":                     {simulator.Rule{Fault: simulator.ServerErrorAfter, Status: 408}, "408/0", "SUCCESS", "SUCCESS", 1},
		"500 after":                     {simulator.Rule{Fault: simulator.ServerErrorAfter, Status: 500}, "500/1", "SUCCESS", "SUCCESS", 1},
		"503 before":                    {simulator.Rule{Fault: simulator.ServerErrorBefore}, "503/5", "404/60", "404/60", 0},
		"500 before":                    {simulator.Rule{Fault: simulator.ServerErrorBefore, Status: 500}, "500/1", "404/60", "404/60", 0},
		"garbage":                       {simulator.Rule{Fault: simulator.Garbage}, "garbage", "SUCCESS", "SUCCESS", 1},
		"pending success":               {simulator.Rule{Fault: simulator.PendingSuccess, Duration: time.Minute}, "PENDING", "PENDING", "SUCCESS", 1},
		"pending failed":                {simulator.Rule{Fault: simulator.PendingFailed, Duration: time.Minute}, "PENDING", "PENDING", "FAILED", 0},
		"pending forever":               {simulator.Rule{Fault: simulator.PendingForever}, "PENDING", "PENDING", "PENDING", 0},
		"failed":                        {simulator.Rule{Fault: simulator.Failed}, "FAILED", "FAILED", "FAILED", 0},
		"identical":                     {simulator.Rule{Fault: simulator.Identical}, "FAILED", "FAILED", "FAILED", 0},
		"identical, but nothing like":   {simulator.Rule{Fault: simulator.Identical, Duration: time.Hour}, "SUCCESS", "SUCCESS", "SUCCESS", 1},
		"401":                           {simulator.Rule{Fault: simulator.Unauthorized}, "401/42", "404/60", "404/60", 0},
		"429":                           {simulator.Rule{Fault: simulator.TooMany}, "429/53", "404/60", "404/60", 0},
		"403":                           {simulator.Rule{Fault: simulator.NotSubscribed}, "403/50", "404/60", "404/60", 0},
		"not activated":                 {simulator.Rule{Fault: simulator.NotActivated}, "404/60", "404/60", "404/60", 0},
		"unknown status":                {simulator.Rule{Fault: simulator.UnknownStatus, Duration: time.Minute}, "EN_COURS", "EN_COURS", "SUCCESS", 1},
		"unknown status in other words": {simulator.Rule{Fault: simulator.UnknownStatus, Duration: time.Minute, Message: "INITIATED"}, "INITIATED", "INITIATED", "SUCCESS", 1},
		"wrong shape":                   {simulator.Rule{Fault: simulator.WrongShape}, "SUCCESS", "SUCCESS", "SUCCESS", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := ready(t, simulator.Config{})
			c.rule.Provider, c.rule.Operation, c.rule.Match.Peer, c.rule.Times = simulator.Orange, "cashin", peer, 1
			if c.rule.Fault != "" {
				if err := w.sim.AddRule(c.rule); err != nil {
					t.Fatal(err)
				}
			}
			if got := saw(w.cashin("ref-1", peer, amount)); got != c.answer {
				t.Errorf("answer: got %s, want %s", got, c.answer)
			}
			if c.rule.Fault == simulator.Unauthorized {
				w.login() // the token is gone, as the fault says
			}
			if got := saw(w.lookup("ref-1")); got != c.lookup {
				t.Errorf("lookup: got %s, want %s", got, c.lookup)
			}
			w.clock.advance(59 * time.Minute)
			if got := saw(w.lookup("ref-1")); got != c.later {
				t.Errorf("later lookup: got %s, want %s", got, c.later)
			}
			times, minor := w.moved("ref-1")
			if times != c.moved || minor != int64(c.moved)*amount {
				t.Errorf("moved %d times, %d in all; want %d times", times, minor, c.moved)
			}
			if got := saw(w.cashin("ref-2", "0700000102", amount)); got != "SUCCESS" {
				t.Errorf("another payee: got %s", got)
			}
		})
	}
}

func TestTimeoutAfterPayment(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{}, simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.TimeoutAfter, Delay: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.server.URL+base+"/transactions/cashin", strings.NewReader(cashinBody("ref-1", peer, amount)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{
		"Authorization": {"Bearer " + w.bearer}, "Content-Type": {"application/json"},
		"X-Omr-Forms-Token": {w.forms}, "X-Omr-Forms-Version": {"1.2"},
	}
	if got := w.do(r); !errors.Is(got.err, context.DeadlineExceeded) {
		t.Fatalf("got %d (%v), want no answer in time", got.status, got.err)
	}
	if times, _ := w.moved("ref-1"); times != 1 {
		t.Errorf("moved %d times", times)
	}
}

func TestSlowAnswersLate(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{}, simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.Slow, Delay: 3 * time.Second})
	answered := make(chan reply)
	go func() { answered <- w.cashin("ref-1", peer, amount) }()
	w.until("the payment is answered", func() bool {
		select {
		case r := <-answered:
			if saw(r) != "SUCCESS" {
				t.Errorf("got %s", saw(r))
			}
			if passed := w.clock.Now().Sub(newHands().Now()); passed < 3*time.Second {
				t.Errorf("answered after %v", passed)
			}
			return true
		default:
			w.clock.advance(100 * time.Millisecond)
			return false
		}
	})
}

func TestRepeatedReferencePaysAgain(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{})
	for range 3 {
		if got := saw(w.cashin("ref-1", peer, amount)); got != "SUCCESS" {
			t.Fatal(got)
		}
	}
	want := simulator.Totals{Entries: 1, MovedCount: 3, MovedMinor: 3 * amount}
	if diff := cmp.Diff(want, w.book().Totals); diff != "" {
		t.Error(diff)
	}
}

func TestRepeatedReferenceWhilePendingPaysTwice(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{}, simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.PendingSuccess, Duration: time.Minute})
	w.cashin("ref-1", peer, amount)
	w.cashin("ref-1", peer, amount)
	if times, _ := w.moved("ref-1"); times != 0 {
		t.Fatalf("moved %d times before its time", times)
	}
	w.clock.advance(time.Minute)
	if times, minor := w.moved("ref-1"); times != 2 || minor != 2*amount {
		t.Errorf("moved %d times, %d", times, minor)
	}
}

func TestDeduplicateByConfiguration(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{Orange: simulator.OrangeConfig{Deduplicate: true, IdenticalWindow: time.Minute}})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { w.cashin("ref-1", peer, amount) })
	}
	wg.Wait()
	b := w.book()
	if e := b.Entries[0]; e.Moved != 1 || e.Requests != 20 || e.Status != "SUCCESS" {
		t.Errorf("got %+v", e)
	}
}

func TestAFailureNeverHidesMoneyThatMoved(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{})
	w.cashin("ref-1", peer, amount)
	if err := w.sim.AddRule(simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.Failed}); err != nil {
		t.Fatal(err)
	}
	w.cashin("ref-1", peer, amount)
	if got := saw(w.lookup("ref-1")); got != "SUCCESS" {
		t.Errorf("lookup: %s", got)
	}
}

func TestIdenticalTransactionWithinItsWindow(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{Orange: simulator.OrangeConfig{IdenticalWindow: 10 * time.Minute}})
	w.cashin("ref-1", peer, amount)
	refused := w.read(w.cashin("ref-2", peer, amount))
	if refused.Status != "FAILED" || refused.Message != "Transaction identique." {
		t.Errorf("got %+v", refused)
	}
	if got := saw(w.cashin("ref-3", peer, amount+1)); got != "SUCCESS" {
		t.Errorf("another amount: %s", got)
	}
	if got := w.read(w.cashin("ref-1", peer, amount)); got.Status != "SUCCESS" {
		t.Errorf("our own repetition: the provider has it as %+v", got)
	}
	if times, _ := w.moved("ref-1"); times != 1 {
		t.Errorf("the repetition moved money: %d times", times)
	}
	w.clock.advance(10 * time.Minute)
	if got := saw(w.cashin("ref-4", peer, amount)); got != "SUCCESS" {
		t.Errorf("after the window: %s", got)
	}
}

func TestFloatRunsDry(t *testing.T) {
	t.Parallel()
	float := int64(50000)
	w := ready(t, simulator.Config{Orange: simulator.OrangeConfig{Float: &float}},
		simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Match: simulator.Match{Reference: "ref-2"}, Fault: simulator.PendingFailed, Duration: time.Minute})
	w.cashin("ref-1", peer, amount)
	w.cashin("ref-2", "0700000102", amount) // under way: it counts
	refused := w.read(w.cashin("ref-3", "0700000103", amount))
	if refused.Status != "FAILED" || refused.Message != "Solde insuffisant." {
		t.Errorf("got %+v", refused)
	}
	if got := *w.book().Totals.Float; got != 2000 {
		t.Errorf("float %d", got)
	}
	w.clock.advance(time.Minute) // ref-2 fails, its money is back
	if got := saw(w.cashin("ref-4", "0700000103", amount)); got != "SUCCESS" {
		t.Errorf("after the money came back: %s", got)
	}
	if err := w.sim.Fill(simulator.Orange, amount); err != nil {
		t.Fatal(err)
	}
	if got := saw(w.cashin("ref-5", "0700000105", amount)); got != "SUCCESS" {
		t.Errorf("after a top-up: %s", got)
	}
}

func TestValidation(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{Orange: simulator.OrangeConfig{Maximum: 1_000_000}})
	good := cashinBody("ref-1", peer, amount)
	for name, c := range map[string]struct{ body, want string }{
		"good":                  {good, "SUCCESS"},
		"unknown fields":        {strings.Replace(good, "{", `{"service":"cashin",`, 1), "SUCCESS"},
		"country code":          {strings.Replace(good, peer, "2250700000101", 1), "400/24"},
		"plus":                  {strings.Replace(good, peer, "+2250700000101", 1), "400/24"},
		"lost zero":             {strings.Replace(good, peer, "700000101", 1), "400/24"},
		"fraction":              {strings.Replace(good, ":24000", ":24000.5", 1), "400/24"},
		"decimal point":         {strings.Replace(good, ":24000", ":24000.0", 1), "400/24"},
		"exponent":              {strings.Replace(good, ":24000", ":24e3", 1), "400/24"},
		"amount in quotes":      {strings.Replace(good, ":24000", `:"24000"`, 1), "400/24"},
		"nothing":               {strings.Replace(good, ":24000", ":0", 1), "400/24"},
		"negative":              {strings.Replace(good, ":24000", ":-24000", 1), "400/24"},
		"too much":              {strings.Replace(good, ":24000", ":1000001", 1), "400/24"},
		"another currency":      {strings.Replace(good, "XOF", "XAF", 1), "400/24"},
		"long transaction id":   {strings.Replace(good, "ref-1", strings.Repeat("r", 37), 1), "400/24"},
		"peer type":             {strings.Replace(good, "msisdn", "MSISDN", 1), "400/24"},
		"no transaction id":     {strings.Replace(good, `"transactionId"`, `"id"`, 1), "400/23"},
		"no pos":                {strings.Replace(good, `"posId":"pos1"`, `"posId":""`, 1), "400/23"},
		"no amount":             {strings.Replace(good, `"amount":24000,`, "", 1), "400/23"},
		"peer id as a number":   {strings.Replace(good, `"`+peer+`"`, "700000101", 1), "400/22"},
		"not an object":         {`[]`, "400/22"},
		"three bytes":           {"{,}", "400/22"},
		"more than any request": {good + strings.Repeat(" ", 70_000), "400/22"},
	} {
		if got := saw(w.post(c.body)); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	if got := saw(w.call("POST", base+"/transactions/cashin", good, map[string]string{"Content-Type": "text/plain"})); got != "415/68" {
		t.Errorf("content type: %s", got)
	}
	if n := w.book().Totals.MovedCount; n != 2 {
		t.Errorf("what was refused moved money: %d", n)
	}
}

func TestBothShapes(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{})
	shapes := map[bool]int{}
	for i := range 40 {
		reference := fmt.Sprintf("ref-%d", i)
		r := w.cashin(reference, peer, amount+int64(i))
		got := w.read(r)
		nested := strings.Contains(string(r.body), "transactionData")
		shapes[nested]++
		if got.TransactionID != reference || got.PeerID != peer || got.Currency != "XOF" || string(got.Amount) != fmt.Sprint(amount+i) {
			t.Errorf("%s", r.body)
		}
		if id := got.TxnID + got.Reference; len(id) != 20 {
			t.Errorf("provider's id %q", id)
		}
		if again := w.lookup(reference); strings.Contains(string(again.body), "transactionData") != nested {
			t.Errorf("the lookup of %s has the other shape", reference)
		}
	}
	if shapes[true] < 8 || shapes[false] < 8 {
		t.Errorf("shapes %v", shapes)
	}
}

func TestWrongShapeHasOddNumbers(t *testing.T) {
	t.Parallel()
	w := ready(t, simulator.Config{}, simulator.Rule{Provider: simulator.Orange, Operation: "cashin", Fault: simulator.WrongShape})
	if got := w.read(w.cashin("ref-1", peer, amount)); string(got.Amount) != "24000.0" {
		t.Errorf("amount %s", got.Amount)
	}
}
