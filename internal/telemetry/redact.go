package telemetry

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// redacted stands for a value that must not be written.
const redacted = "[redacted]"

// redact is the last look at everything a log line is made of. Callers should not log such values at all; this keeps a
// slip from becoming a leak.
func redact(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.SourceKey) {
		return a
	}
	if isSensitive(a.Key) || slices.ContainsFunc(groups, isSensitive) {
		return slog.String(a.Key, redacted)
	}
	switch a.Value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, Mask(a.Value.String()))
	case slog.KindAny:
		return slog.Any(a.Key, redactAny(a.Value.Any()))
	default: // numbers and times
		return a
	}
}

// redactAny turns any value into one that can be written. Structs and maps are walked as their JSON, since a field that
// names a secret is as likely inside a value as at its top.
func redactAny(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case error:
		return Mask(v.Error())
	case []byte:
		return fmt.Sprintf("[%d bytes]", len(v)) // bodies of calls: nobody knows what is in there
	case proto.Message:
		return redactJSON(protojson.MarshalOptions{UseProtoNames: true}.Marshal(v))
	case json.Marshaler:
		return redactJSON(json.Marshal(v))
	case fmt.Stringer:
		return Mask(v.String())
	default:
		return redactJSON(json.Marshal(v))
	}
}

func redactJSON(b []byte, err error) any {
	var tree any
	if err == nil {
		err = json.Unmarshal(b, &tree)
	}
	if err != nil {
		// The error may quote the value.
		return "[unprintable]"
	}
	return redactTree(tree)
}

func redactTree(v any) any {
	switch v := v.(type) {
	case string:
		return Mask(v)
	case []any:
		for i := range v {
			v[i] = redactTree(v[i])
		}
	case map[string]any:
		for key := range v {
			if isSensitive(key) {
				v[key] = redacted
			} else {
				v[key] = redactTree(v[key])
			}
		}
	}
	return v
}

// sensitive are words that make a key's value a secret or personal data, wherever they stand in it.
var sensitive = []string{
	"authorization", "bearer", "card", "cookie", "credential", "credentials", "creds", "cvc", "cvv", "dsn", "email",
	"jwt", "msisdn", "pan", "passphrase", "passwd", "password", "phone", "phones", "pin", "pins", "pwd", "secret", "secrets",
	"token", "tokens", "apikey", "peerid",
}

// sensitivePairs are two words that mean a secret or a person only together: names of schedules and ids of runs are fine.
var sensitivePairs = []string{
	"api key", "customer name", "driver name", "merchant key", "payee name", "peer id", "private key",
	"signing key", "user name",
}

// harmless last words tell that a key holds something about the secret and not the secret.
var harmless = []string{"age", "brand", "count", "id", "kind", "state", "ttl", "type", "url"}

// isSensitive splits a key into words, so that "pin", "encryptedPinCode" and "PIN" are found and "ping" is not.
func isSensitive(key string) bool {
	words := splitWords(key)
	for i := 1; i < len(words); i++ {
		if slices.Contains(sensitivePairs, words[i-1]+" "+words[i]) {
			return true
		}
	}
	if len(words) == 0 || slices.Contains(harmless, words[len(words)-1]) {
		return false
	}
	return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(sensitive, w) })
}

// splitWords cuts snake_case, kebab-case, dotted and camelCase keys: "clientSecret", "ClientID", "x-api-key".
func splitWords(key string) []string {
	var words []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			words = append(words, strings.ToLower(word.String()))
			word.Reset()
		}
	}
	runes := []rune(key)
	for i, r := range runes {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			flush()
			continue
		}
		// A capital begins a word after a small letter, and as the last of several capitals before a small one.
		afterSmall := i > 0 && unicode.IsLower(runes[i-1])
		beforeSmall := i > 0 && unicode.IsUpper(runes[i-1]) && i+1 < len(runes) && unicode.IsLower(runes[i+1])
		if unicode.IsUpper(r) && (afterSmall || beforeSmall) {
			flush()
		}
		word.WriteRune(r)
	}
	flush()
	return words
}
