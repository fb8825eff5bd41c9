package mtnmomo

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/provider/providertest"
	"github.com/agogopay/agogo/simulator"
)

// rules say how the simulator shows each fault of the suite. A transfer's answer has no body and no state, so faults of those
// are in the tests of statuses.
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
		providertest.TooMany:             {Fault: simulator.TooMany},
		providertest.TooManyRetryAfter:   {Fault: simulator.TooMany, RetryAfter: 3 * time.Second},
		providertest.Pending:             {Fault: simulator.PendingForever},
		providertest.Refused:             {Fault: simulator.Failed, Status: http.StatusInternalServerError, Message: "PAYEE_NOT_FOUND"},
		providertest.NoFloat:             {Fault: simulator.Failed, Status: http.StatusInternalServerError, Message: "NOT_ENOUGH_FUNDS"},
		providertest.TokenExpired:        {Fault: simulator.Unauthorized, Times: 1},
		providertest.AccessRefused:       {Fault: simulator.NotSubscribed},

		providertest.AccessRefusedToResend: {Fault: simulator.NotSubscribed},
	}
}

// TestConformance holds the adapter against the suite of every payout adapter.
func TestConformance(t *testing.T) {
	t.Parallel()
	faults := []providertest.Fault{providertest.Away}
	for f := range rules() {
		faults = append(faults, f)
	}
	for _, reason := range []string{"object", "string"} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			providertest.Run(t, providertest.Rig{
				Faults: faults, Asynchronous: true, Deduplicates: true,
				New: func(t testing.TB) providertest.Subject { return subject(t, reason) },
			})
		})
	}
}

func subject(t testing.TB, reason string) providertest.Subject {
	r := newRig(t, simulator.Config{MTN: simulator.MTNConfig{Reason: reason, Processing: -1, Holders: map[string]string{"2250500000101": "Awa Koné"}}})
	return providertest.Subject{
		Adapter:  r.Adapter,
		Transfer: func(reference string) provider.Transfer { return transferOf(reference, 24000) },
		Break:    func(f providertest.Fault) { r.breakFor(t, f) },
		Mend: func() {
			plan(t, r.sim)
			r.up(t)
		},
		Moved:    func(reference string) int { return r.entry(t, reference).Moved },
		Requests: func(reference string) int { return r.entry(t, reference).Requests },
		Webhook:  r.Adapter,
		Callback: func(reference string) (http.Header, []byte) {
			return http.Header{provider.AddressKey: {callbackKey}, "Content-Type": {"application/json"}}, said(reference, "SUCCESSFUL", "")
		},
		Secrets: []string{"api-user-of-test", "api-key-of-test", "subscription-key-of-test", callbackKey},
		Wallets: &providertest.Wallets{
			Verifier: r.Adapter, Amount: money.Amount{Minor: 24000, Currency: "XOF"}, Good: "+2250500000101", Name: "KONE Awa", Other: "Yao Kouassi",
			Bad: map[string]string{"payee_not_found": "+46733123450", "payee_inactive": "+46733123451", "wallet_number_invalid": "0500000101"},
			Break: func(f providertest.Fault) {
				rule := rules()[f]
				both := []simulator.Rule{rule, rule}
				both[0].Operation, both[1].Operation = "active", "userinfo"
				plan(t, r.sim, both...)
			},
		},
	}
}

// breakFor makes transfers and statuses go wrong; the transfer's own faults cannot happen to a status and are left out there.
func (r *rig) breakFor(t testing.TB, f providertest.Fault) {
	if f == providertest.Away {
		r.srv.Close()
		return
	}
	rule := rules()[f]
	rule.Operation = "transfer"
	all := []simulator.Rule{rule}
	switch f {
	case providertest.ResetBefore, providertest.UnavailableBefore, providertest.Garbage, providertest.TooMany, providertest.TooManyRetryAfter, providertest.AccessRefused:
		rule.Operation = "status"
		all = append(all, rule)
	}
	plan(t, r.sim, all...)
}

// up has the provider listen again where nobody listened.
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
