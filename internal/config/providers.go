package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// kind is a provider kind: the keys it has beside the common ones, and what they are when absent.
type kind struct {
	service  string // whose connectors are of this kind: nobody else reads their secrets
	fields   func(l *loader, p *Provider) []field
	defaults func(p *Provider)
	check    func(l *loader, v at, p Provider) // of keys together; may be nil
	verifies bool                              // its adapter asks about wallets (provider.RecipientVerifier)
	forgets  bool                              // it is known to take a repeated reference for another one
}

// How much a provider's answer about a wallet must say before it is paid; "" is none.
const (
	VerifyNone    = "none"    // nobody asks
	VerifyWallet  = "wallet"  // it exists and takes the amount; whose it is, is not looked at
	VerifyPartial = "partial" // and at least a part of the payee's name agrees with its owner's
	VerifyMatch   = "match"   // and the name agrees
)

// providerKinds are the kinds that have an adapter; a new one is one entry here.
var providerKinds = map[string]kind{
	"orange_omr":     orangeOMR(),
	"mtn_momo":       mtnMoMo(),
	"orange_sonatel": orangeSonatel(),
	"cielo": {
		service: "recurrences",
		forgets: true,
		fields: func(l *loader, p *Provider) []field {
			return []field{
				required("query_url", l.httpURL(&p.QueryURL)),
				required("merchant_id", l.text(&p.MerchantID, checkGUID)),
				required("merchant_key", l.secretOf(&p.MerchantKey, merchantKeyLength)),
				optional("webhook_header", l.text(&p.WebhookHeader, checkHeader)),
				optional("webhook_secret", l.secret(&p.WebhookSecret)),
				optional("soft_descriptor", l.text(&p.SoftDescriptor, checkDescriptor)),
			}
		},
		defaults: func(*Provider) {},
		check: func(l *loader, v at, p Provider) {
			if (p.WebhookHeader == "") != (p.WebhookSecret == "") {
				l.fail(v, "has one of webhook_header and webhook_secret: write both, or neither to take no webhooks")
			}
		},
	},
	"wave": wave,
}

// wave replays what comes twice with one key, by its documentation: a reference may be repeated unless the file says otherwise.
var wave = kind{
	service: "payouts",
	fields: func(l *loader, p *Provider) []field {
		return []field{
			required("api_key", l.waveKey(&p.APIKey)),
			optional("signing_secret", l.secret(&p.SigningSecret)),
			optional("aggregated_merchant_id", l.text(&p.AggregatedMerchant, nil)),
		}
	},
	defaults: func(p *Provider) { p.Deduplicates = true },
	verifies: true,
}

// waveKey reads an API key, which begins with wave_, a country and prod or test.
func (l *loader) waveKey(dst *string) func(at) {
	return func(v at) {
		l.secret(dst)(v)
		for part, mode := range map[string]string{"prod": modeLive, "test": modeSandbox} {
			if words := strings.Split(*dst, "_"); len(words) > 3 && words[0] == "wave" && words[2] == part {
				l.keys = append(l.keys, modeKey{v, mode})
			}
		}
	}
}

// merchantKeyLength is what Cielo hands out; another length is a key of something else, or one that was cut while copying.
const merchantKeyLength = 40

var (
	guid       = regexp.MustCompile(`^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$`)
	header     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)
	descriptor = regexp.MustCompile(`^[A-Za-z0-9]{1,13}$`)
)

func checkGUID(s string) string {
	if guid.MatchString(s) {
		return ""
	}
	return "is not a GUID: write the 36 characters with their dashes, as the gateway shows them"
}

func checkHeader(s string) string {
	if header.MatchString(s) {
		return ""
	}
	return quoted(s) + " is not the name of a header: write letters, digits and -, such as X-Agogo-Webhook"
}

func checkDescriptor(s string) string {
	if descriptor.MatchString(s) {
		return ""
	}
	return quoted(s) + " does not fit a card statement: write 1 to 13 letters and digits"
}

// defaultProvider holds the values of absent keys. Rates are what a provider's documentation allows or, where it is
// silent, what a single till would do.
func defaultProvider(name string) Provider {
	return Provider{
		Name: name, RatePerSec: 10, Concurrency: 8, Timeout: 30 * time.Second, QuietTime: 5 * time.Minute,
		LookupAfter: []time.Duration{
			30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour,
		},
		ReviewAfter: 24 * time.Hour,
		RetryAfter:  []time.Duration{time.Minute, 10 * time.Minute},
	}
}

