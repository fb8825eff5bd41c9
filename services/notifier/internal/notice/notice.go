// Package notice decides who hears what: it turns an event into messages for payees, customers and sellers, and into changes of the alerts that
// operators see. It does no I/O and keeps no state, so a repeated event leads to the same decision.
package notice

import (
	"maps"
	"slices"
	"time"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
)

// RecipientKind says what sort of person a recipient is.
type RecipientKind string

// Who can be told. An operator's devices are registered under the user id [Operators].
const (
	ToPayee    RecipientKind = "payee"
	ToCustomer RecipientKind = "customer"
	ToSeller   RecipientKind = "seller"
	ToOperator RecipientKind = "operator"
)

// Operators is the recipient of every alert of a tenant: whoever is on duty, not one person.
const Operators = "operators"

// Recipient is whom a notice is for.
type Recipient struct {
	Kind RecipientKind
	ID   string
}

// Notice is one message to one recipient, before it is put into words.
type Notice struct {
	Tenant    string
	Recipient Recipient
	Kind      event.Type // the event that it tells about
	Text      string     // key of the words, see [Texts]
	SubjectID string     // what it is about: a payout, a run, a provider
	// Order ranks notices of one subject to one recipient: the higher one knows more.
	Order int64
	// Cause is the reason for this notice in one key: the same cause is told once, however many events repeat it.
	Cause  string
	Params Params
	// Resolved marks the last word about an alert whose cause is gone.
	Resolved bool
}

// ID is the identity that the row, the push and the event share. It follows from the tenant, the recipient and the cause.
func (n Notice) ID() string {
	return event.UUID("notification", n.Tenant, string(n.Recipient.Kind), n.Recipient.ID, n.Cause).String()
}

// Params are the facts that the words may use. Each text uses those that [Texts] lists for it. There are no names among
// them: events carry none.
type Params struct {
	Amount  money.Amount
	Period  string // local date, YYYY-MM-DD
	RetryAt time.Time
	RetryOn string // local date
	Count   int64
	Where   string // provider, consumer, schedule or run, as operators call it
	Needed  money.Amount
}

// Texts lists every text by key with the parameters that it must use, in alphabetical order.
func Texts() []Text { return slices.Clone(texts) }

// Text is one entry of the catalogues.
type Text struct {
	Key    string
	Params []string
}

// The parameters of texts.
const (
	ParamAmount  = "Amount"
	ParamPeriod  = "Period"
	ParamRetryAt = "RetryAt"
	ParamRetryOn = "RetryOn"
	ParamCount   = "Count"
	ParamWhere   = "Where"
	ParamNeeded  = "Needed"
)

