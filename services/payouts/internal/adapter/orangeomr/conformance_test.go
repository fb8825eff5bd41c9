package orangeomr

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/provider/providertest"
	"github.com/agogopay/agogo/simulator"
)

// rules say how the simulator shows each fault of the suite.
func rules() map[providertest.Fault]simulator.Rule {
	return map[providertest.Fault]simulator.Rule{
		providertest.LostAnswer:           {Fault: simulator.LostAnswer},
		providertest.TimeoutAfter:         {Fault: simulator.TimeoutAfter},
		providertest.ResetAfter:           {Fault: simulator.ResetAfter},
		providertest.ResetBefore:          {Fault: simulator.ResetBefore},
		providertest.BadGatewayAfter:      {Fault: simulator.ServerErrorAfter, Status: http.StatusBadGateway},
		providertest.GatewayTimeoutAfter:  {Fault: simulator.ServerErrorAfter, Status: http.StatusGatewayTimeout},
		providertest.RequestTimeoutAfter:  {Fault: simulator.ServerErrorAfter, Status: http.StatusRequestTimeout},
		providertest.UnavailableBefore:    {Fault: simulator.ServerErrorBefore},
		providertest.Garbage:              {Fault: simulator.Garbage},
		providertest.WrongTypes:           {Fault: simulator.WrongShape},
		providertest.TooMany:              {Fault: simulator.TooMany},
		providertest.TooManyRetryAfter:    {Fault: simulator.TooMany, RetryAfter: 3 * time.Second},
		providertest.Pending:              {Fault: simulator.PendingForever},
		providertest.UnknownStatus:        {Fault: simulator.UnknownStatus, Duration: time.Hour},
		providertest.Refused:              {Fault: simulator.Failed, Message: "Compte 07 00 00 01 01 bloque"},
		providertest.NoFloat:              {Fault: simulator.Failed, Message: "Solde insuffisant."},
		providertest.Identical:            {Fault: simulator.Identical},
		providertest.IdenticalAfterResend: {Fault: simulator.Identical},
		providertest.TokenExpired:         {Fault: simulator.Unauthorized, Times: 1},
		providertest.AccessRefused:        {Fault: simulator.NotSubscribed},

		providertest.AccessRefusedToResend: {Fault: simulator.NotActivated},
	}
}

// TestConformance holds the adapter against the suite of every payout adapter. What the old system got wrong, reading a
// successful transfer as a failed one, is what the suite's judge looks for after every call.
func TestConformance(t *testing.T) {
	t.Parallel()
	faults := []providertest.Fault{providertest.Away}
	for f := range rules() {
		faults = append(faults, f)
	}
	for _, shape := range []string{"nested", "flat"} {
		t.Run(shape, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, providertest.Rig{Faults: faults, New: func(t testing.TB) providertest.Subject { return subject(t, shape) }})
		})
	}
}

func subject(t testing.TB, shape string) providertest.Subject {
	r := newRig(t, simulator.Config{Orange: simulator.OrangeConfig{Shape: shape, TokensPerMinute: -1}})
	entry := func(reference string) simulator.Entry {
		b, err := r.sim.Book(simulator.Orange)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Entries {
			if e.Reference == reference {
				return e
			}
		}
		return simulator.Entry{}
	}
	return providertest.Subject{
		Adapter:  r.Adapter,
		Transfer: func(reference string) provider.Transfer { return transfer(reference, 24000) },
		Break:    func(f providertest.Fault) { r.breakFor(t, f) },
		Mend: func() {
			plan(t, r.sim)
			r.up(t)
		},
		Moved:    func(reference string) int { return entry(reference).Moved },
		Requests: func(reference string) int { return entry(reference).Requests },
		Webhook:  r.Adapter,
		Callback: func(reference string) (http.Header, []byte) {
			h := http.Header{"Authorization": {callbackSecret}, "Content-Type": {"application/json"}}
			return h, fmt.Appendf(nil, `{"status":"SUCCESS","transactionData":{"transactionId":%q,"amount":24000}}`, reference)
		},
		Secrets: []string{"client-id-of-test", "client-secret-of-test", "pos-of-test", callbackSecret},
	}
}

// breakFor makes cash-ins and lookups go wrong; the transfer's own faults cannot happen to a lookup and are left out there.
func (r *rig) breakFor(t testing.TB, f providertest.Fault) {
	if f == providertest.Away {
		r.down()
		return
	}
	rule := rules()[f]
	rule.Provider = simulator.Orange
	rule.Operation = "cashin"
	all := []simulator.Rule{rule}
	switch f {
	case providertest.ResetBefore, providertest.UnavailableBefore, providertest.Garbage, providertest.TooMany, providertest.TooManyRetryAfter, providertest.AccessRefused:
		rule.Operation = "lookup"
		all = append(all, rule)
	}
	plan(t, r.sim, all...)
}

// down makes nobody listen at the provider's address; up has it listen there again.
func (r *rig) down() { r.srv.Close() }

func (r *rig) up(t testing.TB) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", r.srv.Listener.Addr().String())
	if err != nil {
		return // it listens still
	}
	srv := httptest.NewUnstartedServer(r.sim)
	_ = srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
}
