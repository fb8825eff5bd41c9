package stream_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

var services = []string{"scheduler", "payouts", "recurrences", "notifier"}

// refused reports whether the server says no to a publication.
func refused(t *testing.T, nc *nats.Conn, subject string) bool {
	t.Helper()
	if err := nc.Publish(subject, []byte("{}")); err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	err := nc.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), fmt.Sprintf("%q", subject))
}

// deaf reports whether the server says no to a subscription.
func deaf(t *testing.T, nc *nats.Conn, subject string) bool {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	_, err = sub.NextMsg(5 * time.Second) // the refusal comes at once; silence would be a right
	return errors.Is(err, nats.ErrPermissionViolation)
}

// others are all services but one.
func others(service string) []string {
	return slices.DeleteFunc(slices.Clone(services), func(s string) bool { return s == service })
}

// foreign are subjects that would act in the name of another service, or on what is everybody's.
func foreign(service string) []string {
	subjects := []string{
		"agogo", "agogo.evt.lebenis", "nudge.outbox." + service, "$SYS.REQ.SERVER.PING", "_INBOX_" + service + ".made-up",
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.CREATE.MINE", "$JS.API.ACCOUNT.PURGE.x",
		// A consumer of everybody's events, in the old way of asking and in the new ones.
		"$JS.API.CONSUMER.CREATE.EVENTS", "$JS.API.CONSUMER.CREATE.EVENTS.mine", "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.mine",
		"$JS.API.CONSUMER.CREATE.EVENTS.mine.agogo.evt.>", "$JS.API.CONSUMER.CREATE.EVENTS.mine.agogo.evt.*.*.>", "$JS.API.CONSUMER.CREATE.EVENTS.mine.>",
		"$JS.API.CONSUMER.CREATE.AUDIT.mine.agogo.audit.*." + service, "$JS.API.DIRECT.GET.AUDIT", "$JS.API.DIRECT.GET.EVENTS.agogo.evt.lebenis",
	}
	for _, s := range []string{stream.Ticks, stream.Commands, stream.Events, stream.Audit, stream.DLQ, stream.Advisories} {
		for _, verb := range []string{"UPDATE", "DELETE", "PURGE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN", "PEER.REMOVE", "MSG.GET"} {
			subjects = append(subjects, "$JS.API.STREAM."+verb+"."+s)
		}
		subjects = append(subjects, "$JS.API.CONSUMER.NAMES."+s, "$JS.API.CONSUMER.LIST."+s)
	}
	if service != "scheduler" {
		subjects = append(subjects, "agogo.tick.lebenis."+service+".daily", "$JS.API.DIRECT.GET.DLQ", "$JS.API.STREAM.MSG.DELETE.DLQ",
			"$JS.API.STREAM.MSG.DELETE.COMMANDS", "$JS.API.DIRECT.GET.EVENTS", "$JS.API.STREAM.INFO.COMMANDS", "$JS.API.CONSUMER.CREATE.DLQ.mine.agogo.dlq.>")
	}
	for _, o := range others(service) {
		subjects = append(subjects, "agogo.evt.lebenis."+o+".payout.succeeded.p00", "agogo.audit.lebenis."+o, "agogo.cmd."+o+".exec.p00",
			"$JS.API.CONSUMER.CREATE.EVENTS.mine.agogo.evt.*."+o+".>")
		if service != "scheduler" {
			subjects = append(subjects, "agogo.cmd."+o+".replay.p00", "agogo.dlq."+o+".COMMANDS."+o+"-exec")
		}
	}
	return append(subjects, foreignConsumers(service)...)
}

// foreignConsumers are the ways to take a message away from a consumer of somebody else's, or to change any.
func foreignConsumers(service string) (subjects []string) {
	for _, c := range stream.Consumers() {
		at := c.Stream + "." + c.Durable
		subjects = append(subjects, "$JS.API.CONSUMER.CREATE."+at, "$JS.API.CONSUMER.CREATE."+at+".agogo.evt.*."+service+".>",
			"$JS.API.CONSUMER.DELETE."+at, "$JS.API.CONSUMER.PAUSE."+at, "$JS.API.CONSUMER.RESET."+at, "$JS.API.CONSUMER.LEADER.STEPDOWN."+at)
		if c.Service == service || c.Durable == stream.DLQKeeper && service == "scheduler" {
			continue
		}
		subjects = append(subjects, "$JS.API.CONSUMER.MSG.NEXT."+at, "$JS.ACK."+at+".1.1.1.1.1", "$JS.API.CONSUMER.UNPIN."+at)
	}
	return subjects
}

