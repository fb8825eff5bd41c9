package config

import "slices"

// The business-day rules: where a charge date goes that falls on a weekend or a holiday.
const (
	businessNone              = "none"
	businessFollowing         = "following"
	businessModifiedFollowing = "modified_following"
	businessPreceding         = "preceding"
)

// defaultRecurrences holds the values of absent keys.
func defaultRecurrences() *Recurrences {
	return &Recurrences{
		MaxRetries: 3, RetryDays: []int{1, 3, 7}, CatchUpDays: 7, BusinessDay: businessNone, CardFailureLimit: 5, CleanupAfterDays: 180,
	}
}

func (l *loader) recurrences(v at, t *Tenant) {
	r := t.Recurrences
	var ref at
	l.object(
		v,
		optional("max_retries", integer(l, &r.MaxRetries, 0, 30)),
		optional("retry_days", l.risingDays(&r.RetryDays)),
		optional("catch_up_days", integer(l, &r.CatchUpDays, 0, 366)),
		optional("business_day", l.oneOf(&r.BusinessDay, businessNone, businessFollowing, businessModifiedFollowing, businessPreceding)),
		optional("holidays", l.holidays(&r.Holidays)),
		optional("card_failure_limit", integer(l, &r.CardFailureLimit, 1, 1000)),
		optional("cleanup_after_days", integer(l, &r.CleanupAfterDays, 1, 3660)),
		required("default_gateway", func(v at) { ref = v; l.text(&r.DefaultGateway, checkWord)(v) }),
	)
	if _, ok := t.Providers[r.DefaultGateway]; !ok && r.DefaultGateway != "" {
		l.fail(ref, "%s is not among the tenant's providers: add it there or name one of them", quoted(r.DefaultGateway))
	}
	// A retry without a day would never come; a day without a retry is left over from a larger number and harms nobody.
	if len(r.RetryDays) < r.MaxRetries {
		l.fail(v.at("retry_days"), "has %d days for %d retries: write a day for each, such as [1, 3, 7], or lower max_retries", len(r.RetryDays), r.MaxRetries)
	}
	// What may still be caught up must not have been cleaned up.
	if r.CleanupAfterDays <= r.CatchUpDays {
		l.fail(v.at("cleanup_after_days"), "%d is within the %d days of catch_up_days: write more", r.CleanupAfterDays, r.CatchUpDays)
	}
}

// risingDays reads numbers of days, each larger than the one before.
func (l *loader) risingDays(dst *[]int) func(at) {
	return func(v at) {
		*dst = []int{}
		l.list(func(item at) {
			var d int
			integer(l, &d, 1, 366)(item)
			if n := len(*dst); n > 0 && d > 0 && d <= (*dst)[n-1] {
				l.fail(item, "%d comes after %d: write the days in rising order, each once", d, (*dst)[n-1])
			}
			*dst = append(*dst, d)
		})(v)
	}
}

// holidays reads local dates, in the order of the calendar.
func (l *loader) holidays(dst *[]string) func(at) {
	return func(v at) {
		*dst = []string{}
		l.list(func(item at) {
			var s string
			l.text(&s, func(s string) string {
				if problem := checkDate(s); problem != "" {
					return problem
				}
				if slices.Contains(*dst, s) {
					return quoted(s) + " stands twice: keep one"
				}
				return ""
			})(item)
			if s != "" {
				*dst = append(*dst, s)
			}
		})(v)
		slices.Sort(*dst)
	}
}
