package consumer

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/notifier/internal/notice"
)

// snapshot reads the body of an event into what the domain knows of its aggregate.
func snapshot(t event.Type, body []byte) (notice.Snapshot, error) {
	decode, ok := decoders[t.Aggregate()]
	if !ok {
		return nil, fmt.Errorf("no decoder for the aggregate of %s", t)
	}
	s, err := decode(body)
	if err != nil {
		return nil, fmt.Errorf("body of %s: %w", t, err)
	}
	return s, nil
}

var decoders = map[string]func([]byte) (notice.Snapshot, error){
	"card": decoder(func(m *eventsv1.Card) notice.Snapshot {
		return notice.Card{ID: m.GetCardId()}
	}),
	"charge": decoder(func(m *eventsv1.Charge) notice.Snapshot {
		return notice.Charge{
			ID: m.GetChargeId(), CustomerID: m.GetCustomerId(), SellerID: m.GetSellerId(), RunID: m.GetRunId(), Cycle: m.GetCycle(),
			PreviousState: m.GetPreviousState(), Class: m.GetReason().GetClass(), Scope: m.GetReason().GetScope(), Code: m.GetReason().GetCode(),
			Amount: amount(m.GetAmount()), Reversal: amount(m.GetReversal()), Refunded: amount(m.GetRefunded()), Attempt: m.GetAttempt(), RetryOn: m.GetRetryOn(),
		}
	}),
	"event": decoder(func(m *eventsv1.DeadLetter) notice.Snapshot {
		return notice.DeadLetter{Service: m.GetService(), Consumer: m.GetConsumer()}
	}),
	"float": decoder(func(m *eventsv1.Float) notice.Snapshot {
		return notice.Float{Provider: m.GetProvider(), Available: amount(m.GetAvailable()), Needed: amount(m.GetNeeded())}
	}),
	"hold_digest": decoder(func(m *eventsv1.HoldDigest) notice.Snapshot {
		return notice.Digest{
			ID: m.GetDigestId(), SellerID: m.GetSellerId(), LocalDate: m.GetLocalDate(), Count: int64(len(m.GetRecurrenceIds())), Total: amount(m.GetTotal()),
		}
	}),
	"payee": decoder(func(m *eventsv1.Payee) notice.Snapshot {
		return notice.Payee{ID: m.GetPayeeId()}
	}),
	"payout": decoder(payout),
	"payout_batch": decoder(func(m *eventsv1.PayoutBatch) notice.Snapshot {
		return notice.Batch{ID: m.GetBatchId(), PeriodDate: m.GetPeriodDate()}
	}),
	"provider": decoder(func(m *eventsv1.Provider) notice.Snapshot {
		return notice.Provider{Name: m.GetProvider()}
	}),
	"recon": decoder(func(m *eventsv1.Recon) notice.Snapshot {
		return notice.Recon{ID: m.GetReconId()}
	}),
	"recurrence": decoder(func(m *eventsv1.Recurrence) notice.Snapshot {
		return notice.Recurrence{
			ID: m.GetRecurrenceId(), CustomerID: m.GetCustomerId(), CardID: m.GetCardId(), Code: m.GetReason().GetCode(),
			Cycle: m.GetCycle(), Amount: amount(m.GetAmount()),
		}
	}),
	"run": decoder(func(m *eventsv1.Run) notice.Snapshot {
		return notice.Run{ID: m.GetRunId(), Job: m.GetJob(), LocalDate: m.GetLocalDate()}
	}),
	"tick": decoder(func(m *eventsv1.Tick) notice.Snapshot {
		return notice.Tick{ID: m.GetTickId(), Service: m.GetService(), Schedule: m.GetSchedule()}
	}),
}

func payout(m *eventsv1.Payout) notice.Snapshot {
	p := notice.Payout{
		ID: m.GetPayoutId(), PayeeID: m.GetPayeeId(), RunID: m.GetRunId(), PeriodDate: m.GetPeriodDate(),
		PreviousState: m.GetPreviousState(), Scope: m.GetReason().GetScope(), Code: m.GetReason().GetCode(), Net: amount(m.GetNet()), Attempt: m.GetAttempt(),
	}
	if m.GetRetryAt() != nil {
		p.RetryAt = m.GetRetryAt().AsTime()
	}
	return p
}

func amount(m *eventsv1.Money) money.Amount {
	return money.Amount{Minor: m.GetMinor(), Currency: money.Currency(m.GetCurrency())}
}

// decoder reads a message of type M and turns it into a snapshot.
func decoder[T any, M interface {
	*T
	proto.Message
}](to func(M) notice.Snapshot) func([]byte) (notice.Snapshot, error) {
	return func(body []byte) (notice.Snapshot, error) {
		var m M = new(T)
		if err := event.Decode(body, m); err != nil {
			return nil, err
		}
		return to(m), nil
	}
}
