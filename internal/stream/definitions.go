package stream

import (
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/event"
)

const (
	mib = 1 << 20
	gib = 1 << 30
	day = 24 * time.Hour

	// maxMessage leaves room below the server's limit of 1 MiB, headers included, for what a dead letter adds to its copy.
	maxMessage = 1*mib - 32*1024

	// defaultEventsAge is long enough for the archiver to be down over a long weekend.
	defaultEventsAge = 14 * day
)

// Options are what differs between installations.
type Options struct {
	Replicas  int // 1 in dev, 3 in production
	EventsAge time.Duration
	MaxBytes  map[string]int64 // per stream; absent: the default
}

// check refuses options that JetStream would silently read as "without limit", or not understand.
func (o Options) check() error {
	if o.EventsAge != 0 && o.EventsAge < time.Hour {
		return fmt.Errorf("events age %s is under an hour; nothing could archive them in time", o.EventsAge)
	}
	known := streams(Options{})
	for name, b := range o.MaxBytes {
		if b <= 0 {
			return fmt.Errorf("max bytes of %s is %d; every stream needs a positive limit", name, b)
		}
		if !slices.ContainsFunc(known, func(s jetstream.StreamConfig) bool { return s.Name == name }) {
			return fmt.Errorf("max bytes is given for %q, which is no stream of Agogo", name)
		}
	}
	return nil
}

// streams are what [Provision] makes. Every stream but ADVISORIES discards new messages when it is full, so that the
// publisher learns of it and its outbox keeps what does not fit; the old ones are never thrown away for new ones.
// The sizes suit a laptop. Windows for duplicates cover how long a relay may be in doubt about an answer; the inbox guards
// what comes later.
func streams(o Options) []jetstream.StreamConfig {
	age := o.EventsAge
	if age == 0 {
		age = defaultEventsAge
	}
	all := []jetstream.StreamConfig{
		{
			Name: Ticks, Subjects: []string{"agogo.tick.>"}, MaxBytes: 256 * mib, MaxAge: 7 * day, Duplicates: day,
			Description: "what the scheduler fired, for the services that run it",
		},
		{
			Name: Commands, Subjects: []string{"agogo.cmd.>"}, MaxBytes: 2 * gib, Duplicates: 10 * time.Minute,
			Retention:   jetstream.WorkQueuePolicy, // without an age: that would drop work nobody has done yet
			Description: "pages of work of each service",
		},
		{
			Name: Events, Subjects: []string{"agogo.evt.>"}, MaxBytes: 4 * gib, MaxAge: age, Duplicates: 10 * time.Minute,
			DenyDelete: true, DenyPurge: true, Description: "every state change; audits subscribe here",
		},
		{
			Name: Audit, Subjects: []string{"agogo.audit.>"}, MaxBytes: 1 * gib, Duplicates: 10 * time.Minute,
			DenyDelete: true, DenyPurge: true, Description: "who did what, hash-chained per tenant and service",
		},
		{
			Name: DLQ, Subjects: []string{"agogo.dlq.>"}, MaxBytes: 512 * mib, MaxAge: 90 * day, Duplicates: day,
			Description: "full copies of what could not be handled",
		},
		{
			Name: Advisories, Subjects: []string{maxDeliveriesSubject + ".>", terminatedSubject + ".>"},
			MaxBytes: 64 * mib, MaxAge: 14 * day, Discard: jetstream.DiscardOld, Duplicates: 2 * time.Minute,
			Description: "JetStream's word that it gave a message up",
		},
	}
	for i := range all {
		s := &all[i]
		s.Replicas, s.Storage, s.AllowDirect = max(o.Replicas, 1), jetstream.FileStorage, true
		s.MaxMsgs, s.MaxMsgsPerSubject, s.MaxConsumers, s.MaxMsgSize = -1, -1, -1, -1
		if s.Name != Advisories {
			s.Discard = jetstream.DiscardNew
		}
		if s.Name != Advisories && s.Name != DLQ {
			s.MaxMsgSize = maxMessage
		}
		if b, ok := o.MaxBytes[s.Name]; ok {
			s.MaxBytes = b
		}
	}
	return all
}

// ConsumerSpec is a durable pull consumer as data.
type ConsumerSpec struct {
	Stream     string
	Durable    string
	Service    string // whose dead letters its messages become
	Filter     []string
	BackOff    []time.Duration // BackOff[0] is the AckWait
	MaxDeliver int
	// MaxAckPending bounds what is not answered in all processes together, and what failed there and waits to come again. It is [Apart] times
	// Workers or more, or a few processes that hang would hold all that may be delivered, and the others get nothing.
	MaxAckPending int
	Workers       int  // handlers at once in one process
	Heartbeat     bool // InProgress while the handler runs
}

// Apart is how many times the workers of one process MaxAckPending is at least. One that hangs holds as many messages as it has workers, and again some
// of those that it failed to handle: they count until they come again.
const Apart = 4

// Handling is how long a handler may take: what is left of AckWait is for its answer, or for a dead letter. One that heartbeats may go on for longer.
func (s ConsumerSpec) Handling() time.Duration { return handling(s.BackOff[0], s.Heartbeat) }

