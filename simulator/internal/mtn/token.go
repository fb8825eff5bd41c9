package mtn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// token is POST /disbursement/token/, which has no body: one that has is refused.
func (s *Server) token(w http.ResponseWriter, r *http.Request) string {
	call := fault.Call{Provider: Provider, Operation: "token"}
	rule, _ := s.Faults.Decide(call)
	if outcome, done := s.edge(w, r, call, rule); done {
		return outcome
	}
	if p := s.subscribed(r); p != nil {
		return refuse(w, *p)
	}
	user, key, ok := r.BasicAuth()
	if !ok || user == "" || key == "" || !equal(s.cfg.APIUser, user) || !equal(s.cfg.APIKey, key) {
		return refuse(w, problem{status: 401, Message: "Access denied. The API user or key is invalid."})
	}
	if body, err := wire.Body(r, wire.MaxBody); err != nil || len(body) > 0 {
		return badRequest(w)
	}
	if rule.Fault == fault.Garbage {
		wire.Page(w, http.StatusOK, "MTN")
		return string(rule.Fault)
	}
	seconds := fmt.Sprint(int64(s.cfg.TokenLifetime / time.Second))
	if rule.Fault == fault.WrongShape {
		seconds = `"` + seconds + `"`
	}
	wire.JSON(w, http.StatusOK, fmt.Appendf(nil, `{"access_token":%q,"token_type":"access_token","expires_in":%s}`,
		s.mint.issue(s.Clock.Now().Add(s.cfg.TokenLifetime)), seconds))
	return "ok"
}

// mint makes tokens that carry their own expiry under a signature: a simulator that is started again still knows those
// it gave out before.
type mint struct {
	key     []byte
	revoked sync.Map
}

func newMint(seed int64) *mint {
	key := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte("agogo simulator mtn "), uint64(seed)))
	return &mint{key: key[:]}
}

const tokenBody = 8 + 8 // expiry, nonce

func (m *mint) issue(expires time.Time) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, tokenBody+sha256.Size), uint64(expires.UnixNano()))
	b = b[:tokenBody]
	_, _ = rand.Read(b[8:]) // crypto/rand never fails
	return base64.RawURLEncoding.EncodeToString(m.sign(b))
}

func (m *mint) sign(b []byte) []byte {
	h := hmac.New(sha256.New, m.key)
	h.Write(b)
	return h.Sum(b)
}

func (m *mint) good(token string, now time.Time) bool {
	if _, gone := m.revoked.Load(token); gone {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != tokenBody+sha256.Size || !hmac.Equal(m.sign(raw[:tokenBody:tokenBody]), raw) {
		return false
	}
	return now.UnixNano() < int64(binary.BigEndian.Uint64(raw))
}

func (m *mint) revoke(token string) {
	if m.good(token, time.Unix(0, 0)) { // anything else was never given out
		m.revoked.Store(token, struct{}{})
	}
}

func (m *mint) reset() { m.revoked.Clear() }
