package orangesonatel

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/agogopay/agogo/internal/provider"
)

const (
	// keyLife is how long a key is used without asking again. The platform says when one is revoked, so this only bounds how long
	// a key is kept that nobody pays with.
	keyLife = 24 * time.Hour
	// smallestKey is what a key has at least; one that is shorter is no key of the documented kind.
	smallestKey = 2048
)

// withPIN posts what body makes of the encrypted PIN. It posts a second time only when the platform's whole answer says that
// the key was revoked which the first PIN was encrypted with, and has another one: then the first call was refused before
// its PIN could be read. err means that nothing was posted, or nothing but what was refused so.
func (a *Adapter) withPIN(ctx context.Context, path string, h http.Header, body func(pin string) any) (provider.Reply, error) {
	key, err := a.keys.Get(ctx)
	if err != nil {
		return provider.Reply{}, err
	}
	for first := true; ; first = false {
		pin, err := encrypt(key, a.cfg.PIN)
		if err != nil {
			return provider.Reply{}, unreadable("key")
		}
		b, err := json.Marshal(body(pin))
		if err != nil {
			return provider.Reply{}, notBuilt()
		}
		reply, err := a.call(ctx, provider.Request{Method: http.MethodPost, URL: path, Header: h, Body: b})
		if err != nil || !keyRevoked(reply) || !first {
			return reply, err
		}
		revoked := key
		a.keys.Forget(revoked)
		if key, err = a.keys.Get(ctx); err != nil {
			return provider.Reply{}, err
		}
		if key == revoked {
			return reply, nil // the refusal stands: people have to see what became of the key
		}
	}
}

// fetchKey is GET publicKeys. A key that cannot be used is as good as none.
func (a *Adapter) fetchKey(ctx context.Context) (provider.Token, error) {
	reply, err := a.call(ctx, provider.Request{Method: http.MethodGet, URL: "/api/account/v1/publicKeys"})
	if err != nil {
		return provider.Token{}, err
	}
	if err := a.stepFailed(reply); err != nil {
		return provider.Token{}, err
	}
	var answer struct {
		KeyType string `json:"keyType"`
		Key     string `json:"key"`
	}
	if err := json.Unmarshal(reply.Body, &answer); err != nil {
		return provider.Token{}, unreadable("key")
	}
	if _, err := parseKey(answer.Key); err != nil || answer.KeyType != "" && answer.KeyType != "RSA" {
		return provider.Token{}, unreadable("key")
	}
	return provider.Token{Value: answer.Key, Life: keyLife}, nil
}

// parseKey reads base64 of an X.509 SubjectPublicKeyInfo without armour.
func parseKey(s string) (*rsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, errors.New("the key is no base64")
	}
	any, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New("the key is no SubjectPublicKeyInfo")
	}
	key, ok := any.(*rsa.PublicKey)
	if !ok || key.N.BitLen() < smallestKey {
		return nil, errors.New("the key is no RSA key of 2048 bits")
	}
	return key, nil
}

// encrypt is the PIN as the platform wants it: RSA with the padding of PKCS#1 v1.5, in base64.
func encrypt(key, pin string) (string, error) {
	public, err := parseKey(key)
	if err != nil {
		return "", err
	}
	b, err := rsa.EncryptPKCS1v15(rand.Reader, public, []byte(pin)) //nolint:staticcheck // the platform takes no other padding
	if err != nil {
		return "", errors.New("the PIN does not fit the key")
	}
	return base64.StdEncoding.EncodeToString(b), nil
}
