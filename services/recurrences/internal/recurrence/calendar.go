package recurrence

import "fmt"

// The business-day rules of the tenants file.
const (
	NoMove            = "none"
	Following         = "following"
	ModifiedFollowing = "modified_following" // following, unless that is in the next month: then preceding
	Preceding         = "preceding"
)

// Calendar moves dates off weekends and holidays. The zero Calendar moves nothing.
type Calendar struct {
	rule     string
	holidays map[Date]bool
}

// NewCalendar reads a business-day rule and its holidays, as the tenants file has them.
func NewCalendar(rule string, holidays []string) (Calendar, error) {
	switch rule {
	case "", NoMove, Following, ModifiedFollowing, Preceding:
	default:
		return Calendar{}, fmt.Errorf("business-day rule %q is none of %s, %s, %s, %s", rule, NoMove, Following, ModifiedFollowing, Preceding)
	}
	c := Calendar{rule: rule, holidays: make(map[Date]bool, len(holidays))}
	for _, s := range holidays {
		d, err := ParseDate(s)
		if err != nil {
			return Calendar{}, fmt.Errorf("holiday: %w", err)
		}
		c.holidays[d] = true
	}
	return c, nil
}

// Business reports whether a date is neither of a weekend nor a holiday.
func (c Calendar) Business(d Date) bool { return d.ISODay() < 6 && !c.holidays[d] }

// Move applies the rule. A business day stays.
func (c Calendar) Move(d Date) Date {
	switch c.rule {
	case Following:
		return c.business(d, +1)
	case Preceding:
		return c.business(d, -1)
	case ModifiedFollowing:
		moved := c.business(d, +1)
		if moved.Time().Month() != d.Time().Month() {
			return c.business(d, -1)
		}
		return moved
	default:
		return d
	}
}

// After is the first date behind a date that the rule leaves where it is. A rule that moves back is no way to the date itself, or before it.
func (c Calendar) After(d Date) Date {
	if on := c.Move(d + 1); on > d {
		return on
	}
	return c.business(d+1, +1)
}

// business is the nearest business day in a direction. There is one: holidays are a list, and lists end.
func (c Calendar) business(d, step Date) Date {
	for !c.Business(d) {
		d += step
	}
	return d
}