func (l *loader) providers(v at, t *Tenant) {
	t.Providers = map[string]Provider{}
	l.pairs(v, func(key *yaml.Node, value at) {
		if problem := checkWord(key.Value); problem != "" {
			l.fail(at{node: key, path: value.path}, "%s", problem)
			return
		}
		value.generic = v.generic + ".<name>"
		p := defaultProvider(key.Value)
		l.provider(value, &p)
		t.Providers[key.Value] = p
	})
}

func (l *loader) provider(v at, p *Provider) {
	if n := child(v.node, "kind"); n != nil {
		p.Kind = n.Value
	}
	common := []field{
		required("kind", l.text(&p.Kind, l.checkKind)),
		required("base_url", l.httpURL(&p.BaseURL)),
		optional("rate_per_second", integer(l, &p.RatePerSec, 1, 100_000)),
		optional("concurrency", integer(l, &p.Concurrency, 1, 10_000)),
		optional("timeout", l.duration(&p.Timeout, 10*time.Minute)),
		optional("quiet_time", l.duration(&p.QuietTime, 7*24*time.Hour)),
		optional("lookup_after", l.durations(&p.LookupAfter, 1)),
		optional("review_after", l.duration(&p.ReviewAfter, year)),
		optional("retry_after", l.durations(&p.RetryAfter, 0)),
		optional("deduplicates", l.boolean(&p.Deduplicates)),
		optional("verify_recipients", l.oneOf(&p.VerifyRecipients, VerifyNone, VerifyWallet, VerifyPartial, VerifyMatch)),
	}
	k, ok := l.kinds[p.Kind]
	if !ok {
		// Without a kind nobody can say which keys belong here; only the kind is reported.
		l.kindFault(v)
		return
	}
	k.defaults(p)
	own := k.fields(l, p)
	l.of(k.service, func() {
		l.object(v, append(common, append(own, l.foreign(p.Kind, common, own)...)...)...)
		if k.check != nil && !l.withheld {
			k.check(l, v, *p)
		}
	})
	if n := child(v.node, "verify_recipients"); n != nil && n.Value != VerifyNone && !k.verifies {
		l.fail(v.key("verify_recipients", n), "asks about wallets, which %s does not answer: remove it, or write none", p.Kind)
	}
	if n := child(v.node, "deduplicates"); n != nil && p.Deduplicates && k.forgets {
		l.fail(v.key("deduplicates", n), "is true, and %s charges a repeated reference once more: remove it, or write false", p.Kind)
	}
}

func (l *loader) kindFault(v at) {
	switch n := child(v.node, "kind"); {
	case v.node.Kind != yaml.MappingNode:
		l.fail(v, "is %s: write keys with values, indented below it", shape(v.node))
	case n == nil:
		l.fail(v.at("kind"), "is missing: write %s", l.kindNames())
	default:
		l.text(new(string), l.checkKind)(v.key("kind", n))
	}
}

func (l *loader) checkKind(s string) string {
	if _, ok := l.kinds[s]; ok {
		return ""
	}
	return fmt.Sprintf("%s is not a provider kind with an adapter: write %s", quoted(s), l.kindNames())
}

func (l *loader) kindNames() string {
	return strings.Join(slices.Sorted(maps.Keys(l.kinds)), ", ")
}

// foreign are the keys of other kinds: they are refused with the kind they belong to.
func (l *loader) foreign(self string, common, own []field) []field {
	var foreign []field
	for _, other := range slices.Sorted(maps.Keys(l.kinds)) {
		if other == self {
			continue
		}
		for _, f := range l.kinds[other].fields(l, new(Provider)) {
			has := func(g field) bool { return g.name == f.name }
			if slices.ContainsFunc(common, has) || slices.ContainsFunc(own, has) || slices.ContainsFunc(foreign, has) {
				continue
			}
			foreign = append(foreign, optional(f.name, func(v at) {
				l.fail(v, "is a key of kind %s and this is %s: remove it", other, self)
			}))
		}
	}
	return foreign
}
