package config

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var reference = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

// text reads a text, or ${NAME} from the environment; check, which may be nil, says what is wrong with it and what to do.
func (l *loader) text(dst *string, check func(string) string) func(at) {
	return func(v at) {
		s, ok := l.scalar(v, "a text, in quotes", "!!str", "!!timestamp")
		if !ok {
			return
		}
		if s, ok = l.expand(v, s); !ok {
			return
		}
		problem := ""
		switch {
		case s == "":
			problem = "is empty: give a value or remove the key"
		case strings.ContainsFunc(s, isControl):
			problem = "has a line break or another control character: write it on one line"
		case check != nil:
			problem = check(s)
		}
		if problem != "" {
			l.fail(v, "%s", problem)
			return
		}
		*dst = s
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// expand resolves a value that is ${NAME} as a whole. Parts of values are not replaced: what a value is made of should
// be seen in one place.
func (l *loader) expand(v at, s string) (string, bool) {
	m := reference.FindStringSubmatch(s)
	switch {
	case m == nil && strings.Contains(s, "${"):
		l.fail(v, "has ${…} inside it: write the whole value as ${NAME}, with capitals, digits and _")
		return "", false
	case m == nil:
		return s, true
	case l.withheld:
		return "", false
	}
	if s = l.getenv(m[1]); s == "" {
		l.fail(v, "the environment variable %s is not set: export it before the start", m[1])
		return "", false
	}
	return s, true
}

// secret reads ${NAME} or file:PATH, and nothing else: a literal would end up in backups and version control. Faults
// never repeat the value, for it may be the secret itself.
func (l *loader) secret(dst *string) func(at) {
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
		switch {
		case !ok:
		case strings.ContainsFunc(s, isControl):
			l.fail(v, "what it names has a line break or another control character inside: store the bare secret")
		default:
			*dst = s
		}
	}
}

// secretOf reads a secret of a known length. Its fault tells the length that was found, which says nothing about the rest.
func (l *loader) secretOf(dst *string, length int) func(at) {
	return func(v at) {
		var s string
		l.secret(&s)(v)
		if s != "" && len(s) != length {
			l.fail(v, "what it names has %d characters and this secret has %d: store all of it and nothing else", len(s), length)
			return
		}
		*dst = s
	}
}

func (l *loader) secretFile(v at, path string) (string, bool) {
	if l.withheld {
		return "", false
	}
	data, err := l.readFile(l.resolve(path))
	if err != nil {
		l.fail(v, "cannot read the secret's file: %v", err)
		return "", false
	}
	// Editors and echo end files with a line break.
	s := strings.TrimRight(string(data), "\r\n")
	if s == "" {
		l.fail(v, "the secret's file %s is empty: write the secret into it", path)
		return "", false
	}
	return s, true
}

// oneOf reads one of some words.
func (l *loader) oneOf(dst *string, words ...string) func(at) {
	return l.text(dst, func(s string) string {
		for _, w := range words {
			if s == w {
				return ""
			}
		}
		return quoted(s) + " is not known: write " + strings.Join(words, ", ")
	})
}

func quoted(s string) string { return strconv.Quote(shorten(s)) }

// address is an outside address of a tenant.
type address struct {
	at  at
	url *url.URL
}

// httpURL reads the address of an HTTP API. Messages never repeat it: people do put credentials there.
func (l *loader) httpURL(dst *string) func(at) {
	return func(v at) {
		l.text(dst, func(s string) string {
			u, err := url.Parse(s)
			switch {
			case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
				return "is not an address: write http:// or https://, a host and a path"
			case u.User != nil:
				return "has a user or password in the address: use the keys for credentials"
			case u.RawQuery != "" || u.Fragment != "":
				return "has a query or fragment: write only scheme, host and path"
			}
			l.addresses = append(l.addresses, address{v, u})
			return ""
		})(v)
		*dst = strings.TrimRight(*dst, "/")
	}
}

// modeKey is a key that tells by its form which mode it is for.
type modeKey struct {
	at   at
	mode string
}

// checkKeys refuses keys of the other mode. With a test key in earnest nobody would get any money, and with a real one in a
// sandbox somebody would.
func (l *loader) checkKeys(mode string) {
	for _, k := range l.keys {
		if k.mode != mode {
			l.fail(k.at, "is a key for mode %s and the tenant's is %s: write a key of that mode", k.mode, mode)
		}
	}
}

// simulatorPort is where agogo's own simulator listens (DESIGN 5).
const simulatorPort = "9900"

// checkLive refuses addresses that cannot be a provider's. Paying into a simulator in earnest would look like success
// while nobody gets any money.
func (l *loader) checkLive(addresses []address) {
	for _, a := range addresses {
		host := strings.ToLower(a.url.Hostname())
		ip, err := netip.ParseAddr(host)
		local := err == nil && (ip.Unmap().IsLoopback() || ip.IsUnspecified())
		switch {
		case local || host == "localhost" || strings.HasSuffix(host, ".localhost"):
			l.fail(a.at, "is an address of this machine, which mode live refuses: write the provider's, or mode: sandbox")
		case a.url.Port() == simulatorPort || strings.Contains(host, "simulator"):
			l.fail(a.at, "is a simulator's address, which mode live refuses: write the provider's, or mode: sandbox")
		case strings.HasPrefix(host, "sandbox.") || strings.Contains(host, ".sandbox."):
			l.fail(a.at, "is a provider's sandbox, which mode live refuses: write the address for real money, or mode: sandbox")
		case a.url.Scheme != "https":
			l.fail(a.at, "is not encrypted, which mode live refuses: write https://")
		}
	}
}
