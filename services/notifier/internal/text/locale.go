package text

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"

	"github.com/agogopay/agogo/services/notifier/internal/notice"
)

// count is a number that knows how it is written; templates print it and choose words by it.
type count struct {
	n    int64
	text string
}

func (c count) String() string { return c.text }

// pluralOf chooses between the forms of a language: French and Brazilian Portuguese treat 0 as one, English does not.
func pluralOf(tag language.Tag) func(c count, one, other string) string {
	return func(c count, one, other string) string {
		if plural.Cardinal.MatchPlural(tag, int(c.n%1_000_000), 0, 0, 0, 0) == plural.One {
			return one
		}
		return other
	}
}

// facts tells a parameter's value as people of the locale write it.
func facts(p notice.Params, zone *time.Location, locale string) func(param string) any {
	s := styleOf(locale)
	return func(param string) any {
		switch param {
		case notice.ParamAmount:
			return p.Amount.Format(locale)
		case notice.ParamNeeded:
			return p.Needed.Format(locale)
		case notice.ParamPeriod:
			return s.localDate(p.Period)
		case notice.ParamRetryAt:
			return s.moment(p.RetryAt.In(zone))
		case notice.ParamRetryOn:
			return s.localDate(p.RetryOn)
		case notice.ParamCount:
			return count{n: p.Count, text: message.NewPrinter(language.Make(locale)).Sprint(number.Decimal(p.Count))}
		default:
			return p.Where
		}
	}
}

// style is how a language writes dates and times.
type style struct {
	date   func(t time.Time) string
	moment func(t time.Time) string
}

// localDate writes a date that is already the tenant's; one that is none is shown as it came, never guessed.
func (s style) localDate(period string) string {
	t, err := time.Parse(time.DateOnly, period)
	if err != nil {
		return period
	}
	return s.date(t)
}

func styleOf(locale string) style {
	tag := language.Make(locale)
	base, _ := tag.Base()
	region, _ := tag.Region()
	switch {
	case base.String() == "fr":
		return french
	case base.String() == "pt":
		return portuguese
	case locale != base.String() && region.String() == "US":
		return american
	default:
		return english
	}
}

var (
	frenchMonths = [...]string{
		"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre",
	}
	portugueseMonths = [...]string{
		"janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro", "novembro", "dezembro",
	}
)

// French: "1er janvier 2025", "le 24 janvier à 00 h 10".
var french = style{
	date: func(t time.Time) string { return frenchDay(t) + " " + strconv.Itoa(t.Year()) },
	moment: func(t time.Time) string {
		return fmt.Sprintf("le %s à %02d\u00a0h\u00a0%02d", frenchDay(t), t.Hour(), t.Minute())
	},
}

func frenchDay(t time.Time) string {
	day := strconv.Itoa(t.Day())
	if t.Day() == 1 {
		day = "1er"
	}
	return day + " " + frenchMonths[t.Month()-1]
}

// Portuguese: "1º de janeiro de 2025", "em 24 de janeiro às 00:10"; one o'clock takes the singular "à".
var portuguese = style{
	date: func(t time.Time) string { return portugueseDay(t) + " de " + strconv.Itoa(t.Year()) },
	moment: func(t time.Time) string {
		at := "às"
		if t.Hour() == 1 {
			at = "à"
		}
		return "em " + portugueseDay(t) + " " + at + t.Format(" 15:04")
	},
}

func portugueseDay(t time.Time) string {
	day := strconv.Itoa(t.Day())
	if t.Day() == 1 {
		day = "1º"
	}
	return day + " de " + portugueseMonths[t.Month()-1]
}

var english = style{
	date:   func(t time.Time) string { return t.Format("2 January 2006") },
	moment: func(t time.Time) string { return t.Format("on 2 January at 15:04") },
}

var american = style{
	date:   func(t time.Time) string { return t.Format("January 2, 2006") },
	moment: func(t time.Time) string { return t.Format("on January 2 at 3:04 PM") },
}
