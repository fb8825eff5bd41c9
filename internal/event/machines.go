package event

// The state tables. docs/events is generated from them; every service moves its aggregates by them and by nothing else.
// A resolution emits the target state's event with its reason; a send that never left emits retry_scheduled.

// Machines lists every state table.
func Machines() []Machine {
	return []Machine{
		Tick, Schedule, Run, PayoutBatch, Payout, Payee, Provider, Float, Break, Recon,
		Recurrence, Charge, Card, HoldDigest, Notification, Device, WebhookDelivery, DeadLetter,
	}
}

// Tick is a firing of a schedule. Missed ones were due while nothing ran and lie outside the catch-up rule.
var Tick = Machine{Aggregate: "tick", Service: "scheduler", Body: "Tick", Transitions: []Transition{
	{"", "fired", "tick.fired", "due, caught up, or by hand"},
	{"", "missed", "tick.missed", "due during an outage and outside the catch-up window"},
	{"", "skipped", "tick.skipped", "due while paused, or collapsed into a later one by catch_up latest"},
	{"missed", "fired", "tick.fired", "by hand, later"},
	{"skipped", "fired", "tick.fired", "by hand, later"},
}}

// Schedule is a cron rule of a tenant.
var Schedule = Machine{Aggregate: "schedule", Service: "scheduler", Body: "Schedule", Transitions: []Transition{
	{"", "active", "schedule.created", "found in the tenants file or created by a person"},
	{"active", "active", "schedule.updated", "cron, zone, job or catch-up changed"},
	{"paused", "paused", "schedule.updated", "changed while paused"},
	{"active", "paused", "schedule.paused", "by a person, with a reason"},
	{"paused", "active", "schedule.resumed", "by a person"},
	{"active", "deleted", "schedule.deleted", "by a person, or gone from the tenants file"},
	{"paused", "deleted", "schedule.deleted", "by a person, or gone from the tenants file"},
	{"deleted", "active", "schedule.created", "back in the tenants file"},
}}

// Run is the execution of one tick by a service. It announces itself when it starts, not while it is queued.
var Run = Machine{Aggregate: "run", Service: "payouts, recurrences", Body: "Run", Transitions: []Transition{
	{"queued", "running", "run.started", "the tick was taken and the schedule's earlier runs are complete"},
	{"running", "completed", "run.completed", "planned, and nothing of it is approved, due or submitting except behind a pause, stop or provider fault"},
	{"running", "failed", "run.failed", "its planning cannot go on"},
	{"queued", "failed", "run.failed", "its job is not known here any more"},
	{"failed", "running", "run.started", "by a person: its planning goes on where it stopped"},
	{"queued", "completed", "run.completed", "cancelled by a person before it began"},
}}

// PayoutBatch is the set of payouts of one run. Its state is derived from its items and its stored control.
var PayoutBatch = Machine{Aggregate: "payout_batch", Service: "payouts", Body: "PayoutBatch", Transitions: []Transition{
	{"", "created", "payout_batch.created", "its run planned the first page"},
	{"created", "awaiting_approval", "payout_batch.awaiting_approval", "its sum reaches a batch tier, when it is planned or resumed"},
	{"awaiting_approval", "approved", "payout_batch.approved", "by an approver who did not request it"},
	{"awaiting_approval", "rejected", "payout_batch.rejected", "by an approver, with a reason"},
	{"awaiting_approval", "paused", "payout_batch.paused", "by a person, or the approval expired; resuming it asks again"},
	{"created", "paused", "payout_batch.paused", "by a person, failures passed the limit, or consecutive provider faults"},
	{"approved", "paused", "payout_batch.paused", "likewise"},
	{"paused", "created", "payout_batch.resumed", "by a person"},
	{"created", "completed", "payout_batch.completed", "every item is succeeded or skipped"},
	{"created", "partially_completed", "payout_batch.partially_completed", "every item is closed and some did not succeed"},
	{"approved", "completed", "payout_batch.completed", "every item is succeeded or skipped"},
	{"approved", "partially_completed", "payout_batch.partially_completed", "every item is closed and some did not succeed"},
	{"partially_completed", "completed", "payout_batch.completed", "the open or failed ones succeeded later"},
	{"partially_completed", "created", "payout_batch.resumed", "a failed item is tried again, or its run is planned further"},
	{"completed", "partially_completed", "payout_batch.partially_completed", "an item was reversed"},
	{"created", "cancelled", "payout_batch.cancelled", "by a person"},
	{"approved", "cancelled", "payout_batch.cancelled", "by a person"},
	{"paused", "cancelled", "payout_batch.cancelled", "by a person"},
	{"awaiting_approval", "cancelled", "payout_batch.cancelled", "by a person"},
	{"awaiting_approval", "created", "payout_batch.resumed", "its run is planned further; what was approved was less"},
	{"approved", "created", "payout_batch.resumed", "likewise"},
	{"completed", "created", "payout_batch.resumed", "likewise"},
}}

