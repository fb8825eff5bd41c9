package admin

import (
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
)

// back is where a page of a list begins that goes backwards by date.
type back struct {
	since  recurrence.Date // not before
	before recurrence.Date
	after  uuid.UUID // of those on that date
}

// backFrom reads a page token, of a list of one date (YYYY-MM-DD) or, with "", of all dates.
func backFrom(field, only, token string) (back, error) {
	b := back{since: recurrence.DateOf(1, time.January, 1), before: recurrence.DateOf(9999, time.December, 31)}
	if only != "" {
		on, err := dateOf(field, only)
		if err != nil {
			return back{}, err
		}
		b.since, b.before = on, on
	}
	key, err := rpc.ParsePageToken(token, 2)
	if err != nil || key == nil {
		return b, err
	}
	before, bad := recurrence.ParseDate(key[0])
	after, worse := uuid.Parse(key[1])
	if bad != nil || worse != nil {
		return back{}, rpc.Invalid("page_token", "not one of ours")
	}
	b.before, b.after = before, after
	return b, nil
}

func backToken(on recurrence.Date, id uuid.UUID) string {
	return rpc.PageToken(on.String(), id.String())
}

// dateOf reads a date whose shape the proto has checked.
func dateOf(field, s string) (recurrence.Date, error) {
	d, err := recurrence.ParseDate(s)
	if err != nil {
		return 0, rpc.Invalid(field, "%v", err)
	}
	return d, nil
}

func amount(minor int64, currency string) *eventsv1.Money {
	return &eventsv1.Money{Minor: minor, Currency: currency}
}

func instant(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}
