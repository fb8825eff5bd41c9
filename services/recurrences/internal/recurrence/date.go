package recurrence

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// Date is a day of the calendar without a time or a zone, counted from 1 January of the year 1, which is 1. The zero Date
// is no date. Dates compare with < and ==, and d+7 is a week later. In SQL it is a date, in text YYYY-MM-DD; no date is
// NULL and "".
type Date int32

// secondsBefore1970 is how long the zero Date is before the Unix epoch.
const secondsBefore1970 = 62_135_596_800 + secondsOfDay

const secondsOfDay = 86_400

// DateOf returns a date. Months and days beyond their range run over as in [time.Date]: 32 January is 1 February.
func DateOf(year int, month time.Month, day int) Date {
	return Date((time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() + secondsBefore1970) / secondsOfDay)
}

// DateAt returns the date of an instant in the zone that it is given in.
func DateAt(at time.Time) Date { return DateOf(at.Date()) }

// ParseDate reads YYYY-MM-DD.
func ParseDate(s string) (Date, error) {
	at, err := time.Parse(time.DateOnly, s)
	if err != nil || at.Year() < 1 {
		return 0, fmt.Errorf("%q is not a date: write year-month-day, such as 2025-10-30", s)
	}
	return DateAt(at), nil
}

// Time is the date's first instant in UTC.
func (d Date) Time() time.Time {
	return time.Unix(int64(d)*secondsOfDay-secondsBefore1970, 0).UTC()
}

// ISODay is the day of the week, from 1 for Monday to 7 for Sunday.
func (d Date) ISODay() int { return int(d+6)%7 + 1 }

// String is YYYY-MM-DD, or "" of no date.
func (d Date) String() string {
	if d == 0 {
		return ""
	}
	return d.Time().Format(time.DateOnly)
}

// MarshalText is for JSON.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText undoes [Date.MarshalText].
func (d *Date) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*d = 0
		return nil
	}
	*d, err = ParseDate(string(text))
	return err
}

// Value is for SQL parameters.
func (d Date) Value() (driver.Value, error) {
	if d == 0 {
		return nil, nil
	}
	return d.Time(), nil
}

// Scan is for SQL results.
func (d *Date) Scan(src any) (err error) {
	switch v := src.(type) {
	case nil:
		*d = 0
	case time.Time:
		*d = DateAt(v)
	case string:
		*d, err = ParseDate(v)
	default:
		err = fmt.Errorf("read %T as a date: select a column of type date", src)
	}
	return err
}

// daysIn is how many days a month has.
func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