// Payout moves one sum to one payee (DESIGN 4).
var Payout = Machine{Aggregate: "payout", Service: "payouts", Body: "Payout", Transitions: []Transition{
	{"", "created", "payout.created", "planned: items claimed"},
	{"created", "skipped", "payout.skipped", "below minimum, no wallet, method not payable; items released"},
	{"created", "awaiting_approval", "payout.awaiting_approval", "its sum reaches an approval tier"},
	{"created", "approved", "payout.approved", "nothing in the way"},
	{"created", "held", "payout.held", "float, limit, payee paused, destination changed, provider stopped, tenant stop, by a person"},
	{"awaiting_approval", "approved", "payout.approved", "by an approver who did not request it"},
	{"awaiting_approval", "rejected", "payout.rejected", "refused with a reason; items released"},
	{"awaiting_approval", "held", "payout.held", "the approval expired"},
	{"held", "awaiting_approval", "payout.awaiting_approval", "cause gone, approval outstanding or expired"},
	{"held", "approved", "payout.released", "cause gone, approval given or not needed"},
	{"held", "held", "payout.held", "for another cause: its provider has spoken about the wallet, or has to be asked again"},
	{"held", "cancelled", "payout.cancelled", "by a person; items released"},
	{"held", "unknown", "payout.outcome_unknown", "its run was cancelled, and its provider had denied what was sent: asked anew, for it can neither go again nor be freed"},
	{"approved", "unknown", "payout.outcome_unknown", "likewise; or its provider denied it too long ago for the same reference to go again before it is asked anew"},
	{"approved", "processing", "payout.processing", "its provider has it from before a restore: taken over while nothing of it may be sent; a lookup tells its outcome"},
	{"held", "processing", "payout.processing", "likewise"},
	{"awaiting_approval", "processing", "payout.processing", "likewise"},
	{"approved", "submitting", "payout.submitting", "attempt and reference committed, before the call"},
	{"approved", "held", "payout.held", "any cause of created → held"},
	{"approved", "cancelled", "payout.cancelled", "by a person, while no attempt is open or possibly paid; items released"},
	{"submitting", "processing", "payout.processing", "the provider accepted it and has not finished"},
	{"submitting", "succeeded", "payout.succeeded", "the provider paid"},
	{"submitting", "approved", "payout.retry_scheduled", "never sent; the same reference goes again"},
	{"submitting", "held", "payout.held", "definite rejection of scope float or provider; the next attempt has the next number and is not counted"},
	{"submitting", "failed", "payout.failed", "the provider refused it"},
	{"submitting", "unknown", "payout.outcome_unknown", "ambiguous answer, crash or lost lease"},
	{"processing", "succeeded", "payout.succeeded", "lookup, or webhook then re-read"},
	{"processing", "failed", "payout.failed", "lookup, or webhook then re-read"},
	{"processing", "unknown", "payout.outcome_unknown", "the provider no longer knows it"},
	{"processing", "manual_review", "payout.manual_review_opened", "open longer than review_after; lookups go on"},
	{"unknown", "succeeded", "payout.succeeded", "lookup, webhook, statement"},
	{"unknown", "failed", "payout.failed", "lookup, webhook, statement"},
	{"unknown", "processing", "payout.processing", "lookup: the provider has it and has not finished"},
	{"unknown", "approved", "payout.approved", "proven never created and the provider deduplicates: same reference"},
	{"unknown", "manual_review", "payout.manual_review_opened", "open longer than review_after, or at once when only resending would help and the provider does not deduplicate; lookups go on"},
	{"manual_review", "succeeded", "payout.succeeded", "provider proof, or two people with evidence: paid"},
	{"manual_review", "failed", "payout.failed", "provider proof, or two people with evidence: not_paid; items released"},
	{"manual_review", "approved", "payout.approved", "two people with evidence: not_paid, pay again with the next reference"},
	{"failed", "approved", "payout.approved", "automatic after retry_after while attempts are left, or by a person who re-claims every item"},
	{"succeeded", "reversed", "payout.reversed", "late return; never reopened; items released"},
}}

