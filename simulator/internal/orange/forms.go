package orange

import (
	"fmt"
	"net/http"
	"time"

	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// formsVersion has to come back with every cash-in.
const formsVersion = "1.2"

const formsLifetime = 24 * time.Hour

// services is GET {base}/services: what the application may do, and the token that opens the forms.
func (s *Server) services(w http.ResponseWriter, r *http.Request) string {
	call := fault.Call{Provider: Provider, Operation: "services"}
	rule, outcome, done := s.open(w, r, call)
	if done {
		return outcome
	}
	wire.JSON(w, http.StatusOK, fmt.Appendf(nil, `{"services":[{"items":[{"name":"cashin"}]}],"token":{"value":%q,"expiresIn":%s}}`,
		s.mint.issue(kindServices, s.Clock.Now().Add(formsLifetime)), lifetime(rule)))
	return "ok"
}

// forms is GET {base}/forms/cashin: the limits of an amount, and the token that a cash-in carries.
func (s *Server) forms(w http.ResponseWriter, r *http.Request) string {
	call := fault.Call{Provider: Provider, Operation: "forms"}
	rule, outcome, done := s.open(w, r, call)
	if done {
		return outcome
	}
	if s.mint.check(kindServices, r.Header.Get("x-omr-services-token"), s.Clock.Now()) != tokenGood {
		return refuse(w, problemHeader("x-omr-services-token"))
	}
	wire.JSON(w, http.StatusOK, fmt.Appendf(nil, `{"version":%q,"endpoint":"/transactions/cashin","token":{"value":%q,"expiresIn":%s},`+
		`"form":[{"name":"amount","minimum":%d,"maximum":%d},{"name":"peerId"},{"name":"peerIdType"},{"name":"currency"},{"name":"posId"},{"name":"transactionId"}]}`,
		formsVersion, s.mint.issue(kindForms, s.Clock.Now().Add(formsLifetime)), lifetime(rule), s.cfg.Minimum, s.cfg.Maximum))
	return "ok"
}

// open is what services and forms have in common: faults, then the bearer token.
func (s *Server) open(w http.ResponseWriter, r *http.Request, call fault.Call) (rule fault.Rule, outcome string, done bool) {
	rule, _ = s.Faults.Decide(call)
	if outcome, done := s.edge(w, r, call, rule); done {
		return rule, outcome, true
	}
	if p := s.authorize(r); p != nil {
		return rule, refuse(w, *p), true
	}
	if rule.Fault == fault.Garbage {
		wire.Page(w, http.StatusOK, "Orange")
		return rule, string(rule.Fault), true
	}
	return rule, "", false
}

func lifetime(rule fault.Rule) string {
	seconds := fmt.Sprint(int64(formsLifetime / time.Second))
	if rule.Fault == fault.WrongShape {
		return `"` + seconds + `"`
	}
	return seconds
}

// checkForms holds a cash-in to the form that it was made from.
func (s *Server) checkForms(r *http.Request) *problem {
	token, version := r.Header.Get("x-omr-forms-token"), r.Header.Get("x-omr-forms-version")
	if s.cfg.SkipForms && token == "" && version == "" {
		return nil
	}
	var p problem
	switch {
	case s.mint.check(kindForms, token, s.Clock.Now()) != tokenGood:
		p = problemHeader("x-omr-forms-token")
	case version != formsVersion:
		p = problemHeader("x-omr-forms-version")
	default:
		return nil
	}
	return &p
}
