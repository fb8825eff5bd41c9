package wave

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/provider/providertest"
	"github.com/agogopay/agogo/simulator"
)

// rules say how the simulator shows each fault of the suite. Wave has no token to expire, and pays the same to the same payee
// as often as it is asked with different keys.
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
		providertest.UnknownStatus:       {Fault: simulator.UnknownStatus, Duration: time.Hour, Message: "held for 07 00 00 01 01"},
		providertest.Refused:             {Fault: simulator.Failed},
		providertest.NoFloat:             {Fault: simulator.Failed, Message: "insufficient-funds"},
		providertest.AccessRefused:       {Fault: simulator.NotSubscribed},

		providertest.AccessRefusedToResend: {Fault: simulator.Unauthorized},
	}
}

// TestConformance holds the adapter against the suite of every payout adapter, with refusals told in either of the two places.
func TestConformance(t *testing.T) {
	t.Parallel()
	faults := []providertest.Fault{providertest.Away}
	for f := range rules() {
		faults = append(faults, f)
	}
	for _, failures := range []string{"http", "payout"} {
		t.Run("failures by "+failures, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, providertest.Rig{Faults: faults, New: func(t testing.TB) providertest.Subject { return subject(t, failures) }})
		})
	}
}

func subject(t testing.TB, failures string) providertest.Subject {
	r := newRig(t, simulator.WaveConfig{Failures: failures})
	return providertest.Subject{
		Adapter:  r.Adapter,
		Transfer: func(reference string) provider.Transfer { return transfer(reference, 24000) },
		Break:    func(f providertest.Fault) { r.breakFor(t, f) },
		Mend: func() {
			plan(t, r.sim)
			r.up(t)
		},
		Moved:    func(reference string) int { return r.entry(t, reference).Moved },
		Requests: func(reference string) int { return r.entry(t, reference).Requests },
		Secrets:  []string{testKey, testSecret},
	}
}

// breakFor makes payouts and lookups go wrong; what can happen to a payout only is left out of lookups.
func (r *rig) breakFor(t testing.TB, f providertest.Fault) {
	if f == providertest.Away {
		r.srv.Close()
		return
	}
	rule := rules()[f]
	rule.Provider, rule.Operation = simulator.Wave, "payout"
	all := []simulator.Rule{rule}
	switch f {
	case providertest.ResetBefore, providertest.UnavailableBefore, providertest.Garbage, providertest.TooMany, providertest.TooManyRetryAfter, providertest.AccessRefused:
		rule.Operation = "search"
		all = append(all, rule)
	}
	plan(t, r.sim, all...)
}

// up has the provider listen again at its address.
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
