package recurrences_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
)

// TestTheServiceTakesNoCardNumbers: the guard that the administration tests field by field stands before the running service.
func TestTheServiceTakesNoCardNumbers(t *testing.T) {
	t.Parallel()
	in := install(t)
	c := in.start().as("operator")
	_, err := c.SetCard(in.Ctx, &recurrencesv1.SetCardRequest{
		Tenant: recurrencestest.Tenant, RecurrenceId: "rec-1", Token: "4111111111111111", Brand: "visa", Reason: "new card",
	})
	if st := status.Convert(err); st.Code() != codes.InvalidArgument || !strings.HasPrefix(st.Message(), "token: looks like a card number") {
		t.Errorf("as a token: %v", err)
	}
	got := in.importRecurrences(c, "csv", []byte("recurrence_id,customer_id,customer_name,seller_id,amount,currency,period,anchor_day,anchor_month,"+
		"next_charge_date,card_token,card_brand,status,description\nrec-1,cus-1,4111 1111 1111 1111,seller-1,49.90,BRL,monthly,30,,2025-10-30,tok_1,visa,active,x\n"))
	if len(got.Refused) != 1 || got.Summary.GetRefused() != 1 || got.Summary.GetInserted() != 0 {
		t.Errorf("as a name in a file: %v, refused %v", got.Summary, got.Refused)
	}
}
