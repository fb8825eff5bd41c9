package config

import "regexp"

// mtnMoMo is MTN's MoMo Open API. Its callbacks are not signed: what authenticates them is a secret at the end of the address
// that it is given with every transfer.
func mtnMoMo() kind {
	return kind{
		service:  "payouts",
		verifies: true,
		fields: func(l *loader, p *Provider) []field {
			return []field{
				required("api_user", l.text(&p.APIUser, nil)),
				required("api_key", l.secret(&p.APIKey)),
				required("subscription_key", l.secret(&p.SubscriptionKey)),
				required("target_environment", l.target(&p.TargetEnvironment)),
				optional("callback_url", l.httpURL(&p.CallbackURL)),
				optional("callback_key", l.addressSecret(&p.CallbackKey)),
			}
		},
		// A reference that was used is refused with 409, by MTN's documentation.
		defaults: func(p *Provider) { p.Deduplicates = true },
		check: func(l *loader, v at, p Provider) {
			if (p.CallbackURL == "") != (p.CallbackKey == "") {
				l.fail(v, "has one of callback_url and callback_key: write both, or neither to be told nothing and to look up everything")
			}
		},
	}
}

var (
	target      = regexp.MustCompile(`^[a-z]{1,32}$`)
	addressPart = regexp.MustCompile(`^[A-Za-z0-9_-]{32,128}$`)
)

// target reads MTN's word for the country. The word for its sandbox is for mode sandbox only: payments there succeed and
// nobody gets any money.
func (l *loader) target(dst *string) func(at) {
	return func(v at) {
		l.text(dst, func(s string) string {
			if !target.MatchString(s) {
				return quoted(s) + " is not a target environment: write MTN's word for the country, such as mtnivorycoast, or sandbox"
			}
			return ""
		})(v)
		if *dst == modeSandbox {
			l.keys = append(l.keys, modeKey{v, modeSandbox})
		}
	}
}

// addressSecret reads a secret that becomes the last segment of an address, where it is all that keeps strangers out.
func (l *loader) addressSecret(dst *string) func(at) {
	return func(v at) {
		var s string
		l.secret(&s)(v)
		if s != "" && !addressPart.MatchString(s) {
			l.fail(v, "what it names does not fit an address or can be guessed: store 32 to 128 letters, digits, - and _")
			return
		}
		*dst = s
	}
}
