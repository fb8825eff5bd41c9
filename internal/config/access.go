package config

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/agogopay/agogo/internal/daybook"
)

// notifier reads the section of pushes; live says that some tenant is.
func (l *loader) notifier(v at, n *Notifier, live bool) {
	l.addresses = nil
	l.object(v, optional("fcm", func(v at) {
		l.object(
			v,
			required("project_id", l.text(&n.FCM.ProjectID, nil)),
			optional("endpoint", l.httpURL(&n.FCM.Endpoint)),
			optional("credentials", l.credentials(&n.FCM.Credentials)),
		)
		if live && n.FCM.Credentials == "" && !l.withheld {
			l.fail(v.at("credentials"), "is missing, and a tenant is live: name the service account's file, as file:PATH")
		}
	}))
	if live {
		l.checkLive(l.addresses)
	}
}

// credentials reads the path of a service account file, as file:PATH or ${NAME}; empty is none. The file is the push
// library's to read, yet that it is there is better known now than at the first push.
func (l *loader) credentials(dst *string) func(at) {
	return func(v at) {
		s, ok := l.scalar(v, "file:PATH, ${NAME} or \"\"", "!!str")
		if !ok || s == "" {
			return
		}
		if s, ok = l.expand(v, s); !ok {
			return
		}
		path, ok := strings.CutPrefix(s, "file:")
		if !ok && v.node.Value == s {
			l.fail(v, "is written out, which is refused for a secret: write file:PATH with the path of the service account file")
			return
		}
		if l.withheld {
			return
		}
		path = l.resolve(path)
		if _, err := l.readFile(path); err != nil {
			l.fail(v, "cannot read the service account file: %v", err)
			return
		}
		*dst = path
	}
}

// roles are those of package auth, which depends on this one.
var roles = []string{"viewer", "operator", "approver", "admin"}

// A name may say that a service calls, which the audit trail shows; everyone else is a user.
var actorName = regexp.MustCompile(`^(service:)?[a-z0-9._@-]{1,64}$`)

// minToken is what a random token of 128 bits needs in base64.
const minToken = 22

func (l *loader) auth(v at, f *File) {
	names, hashes := map[string]int{}, map[TokenHash]int{}
	l.object(v, required("tokens", l.list(func(item at) {
		var t Token
		l.token(item, &t, f)
		if line, twice := names[t.Name]; twice && t.Name != "" {
			l.fail(item, "the name stands twice, first on line %d: the audit trail tells people apart by it", line)
		}
		if line, twice := hashes[t.Hash]; twice && t.Hash != (TokenHash{}) {
			l.fail(item, "its token is that of line %d: give each its own", line)
		}
		names[t.Name], hashes[t.Hash] = item.node.Line, item.node.Line
		f.Auth.Tokens = append(f.Auth.Tokens, t)
	})))
}

func (l *loader) token(v at, t *Token, f *File) {
	given := 0
	l.object(
		v,
		required("name", l.text(&t.Name, func(s string) string {
			if actorName.MatchString(s) {
				return ""
			}
			return quoted(s) + " is not a name: write 1 to 64 of a to z, 0 to 9, ., _, @ and -"
		})),
		required("role", l.oneOf(&t.Role, roles...)),
		required("tenants", l.tokenTenants(t, f)),
		optional("token", func(v at) {
			given++
			if l.service != "" { // a process of one service, which every other service's token would be given too
				l.fail(v, "would hand the token itself to every service, each of which could then act as its owner: write token_sha256, as printf %%s TOKEN | sha256sum prints it")
				return
			}
			var secret string
			l.secret(&secret)(v)
			switch {
			case secret == "":
			case len(secret) < minToken:
				l.fail(v, "what it names is shorter than %d characters: make one with openssl rand -hex 32", minToken)
			default:
				t.Hash = HashToken(secret)
			}
		}),
		// A hash is no secret: who knows it knows nothing that is let in.
		optional("token_sha256", func(v at) { given++; l.text(new(string), t.Hash.parse)(v) }),
	)
	if v.node.Kind == yaml.MappingNode && given != 1 {
		l.fail(v, "has %d of token and token_sha256: write one, token for ${NAME} or file:PATH, token_sha256 for its SHA-256", given)
	}
}

// HashToken is what is kept of a token.
func HashToken(token string) TokenHash { return sha256.Sum256([]byte(token)) }

func (h *TokenHash) parse(s string) string {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(h) {
		// Not repeated: it may be the token itself.
		return "is not a SHA-256: write its 64 hexadecimal digits, as printf %s TOKEN | sha256sum prints them"
	}
	copy(h[:], raw)
	return ""
}

func (l *loader) tokenTenants(t *Token, f *File) func(at) {
	return func(v at) {
		l.list(func(item at) {
			var id string
			l.text(&id, func(s string) string {
				if _, ok := f.Tenant(s); !ok && s != "*" {
					return quoted(s) + " is not a tenant of this file: write an id, or \"*\" for all"
				}
				return ""
			})(item)
			if slices.Contains(t.Tenants, id) && id != "" {
				l.fail(item, "stands twice: keep one")
			}
			t.Tenants = append(t.Tenants, id)
		})(v)
		if v.node.Kind == yaml.SequenceNode && len(v.node.Content) == 0 {
			l.fail(v, "is empty, so the token could do nothing: write tenant ids, or [\"*\"] for all")
		}
	}
}

// signingKey reads the key that reports are signed with. Unlike other secrets it may have several lines.
func (l *loader) signingKey(r *Reports) func(at) {
	return func(v at) {
		s, ok := l.scalar(v, "${NAME} or file:PATH", "!!str")
		if !ok {
			return
		}
		path, isFile := strings.CutPrefix(s, "file:")
		switch {
		case isFile:
			s, ok = l.secretFile(v, path)
		case strings.HasPrefix(s, "${"):
			s, ok = l.expand(v, s)
		default:
			l.fail(v, "is written out, which is refused for a secret: write ${NAME} and set that environment variable, or file:PATH")
			return
		}
		if !ok {
			return
		}
		key, err := daybook.ParseKey([]byte(s))
		if err != nil {
			l.fail(v, "what it names is %v", err)
			return
		}
		r.SigningKey = key
	}
}