func handling(ackWait time.Duration, heartbeat bool) time.Duration {
	if heartbeat {
		return maxHandling
	}
	return ackWait * 8 / 10
}

// Config is the consumer as JetStream knows it.
func (s ConsumerSpec) Config() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name: s.Durable, Durable: s.Durable, FilterSubjects: s.Filter, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: s.BackOff[0], BackOff: s.BackOff, MaxDeliver: s.MaxDeliver,
		MaxAckPending: s.MaxAckPending,
	}
}

// Durable names of consumers.
const (
	PayoutsTicks     = "payouts-ticks"
	PayoutsExec      = "payouts-exec"
	RecurrencesTicks = "recurrences-ticks"
	RecurrencesExec  = "recurrences-exec"
	SchedulerRuns    = "scheduler-runs"
	SchedulerExec    = "scheduler-exec"
	Notifier         = "notifier"
	NotifierExec     = "notifier-exec"
	DLQKeeper        = "dlq-keeper"
)

// Consumers lists every durable consumer of the system; Consumer finds one by name.
func Consumers() []ConsumerSpec {
	return []ConsumerSpec{
		ticks(PayoutsTicks, "payouts"),
		exec(PayoutsExec, "payouts"),
		ticks(RecurrencesTicks, "recurrences"),
		exec(RecurrencesExec, "recurrences"),
		{
			Stream: Events, Durable: SchedulerRuns, Service: "scheduler", Filter: []string{"agogo.evt.*.*.run.>"},
			BackOff: minutes(.5, 1, 5, 15), MaxDeliver: 20, MaxAckPending: 256, Workers: 4,
		},
		exec(SchedulerExec, "scheduler"), // replays only, so far
		{
			Stream: Events, Durable: Notifier, Service: "notifier", Filter: eventFilters(
				"payout.awaiting_approval", "payout.held", "payout.rejected", "payout.processing", "payout.succeeded", "payout.failed", "payout.outcome_unknown", "payout.manual_review_opened",
				"payout.approved", "payout.reversed", "payout_batch.paused", "payout_batch.resumed", "payout_batch.completed",
				"payout_batch.partially_completed", "payout_batch.cancelled", "payout_batch.awaiting_approval",
				"payout_batch.approved", "payout_batch.rejected", "payee.paused", "payee.destination_changed", "tick.missed", "run.failed",
				"event.dead_lettered", "recon.mismatch_found", "float.low", "float.insufficient", "float.restored",
				"provider.stopped", "provider.degraded", "provider.recovered",
				"charge.processing", "charge.succeeded", "charge.failed", "charge.exhausted", "charge.requires_action",
				"charge.outcome_unknown", "charge.manual_review_opened", "charge.refunded", "charge.disputed", "card.invalidated", "recurrence.held",
				"recurrence.cycle_missed", "hold_digest.created"),
			BackOff: minutes(.5, 1, 5, 30), MaxDeliver: 15, MaxAckPending: 4000,
			// What a busy moment brings is taken as it comes: a consumer that lags costs the server more with every message, for it looks for the next one
			// among all subjects of a block then. Handlers wait for one transaction together, so they cost no connections.
			Workers: 1000,
		},
		exec(NotifierExec, "notifier"), // replays only, so far
		{
			Stream: Advisories, Durable: DLQKeeper, Service: "dlq", BackOff: minutes(.5, 1), MaxDeliver: 10,
			MaxAckPending: 100, Workers: 2,
		},
	}
}

// Consumer finds a spec by durable name and panics when there is none: names are constants of the code.
func Consumer(durable string) ConsumerSpec {
	s, ok := consumer(durable)
	if !ok {
		panic(fmt.Sprintf("stream: no consumer %q in Consumers()", durable))
	}
	return s
}

func consumer(durable string) (ConsumerSpec, bool) {
	all := Consumers()
	i := slices.IndexFunc(all, func(s ConsumerSpec) bool { return s.Durable == durable })
	if i < 0 {
		return ConsumerSpec{}, false
	}
	return all[i], true
}

// ticks takes a service's ticks; it only writes rows and commands.
func ticks(durable, service string) ConsumerSpec {
	return ConsumerSpec{
		Stream: Ticks, Durable: durable, Service: service, Filter: []string{"agogo.tick.*." + service + ".>"},
		BackOff: minutes(.5, 1, 5, 15), MaxDeliver: 20, MaxAckPending: 64, Workers: 4,
	}
}

// exec takes a service's commands and replayed dead letters; it may call providers, hence the heartbeat.
func exec(durable, service string) ConsumerSpec {
	return ConsumerSpec{
		Stream: Commands, Durable: durable, Service: service, Filter: []string{"agogo.cmd." + service + ".>"},
		BackOff: minutes(1, 2, 10, 30), MaxDeliver: 20, MaxAckPending: 2000, Workers: 16, Heartbeat: true,
	}
}

func eventFilters(types ...event.Type) []string {
	filters := make([]string, len(types))
	for i, t := range types {
		filters[i] = "agogo.evt.*.*." + t.Aggregate() + "." + t.Name() + ".*"
	}
	return filters
}

func minutes(ms ...float64) []time.Duration {
	ds := make([]time.Duration, len(ms))
	for i, m := range ms {
		ds[i] = time.Duration(m * float64(time.Minute))
	}
	return ds
}