// Payee is whom payouts go to.
var Payee = Machine{Aggregate: "payee", Service: "payouts", Body: "Payee", Transitions: []Transition{
	{"active", "paused", "payee.paused", "too many payee-scope failures in a row, or by a person"},
	{"paused", "active", "payee.resumed", "by a person"},
	{"active", "active", "payee.destination_changed", "an import changed the wallet"},
	{"paused", "paused", "payee.destination_changed", "an import changed the wallet"},
}}

// Provider is a tenant's connector to a provider.
var Provider = Machine{Aggregate: "provider", Service: "payouts, recurrences", Body: "Provider", Transitions: []Transition{
	{"open", "degraded", "provider.degraded", "consecutive provider faults"},
	{"degraded", "open", "provider.recovered", "a call succeeded again"},
	{"open", "stopped", "provider.stopped", "a fault that repeating makes worse (wrong credentials or PIN)"},
	{"degraded", "stopped", "provider.stopped", "likewise"},
	{"stopped", "open", "provider.recovered", "by a person, after repair"},
}}

// Float is the balance that pays payouts at a provider.
var Float = Machine{Aggregate: "float", Service: "payouts", Body: "Float", Transitions: []Transition{
	{"ok", "low", "float.low", "below what the next run is forecast to need"},
	{"ok", "insufficient", "float.insufficient", "the next in line is not covered, or was refused by the provider: what is due is held in order"},
	{"low", "insufficient", "float.insufficient", "the next in line is not covered, or was refused by the provider: what is due is held in order"},
	{"low", "ok", "float.restored", "covers the forecast and a fiftieth more, or was topped up where the balance is not known"},
	{"insufficient", "ok", "float.restored", "covers all that is due, or was topped up or drawn on where the balance is not known"},
}}

// Break is a payee's break time of a local date.
var Break = Machine{Aggregate: "break", Service: "payouts", Body: "Break", Transitions: []Transition{
	{"counted", "reset", "break.reset", "the local date changed"},
	{"reset", "reset", "break.reset", "the local date changed again"},
}}

// Recon is a finding of reconciliation.
var Recon = Machine{Aggregate: "recon", Service: "payouts, recurrences", Body: "Recon", Transitions: []Transition{
	{"", "mismatch", "recon.mismatch_found", "the provider contradicts a closed attempt, a terminal state or the books"},
	{"", "completed", "recon.completed", "a reconciliation ended"},
	{"mismatch", "resolved", "recon.resolved", "two people have said whose the money in suspense is"},
	{"", "resolved", "recon.resolved", "likewise, of a step that needed nobody and was not told"},
	{"resolved", "resolved", "recon.resolved", "the rest of it, or what came since"},
}}