// listened are subjects that would show what is not said to the service.
func listened(service string) []string {
	subjects := []string{">", "agogo.>", "agogo.evt.>", "agogo.evt.*." + service + ".>", "agogo.cmd." + service + ".>", "agogo.tick.>", "$JS.>", "$SYS.>", "_INBOX.>", "_INBOX_auditor.>"}
	for _, o := range others(service) {
		subjects = append(subjects, "_INBOX_"+o+".>")
	}
	return subjects
}

func TestSchedulerHasNoRightsButItsOwn(t *testing.T)   { noRightsButItsOwn(t, "scheduler") }
func TestPayoutsHasNoRightsButItsOwn(t *testing.T)     { noRightsButItsOwn(t, "payouts") }
func TestRecurrencesHasNoRightsButItsOwn(t *testing.T) { noRightsButItsOwn(t, "recurrences") }
func TestNotifierHasNoRightsButItsOwn(t *testing.T)    { noRightsButItsOwn(t, "notifier") }

func noRightsButItsOwn(t *testing.T, service string) {
	t.Parallel()
	nc := natstest.Provisioned(t).As(t, service)
	for _, subject := range foreign(service) {
		if !refused(t, nc, subject) {
			t.Errorf("%s may publish to %s", service, subject)
		}
	}
	for _, subject := range listened(service) {
		if !deaf(t, nc, subject) {
			t.Errorf("%s may subscribe to %s", service, subject)
		}
	}
	// Each of its own rights is one, or the refusals above would show nothing but a user that may do nothing.
	for _, subject := range []string{"agogo.evt.lebenis." + service + ".run.started.p00", "agogo.audit.lebenis." + service, "agogo.dlq." + service + ".EVENTS.x"} {
		if refused(t, nc, subject) {
			t.Errorf("%s may not publish to %s", service, subject)
		}
	}
	if deaf := deafTo(t, nc, "_INBOX_"+service+".x"); deaf {
		t.Errorf("%s may not hear its answers", service)
	}
}

// deafTo is deaf for a subject that something is said on.
func deafTo(t *testing.T, nc *nats.Conn, subject string) bool {
	t.Helper()
	sub, err := nc.SubscribeSync(subject)
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	return errors.Is(nc.LastError(), nats.ErrPermissionViolation) && strings.Contains(nc.LastError().Error(), fmt.Sprintf("%q", subject))
}

// A service reads again what it has told, and only that; the consumer that it does this with goes away again.
func TestAServiceReadsItsOwnHistoryAlone(t *testing.T) {
	t.Parallel()
	n := natstest.Provisioned(t)
	for i := range 3 {
		publish(t, n.JS, "agogo.evt.lebenis.payouts.payout.created.p00", fmt.Sprint("payout", i))
		publish(t, n.JS, "agogo.evt.lebenis.recurrences.charge.due.p00", fmt.Sprint("charge", i))
	}
	js := mustJetStream(t, n.As(t, "payouts"))
	var got []string
	read := func(filter string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return stream.History(ctx, js, stream.Events, jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}}, func(m jetstream.Msg) error {
			got = append(got, m.Headers().Get(jetstream.MsgIDHeader))
			return nil
		})
	}
	if err := read("agogo.evt.*.payouts.>"); err != nil || !slices.Equal(got, []string{"payout0", "payout1", "payout2"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := read("agogo.evt.*.recurrences.>"); err == nil {
		t.Errorf("the events of another service were read: %v", got)
	}
}

func TestTheProvisionerCanProvisionAndTheAuditorRead(t *testing.T) {
	t.Parallel()
	n := natstest.Server(t)
	provisioner := n.As(t, stream.Provisioner)
	for range 2 {
		if err := stream.Provision(t.Context(), mustJetStream(t, provisioner), stream.Options{Replicas: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range []string{"agogo.evt.lebenis.payouts.run.started.p00", "agogo.cmd.payouts.exec.p00", "$JS.API.STREAM.DELETE.EVENTS", "$JS.API.STREAM.PURGE.EVENTS", "$JS.API.CONSUMER.MSG.NEXT.EVENTS.notifier"} {
		if !refused(t, provisioner, subject) {
			t.Errorf("the provisioner may publish to %s", subject)
		}
	}
	publish(t, n.JS, "agogo.evt.lebenis.payouts.payout.created.p00", "1")
	auditor, read := n.As(t, stream.Auditor), 0
	err := stream.History(t.Context(), mustJetStream(t, auditor), stream.Events, jetstream.OrderedConsumerConfig{}, func(jetstream.Msg) error { read++; return nil })
	if err != nil || read != 1 {
		t.Errorf("the auditor read %d, %v", read, err)
	}
	for _, subject := range append(foreignConsumers("nobody"), "agogo.evt.lebenis.payouts.run.started.p00", "$JS.API.STREAM.MSG.DELETE.EVENTS", "agogo.cmd.payouts.replay.p00") {
		if !refused(t, auditor, subject) {
			t.Errorf("the auditor may publish to %s", subject)
		}
	}
}
