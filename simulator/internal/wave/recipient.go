package wave

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A number may be asked about so often in so long; whoever asks more waits.
const (
	mostQuestions = 30
	questionsIn   = 5 * time.Minute
	blockedFor    = time.Hour
)

// questions are those about one number.
type questions struct {
	at      []time.Time
	blocked time.Time
}

// verify is POST /v1/verify_recipient.
func (s *Server) verify(c *exchange) string {
	var q struct {
		Mobile   string  `json:"mobile"`
		Name     *string `json:"name"`
		Amount   string  `json:"amount"`
		Currency string  `json:"currency"`
	}
	err := json.Unmarshal(c.body, &q)
	c.call.Peer = q.Mobile
	if outcome, done := s.open(c); done {
		return outcome
	}
	switch {
	case err != nil || c.bodyErr != nil:
		return c.refuse("request-not-json")
	case !mobile.MatchString(q.Mobile):
		return c.invalid("body", "mobile", "it has to be a number with + and country code")
	case !s.mayAsk(q.Mobile):
		return c.refuse(tooMany)
	case s.spoils(c):
		return string(c.rule.Fault)
	}
	name, known := s.cfg.Names[q.Mobile]
	match := "NAME_NOT_KNOWN"
	switch {
	case q.Name == nil || !known:
	case strings.EqualFold(strings.Join(strings.Fields(name), " "), strings.Join(strings.Fields(*q.Name), " ")):
		match = "MATCH"
	default:
		match = "NO_MATCH"
	}
	amount, ok := int64(0), whole.MatchString(q.Amount)
	if ok {
		_, _ = fmt.Sscan(q.Amount, &amount) // fifteen digits fit
	}
	c.json(fmt.Appendf(nil, `{"within_limits":%t,"name_match":%q,"national_id_match":null}`, amount <= s.cfg.Limit, match))
	return match
}

func (s *Server) mayAsk(number string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, q := s.Clock.Now(), s.asked[number]
	if q == nil {
		q = &questions{}
		s.asked[strings.Clone(number)] = q
	}
	q.at = append(slices.DeleteFunc(q.at, func(at time.Time) bool { return now.Sub(at) >= questionsIn }), now)
	if len(q.at) > mostQuestions {
		q.blocked, q.at = now.Add(blockedFor), nil
	}
	return !now.Before(q.blocked)
}
