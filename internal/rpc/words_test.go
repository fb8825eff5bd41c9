package rpc

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
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