var texts = []Text{
	{Key: "card.invalidated", Params: []string{ParamCount}},
	{Key: "charge.dispute_lost", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "charge.dispute_opened", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "charge.dispute_won", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "charge.disputed", Params: []string{ParamAmount, ParamCount}},
	{Key: "charge.exhausted", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "charge.failed", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "charge.failed.card", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "charge.failed.retry", Params: []string{ParamAmount, ParamPeriod, ParamRetryOn}},
	{Key: "charge.manual_review_opened", Params: []string{ParamAmount, ParamCount}},
	{Key: "charge.outcome_unknown", Params: []string{ParamAmount, ParamCount}},
	{Key: "charge.refunded", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "charge.requires_action", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "charge.succeeded", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "event.dead_lettered", Params: []string{ParamCount, ParamWhere}},
	{Key: "float.insufficient", Params: []string{ParamAmount, ParamNeeded, ParamWhere}},
	{Key: "float.insufficient.refused", Params: []string{ParamWhere}},
	{Key: "float.low", Params: []string{ParamAmount, ParamNeeded, ParamWhere}},
	{Key: "hold_digest.created", Params: []string{ParamAmount, ParamCount, ParamPeriod}},
	{Key: "payee.destination_changed", Params: []string{ParamCount}},
	{Key: "payee.destination_changed.payee"},
	{Key: "payee.paused", Params: []string{ParamCount}},
	{Key: "payout.awaiting_approval", Params: []string{ParamAmount, ParamCount}},
	{Key: "payout.failed", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "payout.failed.account", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "payout.failed.retry", Params: []string{ParamAmount, ParamPeriod, ParamRetryAt}},
	{Key: "payout.held", Params: []string{ParamAmount, ParamCount}},
	{Key: "payout.manual_review_opened", Params: []string{ParamAmount, ParamCount}},
	{Key: "payout.outcome_unknown", Params: []string{ParamAmount, ParamCount}},
	{Key: "payout.processing", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "payout.reversed", Params: []string{ParamAmount, ParamCount}},
	{Key: "payout.succeeded", Params: []string{ParamAmount, ParamPeriod}},
	{Key: "payout_batch.awaiting_approval", Params: []string{ParamPeriod}},
	{Key: "payout_batch.paused", Params: []string{ParamPeriod}},
	{Key: "provider.degraded", Params: []string{ParamWhere}},
	{Key: "provider.stopped", Params: []string{ParamWhere}},
	{Key: "recon.mismatch_found", Params: []string{ParamCount}},
	{Key: "recurrence.cycle_missed", Params: []string{ParamCount}},
	{Key: "recurrence.held", Params: []string{ParamAmount}},
	{Key: "run.failed", Params: []string{ParamPeriod, ParamWhere}},
	{Key: "tick.missed", Params: []string{ParamCount, ParamWhere}},
}

// Event is what Decide looks at: the envelope's facts and the snapshot in the body.
type Event struct {
	ID       string // ce-id
	Type     event.Type
	Tenant   string
	Service  string
	Order    int64 // rises with every event of one aggregate, over restores too
	At       time.Time
	Zone     *time.Location // the tenant's
	Snapshot Snapshot
}

// localDate is the day on which the tenant's people saw the event happen.
func (e Event) localDate() string { return e.At.In(e.Zone).Format(time.DateOnly) }

// Snapshot is the state of an aggregate after an event. Each kind of aggregate knows who should hear of its events.
type Snapshot interface {
	decide(Event) Decision
}

// Decision is what an event leads to; the zero Decision is silence.
type Decision struct {
	Notices []Notice
	Changes []Change
}

// Decide says who hears what of an event.
func Decide(e Event) Decision {
	if !Heard(e.Type) {
		return Decision{}
	}
	return e.Snapshot.decide(e)
}

// Heard reports whether an event type can lead to anything; the others need not even be decoded.
func Heard(t event.Type) bool { return slices.Contains(heard[t.Aggregate()], t.Name()) }

// HeardTypes lists the event types of [Heard], sorted.
func HeardTypes() []event.Type {
	var types []event.Type
	for _, aggregate := range slices.Sorted(maps.Keys(heard)) {
		for _, name := range heard[aggregate] {
			types = append(types, event.Type(aggregate+"."+name))
		}
	}
	return types
}

// heard maps aggregates to their events. payout.approved and charge.processing say nothing to anybody, but they can end an
// unknown outcome.
var heard = map[string][]string{
	"card": {"invalidated"},
	"charge": {
		"disputed", "exhausted", "failed", "manual_review_opened", "outcome_unknown", "processing", "refunded", "requires_action", "succeeded",
	},
	"event":       {"dead_lettered"},
	"float":       {"insufficient", "low", "restored"},
	"hold_digest": {"created"},
	"payee":       {"destination_changed", "paused"},
	"payout": {
		"approved", "awaiting_approval", "failed", "held", "manual_review_opened", "outcome_unknown", "processing", "rejected", "reversed", "succeeded",
	},
	"payout_batch": {
		"approved", "awaiting_approval", "cancelled", "completed", "partially_completed", "paused", "rejected", "resumed",
	},
	"provider":   {"degraded", "recovered", "stopped"},
	"recon":      {"mismatch_found"},
	"recurrence": {"cycle_missed", "held"},
	"run":        {"failed"},
	"tick":       {"missed"},
}
