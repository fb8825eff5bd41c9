package store

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/money"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
)

// RecurrenceSnapshot is the body of a recurrence's events: ids and amounts, never a name, a description or a token. cycle is
// the nominal date that the event is about, if it is about one.
func RecurrenceSnapshot(r Recurrence, cycle recurrence.Date) *eventsv1.Recurrence {
	body := &eventsv1.Recurrence{
		RecurrenceId: r.ID, Tenant: r.Tenant, CustomerId: r.CustomerID, SellerId: r.SellerID, Amount: MoneyProto(r.Amount),
		Period: string(r.Terms.Period), NextCycle: r.At.Next.Date.String(), NextChargeDate: r.At.Next.ChargeOn.String(),
		CardId: r.CardID.String(), State: string(r.State), PreviousState: string(r.Previous), Reason: ReasonProto(r.Reason),
		Cycle: cycle.String(), Cycles: int32(r.At.Cycles),
	}
	if r.EndedAt != nil {
		body.EndedAt = timestamppb.New(*r.EndedAt)
	}
	return body
}

// ChargeSnapshot is the body of a charge's events.
func ChargeSnapshot(c Charge) *eventsv1.Charge {
	body := &eventsv1.Charge{
		ChargeId: c.ID.String(), Tenant: c.Tenant, RecurrenceId: c.RecurrenceID, CustomerId: c.CustomerID, SellerId: c.SellerID,
		CardId: c.CardID.String(), RunId: c.RunID.String(), Cycle: c.Cycle.Date.String(), ChargeDate: c.Cycle.ChargeOn.String(),
		Amount: MoneyProto(c.Amount), Gateway: c.Gateway, State: string(c.State), PreviousState: string(c.Previous),
		Reason: ReasonProto(c.Reason), Attempt: int32(c.Attempt), ProviderReference: c.Reference, Tries: int32(c.Tries),
		FirstAttemptDate: c.FirstAttempt.String(), NominalTime: timestamppb.New(c.NominalTime),
	}
	if c.State == charge.FailedSoft && !c.Send.Wanted() { // what is to be sent anyway does not wait for its retry
		body.RetryOn = c.RetryOn.String()
	}
	if c.Fee != nil {
		body.Fee = MoneyProto(*c.Fee)
	}
	body.Refunded, body.Disputed, body.ChargedBack = TakenBackProto(c.TakenBack, c.Amount.Currency)
	return body
}

// TakenBackProto is what was taken back of a charge, on the wire; nothing is nil.
func TakenBackProto(t charge.TakenBack, in money.Currency) (refunded, disputed, chargedBack *eventsv1.Money) {
	some := func(minor int64) *eventsv1.Money {
		if minor == 0 {
			return nil
		}
		return MoneyProto(money.Amount{Minor: minor, Currency: in})
	}
	return some(t.Refunded), some(t.Disputed), some(t.ChargedBack)
}

// CardSnapshot is the body of a card's events.
func CardSnapshot(c Card) *eventsv1.Card {
	return &eventsv1.Card{
		CardId: c.ID.String(), Tenant: c.Tenant, Brand: c.Brand, State: c.State, PreviousState: c.Previous,
		Reason: ReasonProto(c.Reason), Failures: int32(c.Failures),
	}
}

// ReasonProto is a reason on the wire; none is nil.
func ReasonProto(r Reason) *eventsv1.Reason {
	if r == (Reason{}) {
		return nil
	}
	return &eventsv1.Reason{Class: r.Class, Scope: r.Scope, Code: r.Code, ProviderCode: r.ProviderCode}
}

// MoneyProto is an amount on the wire.
func MoneyProto(a money.Amount) *eventsv1.Money {
	return &eventsv1.Money{Minor: a.Minor, Currency: string(a.Currency)}
}
