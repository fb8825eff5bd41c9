package notice

import (
	"slices"
	"strconv"
	"time"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
)

// Payout is the snapshot of a payout.
type Payout struct {
	ID, PayeeID, RunID string
	PeriodDate         string
	PreviousState      string
	Scope              string // of the reason: payment, payee, card, float, provider
	Code               string
	Net                money.Amount
	Attempt            int32
	RetryAt            time.Time // zero: no automatic retry
}

// The kinds of alerts about payouts. Leaving one of these states closes what entering it opened.
const (
	unknownOutcome event.Type = "payout.outcome_unknown"
	manualReview   event.Type = "payout.manual_review_opened"
	awaiting       event.Type = "payout.awaiting_approval"
)

// needsPerson lists the causes of a hold that only people end. They are told by day: what leaves a hold does not say why it
// was in one.
func needsPerson() []string {
	return []string{"approval_expired", "destination_changed", "recipient_mismatch", "refused_often"}
}

func (p Payout) decide(e Event) Decision {
	d := Decision{Changes: p.left(e)}
	switch e.Type.Name() {
	case "processing", "succeeded":
		d.Notices = append(d.Notices, p.toPayee(e, string(e.Type)))
	case "failed":
		d.Notices = append(d.Notices, p.toPayee(e, p.failure()))
	case "held":
		if slices.Contains(needsPerson(), p.Code) {
			d.Changes = append(d.Changes, counted(e, e.Type, e.localDate(), 1, p.Net))
		}
	case "outcome_unknown", "manual_review_opened", "reversed", "awaiting_approval":
		d.Changes = append(d.Changes, p.change(e, e.Type, 1))
	}
	return d
}

// failure chooses words by what the payee can expect: another try, something to repair, or neither.
func (p Payout) failure() string {
	switch {
	case !p.RetryAt.IsZero():
		return "payout.failed.retry"
	case p.Scope == "payee":
		return "payout.failed.account"
	default:
		return "payout.failed"
	}
}

// toPayee tells the payee. The cause holds no event id: the same attempt reaching the same state again, by a lookup that
// went back and forth or by a restored backup that lived it twice, is no news.
func (p Payout) toPayee(e Event, text string) Notice {
	return Notice{
		Tenant:    e.Tenant,
		Recipient: Recipient{Kind: ToPayee, ID: p.PayeeID},
		Kind:      e.Type,
		Text:      text,
		SubjectID: p.ID,
		Order:     e.Order,
		Cause:     p.ID + "/" + string(e.Type) + "/" + strconv.Itoa(int(p.Attempt)),
		Params:    Params{Amount: p.Net, Period: p.PeriodDate, RetryAt: p.RetryAt},
	}
}

// left closes what the previous state had opened.
func (p Payout) left(e Event) []Change {
	switch p.PreviousState {
	case "unknown":
		return []Change{p.change(e, unknownOutcome, -1)}
	case "awaiting_approval":
		return []Change{p.change(e, awaiting, -1)}
	case "manual_review":
		return []Change{p.change(e, manualReview, -1)}
	default:
		return nil
	}
}

func (p Payout) change(e Event, kind event.Type, n int64) Change {
	return counted(e, kind, p.RunID, n, p.Net)
}

// counted counts one of a run into or out of its alert. Currencies never mix: each has an alert of its own.
func counted(e Event, kind event.Type, run string, n int64, amount money.Amount) Change {
	amount.Minor *= n
	return Change{
		Key:       Key{Tenant: e.Tenant, Kind: kind, Scope: run + "/" + string(amount.Currency)},
		SubjectID: run,
		Count:     n,
		Amount:    amount,
	}
}
