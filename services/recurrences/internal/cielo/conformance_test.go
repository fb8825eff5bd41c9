package cielo

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/provider/providertest"
	"github.com/agogopay/agogo/simulator"
)

// rules say how the simulator shows each fault of the suite.
func rules() map[providertest.Fault]simulator.Rule {
	return map[providertest.Fault]simulator.Rule{
		providertest.LostAnswer:          {Fault: simulator.LostAnswer},
		providertest.TimeoutAfter:        {Fault: simulator.TimeoutAfter},
		providertest.ResetAfter:          {Fault: simulator.ResetAfter},
		providertest.ResetBefore:         {Fault: simulator.ResetBefore},
		providertest.BadGatewayAfter:     {Fault: simulator.ServerErrorAfter, Status: http.StatusBadGateway},
		providertest.GatewayTimeoutAfter: {Fault: simulator.ServerErrorAfter, Status: http.StatusGatewayTimeout},
		providertest.RequestTimeoutAfter: {Fault: simulator.ServerErrorAfter, Status: http.StatusRequestTimeout},
		providertest.UnavailableBefore:   {Fault: simulator.ServerErrorBefore},
		providertest.Garbage:             {Fault: simulator.Garbage},
		providertest.WrongTypes:          {Fault: simulator.WrongShape},
		providertest.TooMany:             {Fault: simulator.TooMany},
		providertest.TooManyRetryAfter:   {Fault: simulator.TooMany, RetryAfter: 3 * time.Second},
		providertest.Pending:             {Fault: simulator.PendingForever},
		providertest.UnknownStatus:       {Fault: simulator.UnknownStatus, Duration: time.Hour},
		providertest.Refused:             {Fault: simulator.Failed, Message: "63"},
		providertest.AccessRefused:       {Fault: simulator.NotSubscribed},
		providertest.Declined:            {Fault: simulator.Failed, Message: "51"},
		providertest.CardGone:            {Fault: simulator.Failed, Message: "54"},
		providertest.ActionNeeded:        {Fault: simulator.Failed, Message: "1A"},
		providertest.AuthorizedOnly:      {Fault: simulator.AuthorizedOnly},

		providertest.AccessRefusedToResend: {Fault: simulator.NotSubscribed},
	}
}

// TestConformance holds the adapter against the suite of every adapter, with the query host failing at either question.
func TestConformance(t *testing.T) {
	t.Parallel()
	faults := []providertest.Fault{providertest.Away}
	for f := range rules() {
		faults = append(faults, f)
	}
	for _, question := range []string{"orders", "payment"} {
		t.Run(question, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, providertest.Rig{Faults: faults, New: func(t testing.TB) providertest.Subject { return subject(t, question) }})
		})
	}
}

// order is the suite's reference as Cielo takes it, without the dash.
func order(reference string) string { return strings.ReplaceAll(reference, "-", "") }

func subject(t testing.TB, question string) providertest.Subject {
	r := newRig(t)
	return providertest.Subject{
		Adapter:  r.Adapter,
		Transfer: func(reference string) provider.Transfer { return transfer(order(reference), "visa", okToken) },
		Break: func(f providertest.Fault) {
			if f == providertest.Away {
				r.srv.Close()
				return
			}
			sale, lookup := rules()[f], rules()[f]
			switch f {
			case providertest.ResetBefore, providertest.UnavailableBefore, providertest.Garbage, providertest.TooMany, providertest.TooManyRetryAfter, providertest.AccessRefused:
				lookup.Operation = question
				r.plan(t, sale, lookup)
			default:
				r.plan(t, sale)
			}
		},
		Mend: func() {
			r.plan(t)
			r.up(t)
		},
		Moved:    func(reference string) int { return r.entry(t, order(reference)).Moved },
		Requests: func(reference string) int { return r.entry(t, order(reference)).Requests },
		Webhook:  r.Adapter,
		Callback: func(string) (http.Header, []byte) {
			h := http.Header{"X-Shop": {webhookSecret}, "Content-Type": {"application/json"}}
			return h, fmt.Appendf(nil, `{"PaymentId":%q,"ChangeType":"1"}`, strings.ToUpper(paymentID))
		},
		Names:   func(string) string { return paymentID },
		Secrets: []string{merchantID, merchantKey, webhookSecret, okToken},
	}
}
