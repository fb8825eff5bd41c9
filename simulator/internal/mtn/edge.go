package mtn

import (
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// edge does what happens to a call before the provider looks at it. done is true when that already was the answer.
func (s *Server) edge(w http.ResponseWriter, r *http.Request, call fault.Call, rule fault.Rule) (outcome string, done bool) {
	wait := s.Latencies.Of(call)
	if rule.Fault == fault.Slow || rule.Fault == fault.None {
		wait += rule.Delay
	}
	if err := s.Clock.Sleep(r.Context(), wait); err != nil {
		wire.Drop(w) // the client has gone
		return "client_gone", true
	}
	switch rule.Fault {
	case fault.ResetBefore:
		wire.Reset(w)
	case fault.TimeoutBefore:
		_ = s.Clock.Sleep(r.Context(), or(rule.Delay, time.Minute))
		wire.Drop(w)
	case fault.ServerErrorBefore:
		wire.RetryAfter(w, rule.RetryAfter)
		gatewayError(w, or(rule.Status, http.StatusServiceUnavailable))
	case fault.TooMany:
		wire.RetryAfter(w, rule.RetryAfter)
		refuse(w, problemTooMany())
	case fault.NotSubscribed:
		refuse(w, problem{status: http.StatusForbidden, Code: "FORBIDDEN_IP", Message: "Authorization failed. IP not authorized."})
	case fault.NotActivated:
		return notThere(w, r), true
	case fault.Unauthorized:
		s.mint.revoke(bearer(r))
		refuse(w, problemUnauthorized())
	default:
		return "", false
	}
	return string(rule.Fault), true
}

// open is what all calls behind the token have in common: faults, then credentials.
func (s *Server) open(w http.ResponseWriter, r *http.Request, call fault.Call) (rule fault.Rule, outcome string, done bool) {
	rule, _ = s.Faults.Decide(call)
	if outcome, done := s.edge(w, r, call, rule); done {
		return rule, outcome, true
	}
	if p := s.authorize(r); p != nil {
		return rule, refuse(w, *p), true
	}
	return rule, "", false
}

// authorize checks subscription, token and target environment, in the order in which gateway and platform do.
func (s *Server) authorize(r *http.Request) *problem {
	if p := s.subscribed(r); p != nil {
		return p
	}
	if !s.mint.good(bearer(r), s.Clock.Now()) {
		p := problemUnauthorized()
		return &p
	}
	if _, ok := s.currency(r); !ok {
		return &problem{status: 500, Code: "NOT_ALLOWED_TARGET_ENVIRONMENT", Message: "Access to target environment is forbidden."}
	}
	return nil
}

func (s *Server) subscribed(r *http.Request) *problem {
	if key := r.Header.Get("Ocp-Apim-Subscription-Key"); key == "" || !equal(s.cfg.SubscriptionKey, key) {
		return &problem{status: 401, StatusCode: 401, Message: "Access denied due to invalid subscription key."}
	}
	return nil
}

// currency is that of the target environment of a call.
func (s *Server) currency(r *http.Request) (string, bool) {
	target := r.Header.Get("X-Target-Environment")
	if s.cfg.Target != "" && target != s.cfg.Target {
		return "", false
	}
	c, ok := currencies[target]
	return c, ok
}

// currencies of the target environments. The sandbox knows no other than the euro.
var currencies = map[string]string{
	"sandbox": "EUR", "mtnivorycoast": "XOF", "mtncameroon": "XAF", "mtnghana": "GHS", "mtnuganda": "UGX", "mtnzambia": "ZMW",
	"mtnbenin": "XOF", "mtncongo": "XAF", "mtnswaziland": "SZL", "mtnguineaconakry": "GNF", "mtnsouthafrica": "ZAR",
	"mtnliberia": "LRD", "mtnsouthsudan": "SSP", "mtnnigeria": "NGN", "mtnrwanda": "RWF",
}

// decimals of those currencies that have other than two.
var decimals = map[string]int{"XOF": 0, "XAF": 0, "UGX": 0, "GNF": 0, "RWF": 0}

// equal accepts everything where nothing was configured.
func equal(configured, given string) bool {
	return configured == "" || subtle.ConstantTimeCompare([]byte(configured), []byte(given)) == 1
}

func bearer(r *http.Request) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return token
}