// Recurrence charges a customer period after period (DESIGN 4).
var Recurrence = Machine{Aggregate: "recurrence", Service: "recurrences", Body: "Recurrence", Transitions: []Transition{
	{"", "active", "recurrence.activated", "imported or created"},
	{"", "past_due", "recurrence.past_due", "imported so, from the system it comes from"},
	{"", "hold", "recurrence.held", "imported so"},
	{"", "paused", "recurrence.paused", "imported so"},
	{"", "cancelled", "recurrence.cancelled", "imported so"},
	{"", "completed", "recurrence.completed", "imported so"},
	{"active", "past_due", "recurrence.past_due", "first failed attempt"},
	{"past_due", "active", "recurrence.resumed", "paid"},
	{"active", "hold", "recurrence.held", "hard decline, action needed, card invalid"},
	{"past_due", "hold", "recurrence.held", "retries over, hard decline, action needed, card invalid"},
	{"hold", "active", "recurrence.resumed", "new card charged, or by a person"},
	{"active", "paused", "recurrence.paused", "by a person"},
	{"past_due", "paused", "recurrence.paused", "by a person"},
	{"paused", "active", "recurrence.resumed", "by a person"},
	{"paused", "past_due", "recurrence.resumed", "by a person, with a charge still failing"},
	{"active", "cancelled", "recurrence.cancelled", "by a person"},
	{"past_due", "cancelled", "recurrence.cancelled", "by a person"},
	{"paused", "cancelled", "recurrence.cancelled", "by a person"},
	{"hold", "cancelled", "recurrence.cancelled", "by a person"},
	{"active", "completed", "recurrence.completed", "last cycle, or expired"},
	{"past_due", "completed", "recurrence.completed", "last cycle, or expired"},
	{"hold", "completed", "recurrence.completed", "expired"},
	{"paused", "completed", "recurrence.completed", "expired"},
	{"completed", "archived", "recurrence.archived", "180 days after its end"},
	{"cancelled", "archived", "recurrence.archived", "180 days after its end"},
	{"active", "active", "recurrence.cycle_missed", "a cycle too late to charge by itself"},
	{"past_due", "past_due", "recurrence.cycle_missed", "a cycle too late to charge by itself"},
	{"active", "active", "recurrence.payment_method_updated", "a new card"},
	{"past_due", "past_due", "recurrence.payment_method_updated", "a new card, before the charge of what is open"},
	{"paused", "paused", "recurrence.payment_method_updated", "a new card"},
	{"hold", "hold", "recurrence.payment_method_updated", "a new card, before its charge"},
}}

// Charge takes one cycle's amount from a card or account (DESIGN 4).
var Charge = Machine{Aggregate: "charge", Service: "recurrences", Body: "Charge", Transitions: []Transition{
	{"", "due", "charge.due", "its charge date came"},
	{"due", "submitting", "charge.submitting", "attempt and reference committed, before the call"},
	{"failed_soft", "submitting", "charge.submitting", "retry day"},
	{"exhausted", "submitting", "charge.submitting", "new card, or by a person"},
	{"failed_hard", "submitting", "charge.submitting", "new card, or by a person"},
	{"requires_action", "submitting", "charge.submitting", "new card, or by a person"},
	{"submitting", "succeeded", "charge.succeeded", "charged"},
	{"submitting", "processing", "charge.processing", "accepted, not finished"},
	{"submitting", "failed_soft", "charge.failed", "reversible decline, or a retry that never left, or a decline of a reference that went with two cards (either_card): it goes again with the newer one"},
	{"submitting", "failed_hard", "charge.failed", "irreversible decline"},
	{"submitting", "requires_action", "charge.requires_action", "the customer must act"},
	{"submitting", "unknown", "charge.outcome_unknown", "ambiguous answer, crash or lost lease"},
	{"submitting", "due", "charge.retry_scheduled", "never sent; the same reference goes again"},
	{"processing", "succeeded", "charge.succeeded", "lookup, or webhook then re-read"},
	{"processing", "failed_soft", "charge.failed", "likewise"},
	{"processing", "failed_hard", "charge.failed", "likewise"},
	{"processing", "manual_review", "charge.manual_review_opened", "open longer than review_after"},
	{"processing", "unknown", "charge.outcome_unknown", "the gateway no longer knows it"},
	{"unknown", "processing", "charge.processing", "lookup: the gateway has it and has not finished"},
	{"unknown", "succeeded", "charge.succeeded", "lookup"},
	{"unknown", "failed_soft", "charge.failed", "lookup; it re-enters the retries, or goes again at once under its reference where its gateway has denied it anew"},
	{"unknown", "exhausted", "charge.failed", "its gateway has denied it anew, and a person has it sent though its retries are over: the same reference goes again"},
	{"unknown", "failed_hard", "charge.failed", "lookup"},
	{"unknown", "manual_review", "charge.manual_review_opened", "open longer than review_after, or not resendable"},
	{"manual_review", "succeeded", "charge.succeeded", "provider proof, or two people with evidence"},
	{"manual_review", "failed_soft", "charge.failed", "likewise"},
	{"manual_review", "failed_hard", "charge.failed", "likewise"},
	{"failed_soft", "unknown", "charge.outcome_unknown", "to be sent, and its gateway denied it too long ago for the same reference to go again before it is asked anew"},
	{"exhausted", "unknown", "charge.outcome_unknown", "likewise"},
	{"failed_soft", "exhausted", "charge.exhausted", "retries over, or too late for the next one"},
	{"due", "exhausted", "charge.exhausted", "too late to be sent by itself"},
	{"due", "cancelled", "charge.cancelled", "by a person, or its recurrence has ended"},
	{"failed_soft", "cancelled", "charge.cancelled", "by a person, or its recurrence has ended"},
	{"requires_action", "cancelled", "charge.cancelled", "by a person, or its recurrence has ended"},
	{"succeeded", "succeeded", "charge.refunded", "lookup: more of it was refunded at the gateway; in part or in full, as its reason says"},
	{"succeeded", "succeeded", "charge.disputed", "lookup: the card holder disputes it; or the dispute was won or lost, as its reason says"},
}}

