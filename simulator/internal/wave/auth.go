package wave

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var apiKey = regexp.MustCompile(`^wave_[a-z]{2}_(prod|test)_[A-Za-z0-9_-]{8,}$`)

// authorize returns the code of what is wrong with key or signature, or "".
func (s *Server) authorize(r *http.Request, body []byte) string {
	header := r.Header.Get("Authorization")
	key, bearer := strings.CutPrefix(header, "Bearer ")
	switch {
	case header == "":
		return "missing-auth-header"
	case header == "Bearer" || bearer && key == "":
		return "api-key-not-provided"
	case !bearer:
		return "invalid-auth"
	case !apiKey.MatchString(key), s.cfg.APIKey != "" && subtle.ConstantTimeCompare([]byte(s.cfg.APIKey), []byte(key)) != 1:
		return "no-matching-api-key"
	case s.cfg.SigningSecret != "" && !signed(r.Header.Get("Wave-Signature"), s.cfg.SigningSecret, body, s.Clock.Now()):
		return "invalid-auth"
	default:
		return ""
	}
}

// A signature is good for five minutes, and for a clock that is half a minute ahead.
const (
	signaturePast   = 5 * time.Minute
	signatureFuture = 30 * time.Second
)

// signed checks t=<seconds>,v1=<hex>: the HMAC of the seconds and the body, one after the other.
func signed(header, secret string, body []byte, now time.Time) bool {
	var at string
	var given []string
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "t":
			at = value
		case "v1":
			given = append(given, value)
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if age := now.Sub(time.Unix(seconds, 0)); err != nil || age > signaturePast || age < -signatureFuture {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at))
	mac.Write(body)
	want := hex.EncodeToString(mac.Sum(nil))
	for _, g := range given {
		if hmac.Equal([]byte(g), []byte(want)) {
			return true
		}
	}
	return false
}

// country is where the wallet of a key is.
type country struct{ prefix, currency string }

var countries = map[string]country{
	"ci": {"+225", "XOF"}, "sn": {"+221", "XOF"}, "ml": {"+223", "XOF"}, "bf": {"+226", "XOF"}, "gm": {"+220", "GMD"}, "ug": {"+256", "UGX"},
}

// home is the country of the wallet that a request's key is bound to; ok is false for one that is not listed.
func home(r *http.Request) (country, bool) {
	parts := strings.SplitN(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "_", 3)
	if len(parts) < 3 {
		return country{}, false
	}
	c, ok := countries[parts[1]]
	return c, ok
}
