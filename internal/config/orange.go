package config

import (
	"maps"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/agogopay/agogo/internal/money"
)

// orangeOMR is Orange Money B2B, whose countries differ in what the optional keys say.
func orangeOMR() kind {
	return kind{
		service: "payouts",
		fields: func(l *loader, p *Provider) []field {
			return []field{
				required("token_url", l.httpURL(&p.TokenURL)),
				required("client_id", l.text(&p.ClientID, nil)),
				required("client_secret", l.secret(&p.ClientSecret)),
				required("pos_id", l.text(&p.PosID, nil)),
				required("callback_authorization", l.secret(&p.CallbackAuthorization)),
				optional("forms_step", l.boolean(&p.FormsStep)),
				optional("country", l.text(&p.Country, checkCountry)),
				optional("currency", l.text(&p.Currency, checkCurrency)),
				optional("msisdn_format", l.oneOf(&p.MSISDNFormat, "significant", "national")),
				optional("skip_activation_check", l.boolean(&p.SkipActivationCheck)),
				optional("statuses", l.statuses(&p.Statuses)),
			}
		},
		defaults: func(p *Provider) { p.FormsStep, p.MSISDNFormat = true, "significant" },
	}
}

var (
	country = regexp.MustCompile(`^[a-z]{2}$`)
	segment = regexp.MustCompile(`/v[0-9]+/([a-z]{2})/?$`)
	status  = regexp.MustCompile(`^[A-Z][A-Z_]{1,31}$`)
)

// Country is the country that a provider of kind orange_omr pays in, in two small letters, as its key says or else the end of its
// address, …/v1/ci; "" where neither does.
func Country(p Provider) string {
	if p.Country != "" {
		return p.Country
	}
	if m := segment.FindStringSubmatch(p.BaseURL); m != nil {
		return m[1]
	}
	return ""
}

func checkCountry(s string) string {
	if country.MatchString(s) {
		return ""
	}
	return quoted(s) + " is not a country: write its two small letters, ci or gn for instance, or sx for the sandbox"
}

func checkCurrency(s string) string {
	if _, err := money.ParseCurrency(s); err != nil {
		return quoted(s) + " is not a currency: write its three letters, XOF for instance"
	}
	return ""
}

// statuses reads what words of a contract mean that are not the documented ones.
func (l *loader) statuses(dst *map[string]string) func(at) {
	documented, outcomes := []string{"FAILED", "PENDING", "SUCCESS"}, []string{"failed", "pending", "succeeded"}
	return func(v at) {
		all := map[string]string{}
		l.pairs(v, func(key *yaml.Node, value at) {
			var outcome string
			switch {
			case !status.MatchString(key.Value):
				l.fail(at{node: key, path: value.path}, "is not a status: write it as the contract does, in capitals and _")
			case slices.Contains(documented, key.Value):
				l.fail(at{node: key, path: value.path}, "is a documented status, whose meaning stands: remove it")
			default:
				l.oneOf(&outcome, outcomes...)(value)
				all[key.Value] = outcome
			}
		})
		*dst = maps.Clone(all)
	}
}
