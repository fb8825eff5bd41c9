package rpc

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// TestAMistypedDateIsToldInWords: the pattern that it misses is for machines.
func TestAMistypedDateIsToldInWords(t *testing.T) {
	t.Parallel()
	for _, m := range []proto.Message{
		&payoutsv1.CloseDayRequest{Tenant: "lebenis", LocalDate: "24.1.2025"}, &payoutsv1.CloseDayRequest{Tenant: "lebenis"},
		&payoutsv1.ListClosesRequest{Tenant: "lebenis", LocalDate: "yesterday"},
	} {
		if err := validate(m); err == nil || !strings.Contains(err.Error(), "local_date: write a date as YYYY-MM-DD") {
			t.Errorf("%v: %v", m, err)
		}
	}
	if err := validate(&payoutsv1.ListClosesRequest{Tenant: "lebenis"}); err != nil {
		t.Errorf("no date: %v", err)
	}
}

// A pattern is for machines, and nobody writes the empty text that stands for "not said".
func TestMistypedNamesAreToldInWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		m    proto.Message
		want string
	}{
		{&schedulerv1.TriggerScheduleRequest{Name: "daily"}, "name: write a schedule as TENANT/SERVICE/SCHEDULE, such as lebenis/payouts/daily"},
		{&payoutsv1.ListPayeesRequest{Tenant: "lebenis", State: "stopped"}, "state: must be in list [active, paused, "},
		{&payoutsv1.ResolvePayoutRequest{Tenant: "lebenis", Id: "5e0dd3a4-6d6b-5c2e-8f0a-2b1c9d8e7f60", Outcome: "gone", Evidence: "letter"}, "outcome: must be in list [paid, not_paid]"},
	} {
		if err := validate(c.m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.m, err)
		}
	}
}
