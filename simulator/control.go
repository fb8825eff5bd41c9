package simulator

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// maxControl is more than a plan with a rule for each of ten thousand payees needs.
const maxControl = 8 << 20

func (s *Simulator) registerControl() {
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]string{"status": "ok"}, nil) })
	s.mux.HandleFunc("PUT /_control/plan", s.putPlan)
	s.mux.HandleFunc("GET /_control/plan", s.getPlan)
	s.mux.HandleFunc("POST /_control/rules", s.postRule)
	s.mux.HandleFunc("PUT /_control/latency", s.putLatency)
	s.mux.HandleFunc("PUT /_control/callback", s.putCallback)
	s.mux.HandleFunc("POST /_control/chargeback", s.postChargeback)
	s.mux.HandleFunc("POST /_control/refund", s.postRefund)
	s.mux.HandleFunc("POST /_control/float", s.postFloat)
	s.mux.HandleFunc("POST /_control/reset", func(w http.ResponseWriter, _ *http.Request) { s.done(w, s.Reset()) })
	s.mux.HandleFunc("GET /_control/book", s.getBook)
	s.mux.HandleFunc("GET /_control/calls", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"calls": s.Calls()}, nil)
	})
	s.mux.HandleFunc("GET /_control/pushes", s.getPushes)
	s.mux.HandleFunc("/_control/", func(w http.ResponseWriter, r *http.Request) {
		complain(w, http.StatusNotFound, errors.New(r.Method+" "+r.URL.Path+" is not part of the control API; see docs/simulator.md"))
	})
}

func (s *Simulator) putPlan(w http.ResponseWriter, r *http.Request) {
	body, err := wire.Body(r, maxControl)
	if err != nil {
		s.done(w, err)
		return
	}
	p, err := fault.ParsePlan(body)
	if err == nil {
		err = s.Plan(p)
	}
	s.done(w, err)
}

func (s *Simulator) getPlan(w http.ResponseWriter, _ *http.Request) {
	seed, rules := s.faults.Current()
	answer(w, map[string]any{"seed": seed, "rules": rules}, nil)
}

func (s *Simulator) postRule(w http.ResponseWriter, r *http.Request) {
	body, err := wire.Body(r, maxControl)
	if err != nil {
		s.done(w, err)
		return
	}
	rule, err := fault.ParseRule(body)
	if err == nil {
		err = s.AddRule(rule)
	}
	s.done(w, err)
}

func (s *Simulator) putLatency(w http.ResponseWriter, r *http.Request) {
	var l Latency
	err := read(r, &l)
	if err == nil {
		err = s.SetLatency(l)
	}
	s.done(w, err)
}

func (s *Simulator) putCallback(w http.ResponseWriter, r *http.Request) {
	var c struct {
		Provider      string `json:"provider"`
		URL           string `json:"url"`           // mtn_momo: scheme and host only
		Authorization string `json:"authorization"` // orange_omr
		Key           string `json:"key"`           // orange_sonatel
		Secret        string `json:"secret"`        // orange_sonatel
		Header        string `json:"header"`        // cielo
		Value         string `json:"value"`         // cielo
		Verb          string `json:"verb"`          // mtn_momo
		Mode          string `json:"mode"`
		Delay         string `json:"delay"`
	}
	err := read(r, &c)
	delay := time.Duration(0)
	if err == nil && c.Delay != "" {
		delay, err = time.ParseDuration(c.Delay)
	}
	switch {
	case err != nil:
	case c.Provider == MTN && c.Header == "" && c.Value == "" && c.Authorization == "" && c.Key+c.Secret == "":
		err = s.SetMTNCallback(MTNCallback{Via: c.URL, Verb: c.Verb, Mode: c.Mode, Delay: delay})
	case c.Verb != "":
		err = errors.New("only " + MTN + " has a verb")
	case c.Provider == Sonatel && c.Authorization+c.Header+c.Value == "":
		err = s.SetSonatelCallback(SonatelCallback{URL: c.URL, Key: c.Key, Secret: c.Secret, Mode: c.Mode, Delay: delay})
	case c.Key+c.Secret != "":
		err = errors.New("only " + Sonatel + " has a key and a secret")
	case c.Provider == Orange && c.Header == "" && c.Value == "":
		err = s.SetCallback(Callback{URL: c.URL, Authorization: c.Authorization, Mode: c.Mode, Delay: delay})
	case c.Provider == Cielo && c.Authorization == "":
		err = s.SetWebhook(Webhook{URL: c.URL, Header: c.Header, Value: c.Value, Mode: c.Mode, Delay: delay})
	default:
		err = errors.New("provider has to be " + Orange + ", with authorization, " + Sonatel + ", with key and secret, " +
			Cielo + ", with header and value, or " + MTN + ", with none of them")
	}
	s.done(w, err)
}

