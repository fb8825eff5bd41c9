package notice

import (
	"strconv"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
)

// Payee is the snapshot of whom payouts go to.
type Payee struct {
	ID string
}

// decide adds up a day's pauses and changes of wallets: when a provider changes its rules, hundreds of payees are paused in one
// evening. Of another wallet the payee hears too, for it may not be theirs.
func (p Payee) decide(e Event) Decision {
	d := raise(e, e.localDate(), p.ID, Params{})
	if e.Type.Name() == "destination_changed" {
		d.Notices = []Notice{{
			Tenant: e.Tenant, Recipient: Recipient{Kind: ToPayee, ID: p.ID}, Kind: e.Type, Text: "payee.destination_changed.payee",
			SubjectID: p.ID, Order: e.Order, Cause: p.ID + "/" + string(e.Type) + "/" + strconv.FormatInt(e.Order, 10),
		}}
	}
	return d
}

// Tick is the snapshot of a firing that did not happen.
type Tick struct {
	ID, Service, Schedule string
}

func (t Tick) decide(e Event) Decision {
	where := t.Service + "/" + t.Schedule
	return raise(e, where+"@"+e.localDate(), t.ID, Params{Where: where})
}

// DeadLetter is the snapshot of a message that could not be handled.
type DeadLetter struct {
	Service, Consumer string
}

func (l DeadLetter) decide(e Event) Decision {
	return raise(e, l.Consumer+"@"+e.localDate(), l.Consumer, Params{Where: l.Consumer})
}

// Run is the snapshot of a job's execution.
type Run struct {
	ID, Job, LocalDate string
}

func (r Run) decide(e Event) Decision {
	return raise(e, r.ID, r.ID, Params{Where: r.Job, Period: r.LocalDate})
}

// Recon is a finding of reconciliation.
type Recon struct {
	ID string
}

func (r Recon) decide(e Event) Decision {
	return raise(e, e.localDate(), r.ID, Params{})
}

// Batch is the snapshot of a run's payouts as a whole.
type Batch struct {
	ID, PeriodDate string
}

func (b Batch) decide(e Event) Decision {
	s := state{event: e, scope: b.ID, subject: b.ID, params: Params{Period: b.PeriodDate}}
	return Decision{Changes: []Change{s.change("payout_batch.awaiting_approval"), s.change("payout_batch.paused")}}
}

// Provider is the snapshot of a tenant's connector.
type Provider struct {
	Name string
}

// decide keeps one alert for the worst that is true: a stopped connector is no longer only degraded.
func (p Provider) decide(e Event) Decision {
	s := state{event: e, scope: e.Service + "/" + p.Name, subject: p.Name, params: Params{Where: p.Name}}
	return Decision{Changes: []Change{s.change("provider.degraded"), s.change("provider.stopped")}}
}

// Float is the snapshot of the balance that pays payouts.
type Float struct {
	Provider          string
	Available, Needed money.Amount
}

func (f Float) decide(e Event) Decision {
	s := state{
		event: e, scope: f.Provider, subject: f.Provider,
		params: Params{Where: f.Provider, Amount: f.Available, Needed: f.Needed},
	}
	return Decision{Changes: []Change{s.change("float.low"), s.change("float.insufficient")}}
}

// raise counts one more into the alert of the event's own type.
func raise(e Event, scope, subject string, params Params) Decision {
	return Decision{Changes: []Change{{
		Key:       Key{Tenant: e.Tenant, Kind: e.Type, Scope: scope},
		SubjectID: subject,
		Count:     1,
		Params:    params,
	}}}
}

// state is an aggregate that is either in an alarming state or not.
type state struct {
	event          Event
	scope, subject string
	params         Params
}

// change opens the alert of a kind when the event is of that kind, and otherwise resolves it: the aggregate has moved on.
func (s state) change(kind event.Type) Change {
	c := Change{
		Key:       Key{Tenant: s.event.Tenant, Kind: kind, Scope: s.scope},
		SubjectID: s.subject,
		Order:     s.event.Order,
		Params:    s.params,
	}
	if s.event.Type == kind {
		c.Count = 1
	} else {
		c.Resolve = true
	}
	return c
}
