package provider

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

const (
	signatureWindow = 5 * time.Minute // what is older may be a recording, what is younger a wrong clock
	mostSignatures  = 8               // a rotation has two; more is somebody's attempt to keep us busy
)

// Signed checks that a header "t=<seconds since 1970>,v1=<hex>", in which v1 may stand several times while a secret is being
// rotated, signs a body: HMAC-SHA256 over t as it is written, the provider's separator and the raw bytes. It is
// [ErrForged] otherwise, which it is with an unset secret, too; what was signed more than five minutes before or after now is [ErrStale].
func Signed(header, secret, separator string, body []byte, now time.Time) error {
	at, signatures, ok := parseSignature(header)
	if !ok || secret == "" {
		return ErrForged
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return ErrForged
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(at + separator))
	mac.Write(body)
	want := mac.Sum(nil)
	good := false
	for _, s := range signatures {
		given, err := hex.DecodeString(s)
		good = err == nil && hmac.Equal(given, want) || good
	}
	switch {
	case !good:
		return ErrForged
	case now.Sub(time.Unix(seconds, 0)).Abs() > signatureWindow:
		return ErrStale
	default:
		return nil
	}
}

// parseSignature takes a header apart. Two times are none: which of them was signed would be the caller's choice.
func parseSignature(header string) (at string, signatures []string, ok bool) {
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case name == "t" && at == "":
			at = value
		case name == "t":
			return "", nil, false
		case name == "v1":
			if signatures = append(signatures, value); len(signatures) > mostSignatures {
				return "", nil, false
			}
		}
	}
	return at, signatures, at != "" && len(signatures) > 0
}
