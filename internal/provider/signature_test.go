package provider

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// sign is what a provider does, written down again from its documentation.
func sign(secret, at, separator, body string) string {
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = fmt.Fprint(h, at, separator, body)
	return hex.EncodeToString(h.Sum(nil))
}

func TestSigned(t *testing.T) {
	t.Parallel()
	const body = `{"status": "SUCCESS"}`
	now := time.Unix(1_737_763_145, 0)
	at := fmt.Sprint(now.Unix())
	good := sign("secret", at, ",", body)
	for name, c := range map[string]struct {
		header string
		want   bool
	}{
		"good":                            {"t=" + at + ",v1=" + good, true},
		"spaces":                          {"t=" + at + ", v1=" + good, true},
		"other order":                     {"v1=" + good + ",t=" + at, true},
		"capitals":                        {"t=" + at + ",v1=" + strings.ToUpper(good), true},
		"the new secret first":            {"t=" + at + ",v1=" + sign("next", at, ",", body) + ",v1=" + good, true},
		"the new secret last":             {"t=" + at + ",v1=" + good + ",v1=" + sign("next", at, ",", body), true},
		"garbage beside it":               {"t=" + at + ",v1=zz,v1=" + good + ",v0=1,x", true},
		"another secret":                  {"t=" + at + ",v1=" + sign("other", at, ",", body), false},
		"another separator":               {"t=" + at + ",v1=" + sign("secret", at, ".", body), false},
		"another body":                    {"t=" + at + ",v1=" + sign("secret", at, ",", body+" "), false},
		"another time than the signed":    {"t=" + at + "0,v1=" + good, false},
		"the same time, otherwise":        {"t=+" + at + ",v1=" + good, false},
		"no time":                         {"v1=" + good, false},
		"two times":                       {"t=" + at + ",t=" + at + ",v1=" + good, false},
		"no signature":                    {"t=" + at, false},
		"an older scheme":                 {"t=" + at + ",v0=" + good, false},
		"cut short":                       {"t=" + at + ",v1=" + good[:62], false},
		"nothing":                         {"", false},
		"too many":                        {"t=" + at + strings.Repeat(",v1="+good, mostSignatures+1), false},
		"a time that is none":             {"t=yesterday,v1=" + sign("secret", "yesterday", ",", body), false},
		"a time that is none of this age": {"t=99999999999999999999,v1=" + good, false},
	} {
		if err := Signed(c.header, "secret", ",", []byte(body), now); (err == nil) != c.want || err != nil && !errors.Is(err, ErrForged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for seconds, want := range map[int64]error{-301: ErrStale, -300: nil, 300: nil, 301: ErrStale} {
		later := now.Add(time.Duration(seconds) * time.Second)
		if err := Signed("t="+at+",v1="+good, "secret", ",", []byte(body), later); !errors.Is(err, want) {
			t.Errorf("%d s later: %v", seconds, err)
		}
		if err := Signed("t="+at+",v1="+sign("other", at, ",", body), "secret", ",", []byte(body), later); errors.Is(err, ErrStale) || err == nil {
			t.Errorf("forged, %d s later: %v", seconds, err)
		}
	}
	if nil == Signed("t="+at+",v1="+sign("", at, ",", body), "", ",", []byte(body), now) {
		t.Error("an unset secret signs")
	}
}

// Whatever is sent as a header, only what was made with the secret passes.
func FuzzSigned(f *testing.F) {
	now := time.Unix(1_737_763_145, 0)
	at := fmt.Sprint(now.Unix())
	f.Add("t="+at+",v1="+sign("secret", at, ",", "{}"), []byte("{}"))
	f.Add("t=,v1=", []byte(""))
	f.Add(",,==t=1,v1=0", []byte("x"))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if Signed(header, "secret", ",", body, now) != nil {
			return
		}
		at, signatures, ok := parseSignature(header)
		if want := sign("secret", at, ",", string(body)); !ok || !strings.Contains(strings.ToLower(strings.Join(signatures, " ")), want) {
			t.Errorf("%q passed", header)
		}
	})
}