func (s *Simulator) postChargeback(w http.ResponseWriter, r *http.Request) {
	var c struct {
		Provider  string `json:"provider"`
		Reference string `json:"reference"`
		Minor     int64  `json:"minor"`
		Accepted  bool   `json:"accepted"` // by the shop: the disputes there are, instead of another
	}
	err := read(r, &c)
	switch {
	case err != nil:
	case c.Provider != Cielo:
		err = errors.New("provider has to be " + Cielo)
	case c.Accepted && c.Minor != 0:
		err = errors.New("minor is of a new dispute; accepted ends those that there are")
	case c.Accepted:
		err = s.AcceptDispute(c.Reference)
	default:
		err = s.Dispute(c.Reference, c.Minor)
	}
	s.done(w, err)
}

func (s *Simulator) postRefund(w http.ResponseWriter, r *http.Request) {
	var c struct {
		Provider  string `json:"provider"`
		Reference string `json:"reference"`
		Minor     int64  `json:"minor"`
	}
	err := read(r, &c)
	if err == nil && c.Provider != Cielo {
		err = errors.New("provider has to be " + Cielo)
	}
	if err == nil {
		err = s.Refund(c.Reference, c.Minor)
	}
	s.done(w, err)
}

func (s *Simulator) postFloat(w http.ResponseWriter, r *http.Request) {
	var f struct {
		Provider string `json:"provider"`
		Minor    int64  `json:"minor"`
	}
	err := read(r, &f)
	if err == nil {
		err = s.Fill(f.Provider, f.Minor)
	}
	s.done(w, err)
}

// getBook answers with all entries, those of a reference or of a peer, or with totals only.
func (s *Simulator) getBook(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	provider := q.Get("provider")
	if provider == "" {
		provider = Orange
	}
	b, err := s.selection(provider, filter{reference: q.Get("reference"), peer: q.Get("peer"), totalsOnly: q.Get("entries") == "false"})
	answer(w, b, err)
}

func (s *Simulator) getPushes(w http.ResponseWriter, r *http.Request) {
	pushes, total := s.fcm.Inbox().All()
	token := r.URL.Query().Get("token")
	chosen := []Push{}
	for _, p := range pushes {
		if token == "" || p.Token == token {
			chosen = append(chosen, p)
		}
	}
	answer(w, map[string]any{"pushes": chosen, "totals": map[string]int{"delivered": total, "forgotten": total - len(pushes)}}, nil)
}

func (s *Simulator) done(w http.ResponseWriter, err error) {
	if err != nil {
		complain(w, http.StatusBadRequest, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func answer(w http.ResponseWriter, body any, err error) {
	if err != nil {
		complain(w, http.StatusBadRequest, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) // fails only when the client has gone
}

func complain(w http.ResponseWriter, status int, err error) {
	b, failure := json.Marshal(map[string]string{"error": err.Error()})
	if failure != nil {
		b = []byte(`{}`)
	}
	wire.JSON(w, status, b)
}

func read(r *http.Request, into any) error {
	body, err := wire.Body(r, maxControl)
	if err != nil {
		return err
	}
	return fault.Strict(body, into)
}
