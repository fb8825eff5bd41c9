package orangesonatel

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/provider/providertest"
	"github.com/agogopay/agogo/simulator"
)

// rules say how the simulator shows each fault of the suite. Sonatel documents no refusal of payments that look alike.
func rules() map[providertest.Fault]simulator.Rule {
	return map[providertest.Fault]simulator.Rule{
		providertest.LostAnswer:            {Fault: simulator.LostAnswer},
		providertest.TimeoutAfter:          {Fault: simulator.TimeoutAfter},
		providertest.ResetAfter:            {Fault: simulator.ResetAfter},
		providertest.ResetBefore:           {Fault: simulator.ResetBefore},
		providertest.BadGatewayAfter:       {Fault: simulator.ServerErrorAfter, Status: http.StatusBadGateway},
		providertest.GatewayTimeoutAfter:   {Fault: simulator.ServerErrorAfter, Status: http.StatusGatewayTimeout},
		providertest.RequestTimeoutAfter:   {Fault: simulator.ServerErrorAfter, Status: http.StatusRequestTimeout},
		providertest.UnavailableBefore:     {Fault: simulator.ServerErrorBefore},
		providertest.Garbage:               {Fault: simulator.Garbage},
		providertest.WrongTypes:            {Fault: simulator.WrongShape},
		providertest.TooMany:               {Fault: simulator.TooMany},
		providertest.TooManyRetryAfter:     {Fault: simulator.TooMany, RetryAfter: 3 * time.Second},
		providertest.Pending:               {Fault: simulator.PendingForever},
		providertest.UnknownStatus:         {Fault: simulator.UnknownStatus, Duration: time.Hour},
		providertest.Refused:               {Fault: simulator.Problem, Message: "2000"},
		providertest.NoFloat:               {Fault: simulator.Problem, Message: "2021"},
		providertest.TokenExpired:          {Fault: simulator.Unauthorized, Times: 1},
		providertest.AccessRefused:         {Fault: simulator.Problem, Message: "10"},
		providertest.AccessRefusedToResend: {Fault: simulator.Problem, Message: "2011"},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	faults := []providertest.Fault{providertest.Away}
	for f := range rules() {
		faults = append(faults, f)
	}
	providertest.Run(t, providertest.Rig{Faults: faults, New: subject})
}

func subject(t testing.TB) providertest.Subject {
	r := newRig(t).quick(time.Second)
	return providertest.Subject{
		Adapter:  r.Adapter,
		Transfer: func(reference string) provider.Transfer { return transfer(reference, 24000) },
		Break:    func(f providertest.Fault) { r.breakFor(t, f) },
		Mend: func() {
			r.plan(t, "cashin")
			r.up(t)
		},
		Moved:    func(reference string) int { return r.entry(t, reference).Moved },
		Requests: func(reference string) int { return r.entry(t, reference).Requests },
		Webhook:  r.Adapter,
		Callback: func(reference string) (http.Header, []byte) {
			h, body := signed(fmt.Sprintf(`{"transactionId":"CI1","reference":%q,"status":"SUCCESS","amount":{"value":24000,"unit":"XOF"}}`, reference), time.Now())
			h.Del("X-Sonatel-Idempotency-Key") // no credential: the suite would take it for one
			return h, body
		},
		Secrets: []string{"client-id-of-test", "client-secret-of-test", pin, retailer, callbackKey, callbackSecret},
	}
}

// signed is what Sonatel posts, written down again from its documentation.
func signed(body string, at time.Time) (http.Header, []byte) {
	mac := hmac.New(sha256.New, []byte(callbackSecret))
	_, _ = fmt.Fprintf(mac, "%d,%s", at.Unix(), body)
	h := http.Header{}
	h.Set("Authorization", "Basic "+callbackKey)
	h.Set("X-Sonatel-Signature", fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil))))
	h.Set("X-Sonatel-Idempotency-Key", "key-1")
	h.Set("Content-Type", "application/json")
	return h, []byte(body)
}

// breakFor makes cash-ins and searches go wrong; the transfer's own faults cannot happen to a search and are left out there.
func (r *rig) breakFor(t testing.TB, f providertest.Fault) {
	if f == providertest.Away {
		r.down()
		return
	}
	rule := rules()[f]
	all := []simulator.Rule{rule}
	switch f {
	case providertest.ResetBefore, providertest.UnavailableBefore, providertest.Garbage, providertest.TooMany, providertest.TooManyRetryAfter, providertest.AccessRefused:
		rule.Operation = "search"
		all = append(all, rule)
	}
	r.plan(t, "cashin", all...)
}
