package outcome

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/restore"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// Tracking says what a restore has to know of payouts that were told after the backup: whom they were for and how much. The ones that
// come again under their own ids are asked about by these; for any other one its payee is held.
func Tracking() restore.Tracking {
	t := restore.Tracking{Aggregate: event.Payout.Aggregate, Read: lostPayout}
	for _, state := range event.Payout.States() {
		if event.Payout.Terminal(state) {
			t.Harmless = append(t.Harmless, state)
		}
	}
	return t
}

func lostPayout(body []byte) (restore.Lost, error) {
	var p eventsv1.Payout
	if err := event.Decode(body, &p); err != nil {
		return restore.Lost{}, fmt.Errorf("not protojson of a Payout: %w", err)
	}
	id, err := uuid.Parse(p.GetPayoutId())
	if err != nil {
		return restore.Lost{}, fmt.Errorf("payout id: %w", err)
	}
	return restore.Lost{
		Subject: id, Tenant: p.GetTenant(), Owner: p.GetPayeeId(), Provider: p.GetProvider(), Amount: p.GetNet().GetMinor(), State: p.GetState(),
	}, nil
}
