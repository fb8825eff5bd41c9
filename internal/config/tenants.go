package config

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // containers have no zone files, and a zone must not depend on the machine

	"golang.org/x/text/language"

	"github.com/agogopay/agogo/internal/money"
)

// word is what ids and names are made of: they become tokens of subjects and parts of paths.
var word = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

func checkWord(s string) string {
	if word.MatchString(s) {
		return ""
	}
	return quoted(s) + " is not allowed here: write 1 to 32 of a to z, 0 to 9 and -"
}

// file reads the whole document.
func (l *loader) file(v at, f *File) {
	var tokens, notifier at
	l.object(
		v,
		required("tenants", func(v at) { l.tenants(v, f) }),
		optional("notifier", func(v at) { notifier = v }),
		optional("auth", func(v at) { tokens = v }),
		optional("reports", func(v at) {
			l.of("payouts", func() { l.object(v, required("signing_key", l.signingKey(&f.Reports))) })
		}),
	)
	live := slices.ContainsFunc(f.Tenants, func(t Tenant) bool { return t.Mode == modeLive })
	if notifier.node != nil {
		l.of("notifier", func() { l.notifier(notifier, &f.Notifier, live) })
	}
	if tokens.node != nil {
		l.auth(tokens, f)
	}
}

func (l *loader) tenants(v at, f *File) {
	first := map[string]int{}
	l.list(func(item at) {
		var t Tenant
		l.tenant(item, &t)
		if line, twice := first[t.ID]; twice && t.ID != "" {
			l.fail(item, "the id stands twice, first on line %d: give each tenant its own", line)
		}
		first[t.ID] = item.node.Line
		f.Tenants = append(f.Tenants, t)
	})(v)
	if len(v.node.Content) == 0 {
		l.fail(v, "has no tenant: add one")
	}
}

// The modes of a tenant.
const (
	modeSandbox = "sandbox"
	modeLive    = "live"
)

func (l *loader) tenant(v at, t *Tenant) {
	var payouts, recurrences, schedules at
	l.addresses, l.keys = nil, nil
	t.Mode = modeSandbox // a file that says nothing moves no real money
	l.object(
		v,
		required("id", l.text(&t.ID, checkWord)),
		required("timezone", l.zone(t)),
		required("currency", l.currency(&t.Currency)),
		required("locale", l.locale(&t.Locale)),
		optional("mode", l.oneOf(&t.Mode, modeSandbox, modeLive)),
		optional("payouts", func(v at) { payouts = v }),
		optional("recurrences", func(v at) { recurrences = v }),
		optional("providers", func(v at) { l.providers(v, t) }),
		optional("schedules", func(v at) { schedules = v }),
	)
	// These refer to what stands elsewhere in the tenant, in any order.
	if payouts.node != nil {
		t.Payouts = &Payouts{MaxAttempts: 3, OnFailures: OnFailuresPause, DestinationCoolOff: 24 * time.Hour, FloatCheck: 15 * time.Minute}
		l.payouts(payouts, t)
	}
	if recurrences.node != nil {
		t.Recurrences = defaultRecurrences()
		l.recurrences(recurrences, t)
	}
	if schedules.node != nil {
		l.schedules(schedules, t)
	}
	if t.Mode == modeLive {
		l.checkLive(l.addresses)
	}
	l.checkKeys(t.Mode)
}

func (l *loader) zone(t *Tenant) func(at) {
	return l.text(&t.Timezone, func(s string) string {
		loc, err := time.LoadLocation(s)
		if err != nil || s == "Local" {
			return quoted(s) + " is not an IANA time zone: write one such as Africa/Abidjan or America/Sao_Paulo"
		}
		t.Location = loc
		return ""
	})
}

func (l *loader) currency(dst *money.Currency) func(at) {
	var s string
	return l.text(&s, func(s string) string {
		c, err := money.ParseCurrency(s)
		if err != nil {
			return strings.TrimPrefix(err.Error(), "currency ")
		}
		*dst = c
		return ""
	})
}

// languages are those that Agogo writes to people in.
var languages = []string{"en", "fr", "pt"}