// Card is a tokenised card.
var Card = Machine{Aggregate: "card", Service: "recurrences", Body: "Card", Transitions: []Transition{
	{"valid", "invalid", "card.invalidated", "lost, stolen, expired, closed, or too many failures in a row"},
}}

// HoldDigest tells a seller what is on hold on a local date.
var HoldDigest = Machine{Aggregate: "hold_digest", Service: "recurrences", Body: "HoldDigest", Transitions: []Transition{
	{"", "created", "hold_digest.created", "18:00 tick; one per seller and local date"},
}}

// Notification is one message to one recipient.
var Notification = Machine{Aggregate: "notification", Service: "notifier", Body: "Notification", Transitions: []Transition{
	{"", "created", "notification.created", "an event that someone should hear of"},
	{"created", "delivered", "notification.delivered", "at least one device took the push"},
	{"", "suppressed", "notification.suppressed", "nothing to push to when it is written, or overtaken by newer word already: the database row is the message"},
	{"created", "suppressed", "notification.suppressed", "nothing is left to push to (its device went), or overtaken by newer word: the database row is the message"},
	{"created", "failed", "notification.failed", "no device took it"},
}}

// Device is a push token.
var Device = Machine{Aggregate: "device", Service: "notifier", Body: "Device", Transitions: []Transition{
	{"", "registered", "device.registered", "imported or registered"},
	{"registered", "removed", "device.removed", "the push service said the token is dead"},
	{"removed", "registered", "device.registered", "registered again"},
	{"registered", "registered", "device.registered", "platform, locale or user changed"},
}}

// WebhookDelivery is one delivery to a subscriber's endpoint.
var WebhookDelivery = Machine{Aggregate: "webhook_delivery", Service: "notifier", Body: "WebhookDelivery", Transitions: []Transition{
	{"pending", "succeeded", "webhook_delivery.succeeded", "2xx"},
	{"pending", "failed", "webhook_delivery.failed", "retries over"},
	{"failed", "disabled", "webhook_delivery.disabled", "the endpoint kept failing"},
}}

// DeadLetter is a message that could not be handled; any service may publish it.
var DeadLetter = Machine{Aggregate: "event", Service: "any", Body: "DeadLetter", Transitions: []Transition{
	{"", "dead_lettered", "event.dead_lettered", "permanent error, or too many deliveries"},
}}
