package sonatel

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// token is POST /oauth/v1/token: everything is in the form.
func (s *Server) token(w http.ResponseWriter, r *http.Request) string {
	rule, _ := s.Faults.Decide(fault.Call{Provider: Provider, Operation: "token"})
	if outcome, done := s.edge(w, r, fault.Call{Provider: Provider, Operation: "token"}, rule); done {
		return outcome
	}
	body, err := wire.Body(r, wire.MaxBody)
	form, formErr := url.ParseQuery(string(body))
	if kind, _, mimeErr := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || formErr != nil || mimeErr != nil ||
		kind != "application/x-www-form-urlencoded" || form.Get("grant_type") != "client_credentials" {
		wire.JSON(w, http.StatusBadRequest, []byte(`{"error":"invalid_request","error_description":"Missing form parameter: grant_type"}`))
		return "refused_Bad Request"
	}
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if id == "" || secret == "" || !matches(s.cfg.ClientID, id) || !matches(s.cfg.ClientSecret, secret) {
		wire.JSON(w, http.StatusUnauthorized, []byte(`{"error":"invalid_client","error_description":"Invalid client or Invalid client credentials"}`))
		return "refused_Unauthorized"
	}
	now := s.Clock.Now()
	if !s.quota.take(id, s.cfg.TokensPerMinute, now) {
		return refuse(w, problem{http.StatusTooManyRequests, "", "Too many requests", ""})
	}
	if rule.Fault == fault.Garbage {
		wire.Page(w, http.StatusOK, "Sonatel")
		return string(rule.Fault)
	}
	expires := fmt.Sprint(int64(s.cfg.TokenLifetime / time.Second))
	if rule.Fault == fault.WrongShape {
		expires = `"` + expires + `"`
	}
	wire.JSON(w, http.StatusOK, fmt.Appendf(nil, `{"access_token":%q,"expires_in":%s,"refresh_expires_in":0,"token_type":"Bearer","scope":"apimanagement"}`,
		s.mint.issue(now.Add(s.cfg.TokenLifetime)), expires))
	return "ok"
}

// matches accepts everything where nothing was configured.
func matches(configured, given string) bool {
	return configured == "" || hmac.Equal([]byte(configured), []byte(given))
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// mint makes tokens that carry their own expiry under a signature, so that they survive a restart with the same seed.
type mint struct {
	key     []byte
	revoked sync.Map
}

func newMint(seed int64) *mint {
	key := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte("agogo simulator sonatel "), uint64(seed)))
	return &mint{key: key[:]}
}

const tokenBody = 8 + 8 // expiry, nonce

func (m *mint) issue(expires time.Time) string {
	b := make([]byte, tokenBody, tokenBody+sha256.Size)
	binary.BigEndian.PutUint64(b, uint64(expires.UnixNano()))
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

// quota counts token requests per client and minute.
type quota struct {
	mu     sync.Mutex
	minute int64
	used   map[string]int
}

func (q *quota) take(client string, perMinute int, now time.Time) bool {
	if perMinute < 0 {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if minute := now.Unix() / 60; minute != q.minute || q.used == nil {
		q.minute, q.used = minute, map[string]int{}
	}
	q.used[client]++
	return q.used[client] <= perMinute
}

func (q *quota) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used = nil
}
