package sonatel

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"sync"

	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// keySize is the documented one.
const keySize = 2048

// firstKey is what every simulator of a process begins with, made when somebody asks for it: making one takes long.
var firstKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, keySize) })

// safe holds the key in force and how often a PIN was wrong.
type safe struct {
	mu    sync.Mutex
	key   *rsa.PrivateKey
	pin   string // in place of the configured one
	wrong int
	used  bool // the first key is gone
}

func (v *safe) public() (id, key string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.key == nil {
		generate := firstKey
		if v.used {
			generate = func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, keySize) }
		}
		if v.key, err = generate(); err != nil {
			return "", "", err
		}
	}
	der, err := x509.MarshalPKIXPublicKey(&v.key.PublicKey)
	digest := sha256.Sum256(der)
	return hex.EncodeToString(digest[:8]), base64.StdEncoding.EncodeToString(der), err
}

// revoke takes the key out of use; whoever asks gets another one.
func (v *safe) revoke() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.key, v.used = nil, true
}

// check says what is wrong with an encrypted PIN, "" if nothing. Every wrong one is a try, and the third one blocks for good.
func (v *safe) check(encrypted, configured string) (code string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	raw, err := base64.StdEncoding.DecodeString(encrypted)
	if err != nil || len(raw) != keySize/8 {
		return "4099"
	}
	if v.key == nil {
		return "4003"
	}
	pin, err := rsa.DecryptPKCS1v15(nil, v.key, raw) //nolint:staticcheck // the platform's padding
	if err != nil {
		return "4003" // encrypted with a key that is gone
	}
	if v.pin != "" {
		configured = v.pin
	}
	switch {
	case v.wrong >= 3:
		return "2013"
	case configured == "" || configured == string(pin):
		v.wrong = 0
		return ""
	}
	v.wrong++
	return []string{"2011", "2012", "2013"}[v.wrong-1]
}

func (v *safe) unblock(pin string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wrong = 0
	if pin != "" {
		v.pin = pin
	}
}

func (v *safe) reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.key, v.used, v.wrong, v.pin = nil, false, 0, ""
}

// publicKey is GET /api/account/v1/publicKeys.
func (s *Server) publicKey(w http.ResponseWriter, r *http.Request) string {
	call := fault.Call{Provider: Provider, Operation: "key"}
	rule, _ := s.Faults.Decide(call)
	if outcome, done := s.edge(w, r, call, rule); done {
		return outcome
	}
	if p := s.admit(r); p != nil {
		return refuse(w, *p)
	}
	if rule.Fault == fault.Garbage {
		wire.Page(w, http.StatusOK, "Sonatel")
		return string(rule.Fault)
	}
	id, key, err := s.safe.public()
	if err != nil {
		s.Logger.ErrorContext(r.Context(), "simulator: no key could be made", "error", err)
		return refuse(w, internal)
	}
	var size any = keySize
	if rule.Fault == fault.WrongShape {
		size = "2048"
	}
	body, err := json.Marshal(map[string]any{"keyId": id, "keyType": "RSA", "keySize": size, "key": key})
	if err != nil {
		return refuse(w, internal)
	}
	wire.JSON(w, http.StatusOK, body)
	return "ok"
}

// balance is POST /api/eWallet/v1/account/retailer/balance; its PIN counts as any other.
func (s *Server) balance(w http.ResponseWriter, r *http.Request) string {
	call := fault.Call{Provider: Provider, Operation: "balance"}
	rule, _ := s.Faults.Decide(call)
	if outcome, done := s.edge(w, r, call, rule); done {
		return outcome
	}
	if p := s.admit(r); p != nil {
		return refuse(w, *p)
	}
	if rule.Fault == fault.KeyRevoked {
		s.safe.revoke()
	}
	var q struct {
		party
		Wallet string `json:"wallet"`
	}
	body, err := wire.Body(r, wire.MaxBody)
	if err != nil || json.Unmarshal(body, &q) != nil || q.IDType != "MSISDN" || !matches(s.cfg.Retailer, q.ID) || q.Wallet != "PRINCIPAL" {
		return refuse(w, problemOf("4099"))
	}
	if code := s.safe.check(q.PIN, s.cfg.PIN); code != "" {
		return refuse(w, problemOf(code))
	}
	if rule.Fault == fault.Garbage {
		wire.Page(w, http.StatusOK, "Sonatel")
		return string(rule.Fault)
	}
	float, limited := s.Book.Float()
	if !limited {
		float = 1_000_000_000
	}
	wire.JSON(w, http.StatusOK, append(amount(append([]byte(nil), `{`...), float, rule.Fault == fault.WrongShape), '}'))
	return "ok"
}