func (l *loader) locale(dst *string) func(at) {
	return l.text(dst, func(s string) string {
		tag, err := language.Parse(s)
		switch {
		case err != nil:
			return quoted(s) + " is not a locale: write a language and perhaps a country, such as fr-CI, pt-BR or en"
		case tag.String() != s:
			return quoted(s) + " is not how this locale is written: write " + tag.String()
		}
		if base, _ := tag.Base(); !slices.Contains(languages, base.String()) {
			return quoted(s) + " is a language that Agogo does not write: use one of " + strings.Join(languages, ", ")
		}
		return ""
	})
}

func (l *loader) payouts(v at, t *Tenant) {
	p := t.Payouts
	var ref at
	l.object(
		v,
		required("commission_bps", integer(l, &p.CommissionBPS, 0, 10_000)),
		optional("minimum", integer(l, &p.Minimum, 0, math.MaxInt64)),
		required("default_provider", func(v at) { ref = v; l.text(&p.DefaultProvider, checkWord)(v) }),
		required("payable_methods", l.methods(&p.PayableMethods)),
		optional("max_per_payout", l.limit(&p.MaxPerPayout)),
		optional("daily_cap", l.limit(&p.DailyCap)),
		optional("payee_daily_cap", l.limit(&p.PayeeDailyCap)),
		optional("accept_from", l.text(&p.AcceptFrom, checkDate)),
		optional("pause_above_failure_rate", l.fraction(&p.PauseAboveFailureRate)),
		optional("on_failures", l.oneOf(&p.OnFailures, OnFailuresPause, OnFailuresHold, OnFailuresContinue)),
		optional("pause_payee_after", integer(l, &p.PausePayeeAfter, 1, 1000)),
		optional("max_attempts", integer(l, &p.MaxAttempts, 1, 100)),
		optional("destination_cool_off", l.durationOrNone(&p.DestinationCoolOff, year)),
		optional("confirm_first_destination", l.boolean(&p.ConfirmFirstDestination)),
		optional("float_check", l.durationOrNone(&p.FloatCheck, 24*time.Hour)),
		optional("approval_above", l.approvalAbove(&p.Approval)),
		optional("approval", l.approval(&p.Approval)),
	)
	if p.Approval.asks() && p.Approval.ExpiresAfter == 0 {
		p.Approval.ExpiresAfter = defaultExpiry
	}
	if _, ok := t.Providers[p.DefaultProvider]; !ok && p.DefaultProvider != "" {
		l.fail(ref, "%s is not among the tenant's providers: add it there or name one of them", quoted(p.DefaultProvider))
	}
	if p.MaxPerPayout > 0 && p.MaxPerPayout < p.Minimum {
		l.fail(v.at("max_per_payout"), "%d is below the minimum of %d, so nothing could be paid: raise it", p.MaxPerPayout, p.Minimum)
	}
}

// What a batch does once more of it fails than pause_above_failure_rate.
const (
	OnFailuresPause    = "pause"    // the rest stays approved behind the pause
	OnFailuresHold     = "hold"     // the rest is held as well, and leaves the day's caps
	OnFailuresContinue = "continue" // the rest is sent
)

// limit reads an amount in minor units. Zero is refused because it could be meant as "nothing may go" or as "no limit".
func (l *loader) limit(dst *int64) func(at) {
	return func(v at) {
		if v.node.Value == "0" {
			l.fail(v, "is 0: remove the key for no limit; to let nothing out, stop the tenant's outflow")
			return
		}
		integer(l, dst, 1, math.MaxInt64)(v)
	}
}

var method = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

func (l *loader) methods(dst *[]string) func(at) {
	return func(v at) {
		l.list(func(item at) {
			var s string
			l.text(&s, func(s string) string {
				switch {
				case !method.MatchString(s):
					return quoted(s) + " is not a payment method: write 1 to 32 of a to z, 0 to 9, _ and -"
				case slices.Contains(*dst, s):
					return quoted(s) + " stands twice: keep one"
				}
				return ""
			})(item)
			*dst = append(*dst, s)
		})(v)
		if len(*dst) == 0 && len(v.node.Content) == 0 {
			l.fail(v, "has no method, so no payment could be paid: write at least one, such as [orange_money]")
		}
	}
}

func checkDate(s string) string {
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return quoted(s) + " is not a date: write year-month-day, such as \"2025-01-01\""
	}
	return ""
}
