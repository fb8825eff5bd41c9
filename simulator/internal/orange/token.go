package orange

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// token is POST /oauth/v3/token.
func (s *Server) token(w http.ResponseWriter, r *http.Request) string {
	call := fault.Call{Provider: Provider, Operation: "token"}
	rule, _ := s.Faults.Decide(call)
	if outcome, done := s.edge(w, r, call, rule); done {
		return outcome
	}
	id, p := s.client(r)
	if p != nil {
		return refuse(w, *p)
	}
	now := s.Clock.Now()
	if !s.quota.take(id, s.cfg.TokensPerMinute, now) {
		return refuse(w, problemTooMany())
	}
	if rule.Fault == fault.Garbage {
		wire.Page(w, http.StatusOK, "Orange")
		return string(rule.Fault)
	}
	seconds := int64(s.cfg.TokenLifetime / time.Second)
	expires := fmt.Sprint(seconds)
	if s.cfg.Expiry == "string" || rule.Fault == fault.WrongShape || s.cfg.Expiry == "" && s.expiries.next() {
		expires = `"` + expires + `"`
	}
	wire.JSON(w, http.StatusOK, fmt.Appendf(nil, `{"token_type":"Bearer","access_token":%q,"expires_in":%s}`,
		s.mint.issue(kindAccess, now.Add(s.cfg.TokenLifetime)), expires))
	return "ok"
}

// client checks everything that a token request must have.
func (s *Server) client(r *http.Request) (id string, p *problem) {
	refused := func(p problem) (string, *problem) { return "", &p }
	if !strings.Contains(r.Header.Get("Accept"), "application/json") {
		return refused(problemNotAcceptable())
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return refused(problemMediaType("application/x-www-form-urlencoded"))
	}
	id, secret, ok := r.BasicAuth()
	if !ok {
		return refused(problemMissingCredentials())
	}
	if id == "" || secret == "" || !equal(s.cfg.ClientID, id) || !equal(s.cfg.ClientSecret, secret) {
		return refused(problemInvalidCredentials())
	}
	body, err := wire.Body(r, wire.MaxBody)
	if err != nil {
		return refused(problemBody("it could not be read"))
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("grant_type") != "client_credentials" {
		return refused(problemField("grant_type", "it has to be client_credentials"))
	}
	return id, nil
}

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

type tokenKind byte

const (
	kindAccess   tokenKind = 'a'
	kindServices tokenKind = 's'
	kindForms    tokenKind = 'f'
)

type verdict int

const (
	tokenGood verdict = iota
	tokenExpired
	tokenInvalid
)

// mint makes tokens that carry their own expiry under a signature: a simulator that is started again still knows those
// it gave out before, as a provider does.
type mint struct {
	key     []byte
	seen    sync.Map // token → grant, so that a signature is checked once
	size    atomic.Int64
	revoked sync.Map
}

type grant struct {
	kind    tokenKind
	expires int64
}

// maxSeen bounds what a client that fetches a form for every payment makes us remember.
const maxSeen = 10_000

func newMint(seed int64) *mint {
	key := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte("agogo simulator "), uint64(seed)))
	return &mint{key: key[:]}
}

const tokenBody = 1 + 8 + 8 // kind, expiry, nonce

func (m *mint) issue(kind tokenKind, expires time.Time) string {
	b := make([]byte, tokenBody, tokenBody+sha256.Size)
	b[0] = byte(kind)
	binary.BigEndian.PutUint64(b[1:], uint64(expires.UnixNano()))
	_, _ = rand.Read(b[9:tokenBody]) // crypto/rand never fails
	return base64.RawURLEncoding.EncodeToString(m.sign(b))
}

func (m *mint) sign(b []byte) []byte {
	h := hmac.New(sha256.New, m.key)
	h.Write(b)
	return h.Sum(b)
}

func (m *mint) check(kind tokenKind, token string, now time.Time) verdict {
	if _, gone := m.revoked.Load(token); gone {
		return tokenExpired
	}
	known, ok := m.seen.Load(token)
	if !ok {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || len(raw) != tokenBody+sha256.Size || !hmac.Equal(m.sign(raw[:tokenBody:tokenBody]), raw) {
			return tokenInvalid
		}
		if m.size.Add(1) > maxSeen {
			m.seen.Clear()
			m.size.Store(1)
		}
		known = grant{tokenKind(raw[0]), int64(binary.BigEndian.Uint64(raw[1:]))}
		m.seen.Store(token, known)
	}
	switch g := known.(grant); {
	case g.kind != kind:
		return tokenInvalid
	case now.UnixNano() >= g.expires:
		return tokenExpired
	default:
		return tokenGood
	}
}

func (m *mint) revoke(token string) {
	if m.check(kindAccess, token, time.Unix(0, 0)) == tokenGood { // anything else was never given out
		m.revoked.Store(token, struct{}{})
	}
}

func (m *mint) reset() {
	m.seen.Clear()
	m.size.Store(0)
	m.revoked.Clear()
}

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

// alternation says false, true, false, …
type alternation struct{ n atomic.Uint64 }

func (a *alternation) next() bool { return a.n.Add(1)%2 == 0 }
