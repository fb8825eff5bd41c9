package notice

import (
	"slices"
	"strconv"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
)

// Charge is the snapshot of one cycle's charge.
type Charge struct {
	ID, CustomerID, RunID string
	SellerID              string
	Cycle                 string // local date
	PreviousState         string
	Class, Scope, Code    string // of the reason
	Amount                money.Amount
	Reversal              money.Amount // of the one refund or dispute that the event is about
	Refunded              money.Amount // in all
	Attempt               int32
	RetryOn               string // local date of the next automatic try, "" when there is none
}

func (c Charge) decide(e Event) Decision {
	d := Decision{Changes: c.left(e)}
	switch e.Type.Name() {
	case "outcome_unknown", "manual_review_opened":
		d.Changes = append(d.Changes, c.change(e, e.Type, 1))
	case "failed":
		if text := c.failure(); text != "" {
			d.Notices = append(d.Notices, c.toCustomer(e, text))
		}
	case "exhausted":
		if c.PreviousState != "due" && (c.Code == codeRetriesOver || !c.unasked()) { // due: it came too late, and his card was never asked
			d.Notices = append(d.Notices, c.toCustomer(e, string(e.Type)))
		}
	case "succeeded", "requires_action":
		d.Notices = append(d.Notices, c.toCustomer(e, string(e.Type)))
	case "refunded":
		d.Notices = append(d.Notices, c.refund(e))
	case "disputed":
		if !slices.Contains([]string{codeDisputeOpened, codeDisputeLost, codeDisputeWon}, c.Code) {
			break // a later service's word
		}
		d.Notices, d.Changes = append(d.Notices, c.toSeller(e)), append(d.Changes, c.dispute(e))
	}
	return d
}

// refund tells the customer of what came back. Each total is told once.
func (c Charge) refund(e Event) Notice {
	n := c.toCustomer(e, string(e.Type))
	n.Cause = c.ID + "/" + string(e.Type) + "/" + strconv.FormatInt(c.Refunded.Minor, 10)
	n.Params.Amount = c.Reversal
	return n
}

// toSeller tells the seller, whose money it is, that a dispute began or how it ended.
func (c Charge) toSeller(e Event) Notice {
	return Notice{
		Tenant: e.Tenant, Recipient: Recipient{Kind: ToSeller, ID: c.SellerID}, Kind: e.Type, Text: "charge." + c.Code, SubjectID: c.ID, Order: e.Order,
		Cause:  c.ID + "/" + string(e.Type) + "/" + strconv.FormatInt(e.Order, 10),
		Params: Params{Amount: c.Reversal, Period: c.Cycle},
	}
}

// dispute counts disputes that are open: operators answer the issuer in time, or lose.
func (c Charge) dispute(e Event) Change {
	n := int64(-1)
	if c.Code == codeDisputeOpened {
		n = 1
	}
	return counted(e, e.Type, c.RunID, n, c.Reversal)
}

// The reasons of charge.disputed: a dispute began, or ended.
const (
	codeDisputeOpened = "dispute_opened"
	codeDisputeLost   = "dispute_lost"
	codeDisputeWon    = "dispute_won"
)

// failure chooses words by what the customer can do: nothing, give another card, or ask. A retry that never left, or
// that was refused for our own sake, is no failure of theirs, nor is what people found not to be charged: no card said no to it. The last
// decline is told by charge.exhausted, which follows it.
func (c Charge) failure() string {
	switch {
	case c.unasked(), c.Code == "voided", c.Code == "refunded": // these two were paid and given back
		return ""
	case c.Code == "either_card": // it may have been the card that was replaced, and the new one is tried at once
		return ""
	case c.RetryOn != "":
		return "charge.failed.retry"
	case c.Class == "REJECTED_RETRYABLE":
		return ""
	case c.Scope == "card":
		return "charge.failed.card"
	default:
		return "charge.failed"
	}
}

// codeRetriesOver is the reason of what is exhausted though its card was asked. Where it never said no that has the code of the last attempt.
const codeRetriesOver = "retries_over"

// unasked reports whether the attempt asked no card: it never left, was refused for our own sake, or people found that nothing was charged.
func (c Charge) unasked() bool {
	return c.Class == "NOT_SENT" || c.Scope == "provider" || c.Code == "resolved_not_paid"
}

// toCustomer tells the customer; the cause is that of [Payout.toPayee].
func (c Charge) toCustomer(e Event, text string) Notice {
	return Notice{
		Tenant:    e.Tenant,
		Recipient: Recipient{Kind: ToCustomer, ID: c.CustomerID},
		Kind:      e.Type,
		Text:      text,
		SubjectID: c.ID,
		Order:     e.Order,
		Cause:     c.ID + "/" + string(e.Type) + "/" + strconv.Itoa(int(c.Attempt)),
		Params:    Params{Amount: c.Amount, Period: c.Cycle, RetryOn: c.RetryOn},
	}
}

// The kinds of alerts about charges. Leaving one of these states closes what entering it opened.
const (
	unknownCharge  event.Type = "charge.outcome_unknown"
	chargeInReview event.Type = "charge.manual_review_opened"
)

func (c Charge) left(e Event) []Change {
	switch c.PreviousState {
	case "unknown":
		return []Change{c.change(e, unknownCharge, -1)}
	case "manual_review":
		return []Change{c.change(e, chargeInReview, -1)}
	default:
		return nil
	}
}

func (c Charge) change(e Event, kind event.Type, n int64) Change {
	return counted(e, kind, c.RunID, n, c.Amount)
}

// Recurrence is the snapshot of an agreement to charge.
type Recurrence struct {
	ID, CustomerID, CardID string
	Code                   string // of the reason
	Cycle                  string
	Amount                 money.Amount
}

// codeCardInvalid is the reason of a hold that no charge of the recurrence tells about: its card failed elsewhere.
const codeCardInvalid = "card_invalid"

// decide tells the customer whose card is of no use any more, once per card however many recurrences it carries, and the
// operators what was missed.
func (r Recurrence) decide(e Event) Decision {
	switch {
	case e.Type.Name() == "cycle_missed":
		return raise(e, e.localDate(), r.ID, Params{})
	case r.Code != codeCardInvalid:
		return Decision{}
	}
	return Decision{Notices: []Notice{{
		Tenant:    e.Tenant,
		Recipient: Recipient{Kind: ToCustomer, ID: r.CustomerID},
		Kind:      e.Type,
		Text:      string(e.Type),
		SubjectID: r.ID,
		Order:     e.Order,
		Cause:     r.CardID + "/" + string(e.Type),
		Params:    Params{Amount: r.Amount},
	}}}
}

// Card is the snapshot of a tokenised card.
type Card struct {
	ID string
}

// decide adds up a day's cards: when an issuer has a bad day, many become invalid at once.
func (c Card) decide(e Event) Decision {
	return raise(e, e.localDate(), c.ID, Params{})
}

// Digest is what a seller hears of on a local date.
type Digest struct {
	ID, SellerID, LocalDate string
	Count                   int64
	Total                   money.Amount
}

func (d Digest) decide(e Event) Decision {
	return Decision{Notices: []Notice{{
		Tenant:    e.Tenant,
		Recipient: Recipient{Kind: ToSeller, ID: d.SellerID},
		Kind:      e.Type,
		Text:      string(e.Type),
		SubjectID: d.ID,
		Order:     e.Order,
		Cause:     d.ID,
		Params:    Params{Amount: d.Total, Count: d.Count, Period: d.LocalDate},
	}}}
}
