package cli

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// The list says what is known of a wallet, up to what amount, and when its provider is asked next.
func TestWhatIsKnownOfAWallet(t *testing.T) {
	t.Parallel()
	since := timestamppb.New(time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC))
	next := timestamppb.New(time.Date(2025, 1, 25, 23, 59, 0, 0, time.UTC))
	covers := &eventsv1.Money{Minor: 24_000, Currency: "XOF"}
	for want, y := range map[string]*payoutsv1.Payee{
		"":                         {},
		"verified":                 {RecipientState: "verified", RecipientSince: since},
		"verified up to 24000 XOF": {RecipientState: "verified", RecipientSince: since, RecipientCovers: covers},
		"verified up to 24000 XOF (limit_exceeded), asked next 2025-01-25T23:59:00Z": {
			RecipientState: "verified", RecipientSince: since, RecipientCovers: covers, RecipientCode: "limit_exceeded", RecipientNextAt: next,
		},
		"unverified, asked 3 times since 2025-01-24T23:59:00Z, asked next 2025-01-25T23:59:00Z": {
			RecipientState: "unverified", RecipientSince: since, RecipientUnanswered: 3, RecipientNextAt: next,
		},
		"mismatch (name_differs) since 2025-01-24T23:59:00Z, asked next 2025-01-25T23:59:00Z": {
			RecipientState: "mismatch", RecipientCode: "name_differs", RecipientSince: since, RecipientNextAt: next,
		},
	} {
		if got := recipient(y); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
