package mtn

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// plenty is the balance of an account that never runs dry.
const plenty = 1_000_000_000_000

// balance is GET /disbursement/v1_0/account/balance, with a currency or without.
func (s *Server) balance(w http.ResponseWriter, r *http.Request) string {
	rule, outcome, done := s.open(w, r, fault.Call{Provider: Provider, Operation: "balance"})
	if done {
		return outcome
	}
	currency, _ := s.currency(r)
	if asked := r.PathValue("currency"); asked != "" && asked != currency {
		return refuse(w, problemOf(http.StatusInternalServerError, "INVALID_CURRENCY"))
	}
	float, limited := s.Book.Float()
	if !limited {
		float = plenty
	}
	amount := `"` + major(float, currency) + `"`
	if rule.Fault == fault.Garbage {
		wire.Page(w, http.StatusOK, "MTN")
		return string(rule.Fault)
	}
	if rule.Fault == fault.WrongShape {
		amount = strings.Trim(amount, `"`)
	}
	wire.JSON(w, http.StatusOK, quoteInto(`{"availableBalance":`+amount+`,"currency":`, currency, `}`))
	return "ok"
}

// active is GET …/accountholder/{type}/{id}/active.
func (s *Server) active(w http.ResponseWriter, r *http.Request) string {
	holder, outcome, done := s.holder(w, r, "active")
	if done {
		return outcome
	}
	if holder == holderInactive {
		wire.JSON(w, http.StatusOK, []byte(`{"result":false}`))
		return "inactive"
	}
	wire.JSON(w, http.StatusOK, []byte(`{"result":true}`))
	return "ok"
}

// userInfo is GET …/accountholder/{type}/{id}/basicuserinfo.
func (s *Server) userInfo(w http.ResponseWriter, r *http.Request) string {
	holder, outcome, done := s.holder(w, r, "userinfo")
	if done {
		return outcome
	}
	name, ok := s.cfg.Holders[holder]
	if !ok {
		name = "Sand Box"
	}
	given, family, _ := strings.Cut(name, " ")
	body, err := json.Marshal(map[string]any{
		"sub": "0", "name": name, "given_name": given, "family_name": family, "birthdate": "1976-08-13", "locale": "sv_SE", "gender": "MALE",
		"updated_at": 1676609351,
	})
	if err != nil {
		return refuse(w, problemInternal())
	}
	wire.JSON(w, http.StatusOK, body)
	return "ok"
}

// holder is what both questions about an account holder have in common.
func (s *Server) holder(w http.ResponseWriter, r *http.Request, operation string) (holder, outcome string, done bool) {
	holder = r.PathValue("holder")
	rule, outcome, done := s.open(w, r, fault.Call{Provider: Provider, Operation: operation, Peer: holder})
	switch {
	case done:
		return "", outcome, true
	case rule.Fault == fault.Garbage:
		wire.Page(w, http.StatusOK, "MTN")
		return "", string(rule.Fault), true
	case !strings.EqualFold(r.PathValue("type"), "msisdn") || !msisdn.MatchString(holder):
		return "", badRequest(w), true
	case holder == holderUnknown:
		return "", refuse(w, problemNotFound()), true
	case holder == holderNotAllowed:
		return "", refuse(w, problemOf(http.StatusInternalServerError, "NOT_ALLOWED")), true
	}
	return holder, "", false
}

func quoteInto(before, text, after string) []byte {
	return append(quote([]byte(before), text), after...)
}
