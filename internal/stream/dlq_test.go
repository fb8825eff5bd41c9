package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

func deadLetters(t testing.TB, js jetstream.JetStream, service string) []stream.DeadLetter {
	t.Helper()
	var all []stream.DeadLetter
	for d, err := range stream.ListDeadLetters(t.Context(), js, service) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func TestPoisonGoesToDLQWholeAndTheStreamGoesOn(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(func(s *stream.ConsumerSpec) { s.Workers = 1 })
	workStream(t, js, s, 1)
	m := nats.NewMsg("agogo.cmd.test.do.p07")
	m.Data = []byte("\x00\xff poison")
	m.Header = nats.Header{"ce-id": {"id-1"}, "ce-type": {"com.agogo.payout.created.v1"}, "multi": {"a", "b"}}
	if _, err := js.PublishMsg(t.Context(), m, jetstream.WithMsgID("id-1#4")); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "agogo.cmd.test.do.p08", "healthy")
	healthy := make(chan struct{}, 1)
	told := make(chan stream.Message, 1)
	run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error {
		if m.ID == "id-1" {
			return fmt.Errorf("plan page: %w", stream.Permanent(errors.New("unknown\njob")))
		}
		healthy <- struct{}{}
		return nil
	}, stream.Deps{JS: js, Service: "test", DeadLettered: func(_ context.Context, m stream.Message, err error) error {
		told <- m
		if err == nil || !strings.Contains(err.Error(), "unknown") {
			t.Errorf("told of %v", err)
		}
		return nil
	}}))
	receive(t, "message after the poison", healthy)
	if m := receive(t, "word to the service", told); m.ID != "id-1" {
		t.Errorf("told of %q", m.ID)
	}
	await(t, "the work queue is empty", func() bool { return left(t, js, s.Stream) == 0 })

	list := deadLetters(t, js, "test")
	if len(list) != 1 || list[0].Data != nil {
		t.Fatalf("listed %+v", list)
	}
	got, err := stream.ShowDeadLetter(t.Context(), js, list[0].Seq)
	if err != nil {
		t.Fatal(err)
	}
	want := stream.DeadLetter{
		Seq: 1, Service: "test", Stream: "WORK", Consumer: "worker", Subject: "agogo.cmd.test.do.p07", OriginalSeq: 1, ID: "id-1",
		Reason: "plan page: unknown job", Deliveries: 1, Data: m.Data,
		Header: nats.Header{"ce-id": {"id-1"}, "ce-type": {"com.agogo.payout.created.v1"}, "multi": {"a", "b"}, "Nats-Msg-Id": {"id-1#4"}},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(stream.DeadLetter{}, "At", "Published")); d != "" {
		t.Error(d)
	}
	if got.Published.IsZero() || got.At.Before(got.Published) || got.Type() != "com.agogo.payout.created.v1" {
		t.Errorf("published %v, died %v, type %q", got.Published, got.At, got.Type())
	}
	if len(deadLetters(t, js, "other")) != 0 || len(deadLetters(t, js, "")) != 1 {
		t.Error("lists are not by service")
	}
}

func TestAMessageThatFailsTooOftenDiesBeforeTheServerGivesUp(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(func(s *stream.ConsumerSpec) {
		s.MaxDeliver, s.BackOff = 5, []time.Duration{300 * time.Millisecond}
	})
	workStream(t, js, s, 1)
	publish(t, js, "agogo.cmd.test.do.p00", "sick")
	var last atomic.Int32
	died := make(chan struct{}, 1)
	run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error {
		last.Store(int32(m.Delivered))
		return errors.New("still sick")
	}, stream.Deps{JS: js, Service: "test", DeadLettered: func(context.Context, stream.Message, error) error { died <- struct{}{}; return nil }}))
	receive(t, "death", died)
	if n := last.Load(); n != 4 {
		t.Errorf("given up at delivery %d", n)
	}
	await(t, "the work queue is empty", func() bool { return left(t, js, s.Stream) == 0 })
}

// Term deletes from a work queue: without its copy the message would be gone.
func TestWithoutACopyNothingIsTerminated(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(func(s *stream.ConsumerSpec) { s.BackOff = []time.Duration{6 * time.Second} })
	workStream(t, js, s, 1)
	if err := js.DeleteStream(t.Context(), stream.DLQ); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "agogo.cmd.test.do.p00", "poison")
	tries := make(chan int, 20)
	run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error {
		tries <- m.Delivered
		return stream.Permanent(errors.New("poison"))
	}, stream.Deps{JS: js, Service: "test"}))
	receive(t, "first delivery", tries)
	receive(t, "second delivery", tries)
	if n := left(t, js, s.Stream); n != 1 {
		t.Fatalf("%d messages left without a copy", n)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream.DLQ, Subjects: []string{"agogo.dlq.>"}, AllowDirect: true}); err != nil {
		t.Fatal(err)
	}
	await(t, "the work queue is empty", func() bool { return left(t, js, s.Stream) == 0 })
	if list := deadLetters(t, js, "test"); len(list) != 1 {
		t.Errorf("%d dead letters", len(list))
	}
}

func TestAServiceThatCannotBeToldIsToldAgainAndTheCopyStaysSingle(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(nil)
	workStream(t, js, s, 1)
	publish(t, js, "agogo.cmd.test.do.p00", "poison")
	var told atomic.Int32
	run(t, stream.NewLoop(s, func(context.Context, stream.Message) error { return stream.Permanent(errors.New("poison")) },
		stream.Deps{JS: js, Service: "test", DeadLettered: func(context.Context, stream.Message, error) error {
			if told.Add(1) < 3 {
				return errors.New("database is away")
			}
			return nil
		}}))
	await(t, "the work queue is empty", func() bool { return left(t, js, s.Stream) == 0 })
	if list := deadLetters(t, js, "test"); len(list) != 1 || told.Load() != 3 {
		t.Errorf("%d dead letters, told %d times", len(list), told.Load())
	}
}

// dies takes every delivery of a consumer and never answers, as a process does that the message kills.
func dies(t *testing.T, js jetstream.JetStream, streamName, durable string, maxDeliver int) {
	t.Helper()
	c, err := js.Consumer(t.Context(), streamName, durable)
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.CachedInfo().Config
	cfg.BackOff, cfg.AckWait, cfg.MaxDeliver = []time.Duration{50 * time.Millisecond}, 50*time.Millisecond, maxDeliver
	if c, err = js.UpdateConsumer(t.Context(), streamName, cfg); err != nil {
		t.Fatal(err)
	}
	for range maxDeliver {
		if _, err := c.Next(jetstream.FetchMaxWait(patience)); err != nil {
			t.Fatal(err)
		}
	}
	// The server looks at what is due, and gives up, when somebody asks for more.
	if _, err := c.Next(jetstream.FetchMaxWait(time.Second)); !errors.Is(err, nats.ErrTimeout) {
		t.Fatalf("one more delivery: %v", err)
	}
}

func TestTheKeeperCatchesWhatKillsEveryProcess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream, consumer, subject, service string
		left                               uint64
	}{
		"command": {stream.Commands, stream.PayoutsExec, "agogo.cmd.payouts.plan.p03", "payouts", 0},
		"event":   {stream.Events, stream.Notifier, "agogo.evt.lebenis.payouts.payout.failed.p03", "notifier", 1}, // others still want it
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := natstest.Provisioned(t).JS
			publish(t, js, c.subject, "killer")
			dies(t, js, c.stream, c.consumer, 2)
			told, reg := make(chan stream.Message, 1), prometheus.NewRegistry()
			keeper := stream.NewKeeper(stream.Deps{JS: js, Service: "notifier", Registry: reg, DeadLettered: func(_ context.Context, m stream.Message, _ error) error {
				told <- m
				return nil
			}})
			want := map[string]float64{} // an alert must see each of them at 0 before it sees one
			for _, c := range stream.Consumers() {
				want[c.Durable] = 0
			}
			if d := cmp.Diff(want, counted(t, reg, "dead_lettered")); d != "" {
				t.Errorf("before anything died (-want +got):\n%s", d)
			}
			k := run(t, keeper)
			if m := receive(t, "word of the death", told); m.ID != "killer" || m.Stream != c.stream || string(m.Data) != "killer" || m.Delivered != 2 {
				t.Errorf("told of %+v", m)
			}
			await(t, "the advisory is handled", func() bool { return pending(t, js, stream.Advisories, stream.DLQKeeper) == 0 })
			if err := k.stop(); err != nil {
				t.Fatal(err)
			}
			want[c.consumer] = 1
			if d := cmp.Diff(want, counted(t, reg, "dead_lettered")); d != "" {
				t.Errorf("counted (-want +got):\n%s", d)
			}
			list := deadLetters(t, js, c.service)
			if len(list) != 1 || list[0].ID != "killer" || list[0].Subject != c.subject || list[0].Consumer != c.consumer ||
				!strings.Contains(list[0].Reason, "delivered 2 times") {
				t.Errorf("listed %+v", list)
			}
			if n := left(t, js, c.stream); n != c.left {
				t.Errorf("%d messages left in %s", n, c.stream)
			}
		})
	}
}

// counted are the deliveries that ended so, by consumer.
func counted(t *testing.T, reg *prometheus.Registry, result string) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "agogo_stream_deliveries_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["result"] == result {
				all[labels["consumer"]] = m.GetCounter().GetValue()
			}
		}
	}
	return all
}

func TestTheKeeperMakesNoSecondCopyOfWhatTheLoopBuried(t *testing.T) {
	t.Parallel()
	js := natstest.Provisioned(t).JS
	publish(t, js, "agogo.evt.lebenis.payouts.payout.failed.p03", "poison")
	loop := run(t, stream.NewLoop(stream.Consumer(stream.Notifier), func(context.Context, stream.Message) error {
		return stream.Permanent(errors.New("no template"))
	}, stream.Deps{JS: js, Service: "notifier"}))
	await(t, "the advisory is there", func() bool { return left(t, js, stream.Advisories) == 1 })
	if err := loop.stop(); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	run(t, stream.NewKeeper(stream.Deps{JS: js, Service: "notifier", Registry: reg, DeadLettered: func(context.Context, stream.Message, error) error {
		t.Error("told twice")
		return nil
	}}))
	await(t, "the advisory is handled", func() bool { return pending(t, js, stream.Advisories, stream.DLQKeeper) == 0 })
	if n := counted(t, reg, "dead_lettered")[stream.Notifier]; n != 0 {
		t.Errorf("%v counted of what the loop has counted", n)
	}
	if list := deadLetters(t, js, ""); len(list) != 1 || list[0].Reason != "no template" {
		t.Errorf("listed %+v", list)
	}
}

func TestTheKeeperLeavesOutsidersAlone(t *testing.T) {
	t.Parallel()
	js := natstest.Provisioned(t).JS
	publish(t, js, "agogo.evt.lebenis.payouts.payout.failed.p03", "killer")
	s := spec(func(s *stream.ConsumerSpec) { s.Stream, s.Durable, s.Filter = stream.Events, "auditor", nil })
	if _, err := js.CreateConsumer(t.Context(), stream.Events, s.Config()); err != nil {
		t.Fatal(err)
	}
	dies(t, js, stream.Events, "auditor", 2)
	run(t, stream.NewKeeper(stream.Deps{JS: js, Service: "notifier"}))
	await(t, "the advisory is handled", func() bool { return pending(t, js, stream.Advisories, stream.DLQKeeper) == 0 })
	if list := deadLetters(t, js, ""); len(list) != 0 {
		t.Errorf("listed %+v", list)
	}
}

// pending is how many messages a consumer has not finished; it must have begun with at least one.
func pending(t *testing.T, js jetstream.JetStream, streamName, durable string) int {
	t.Helper()
	c, err := js.Consumer(t.Context(), streamName, durable)
	if err != nil {
		t.Fatal(err)
	}
	info := c.CachedInfo()
	if info.Delivered.Stream == 0 {
		return 1
	}
	return int(info.NumPending) + info.NumAckPending
}

func TestReplayGivesTheMessageToTheHandlerWhereItDied(t *testing.T) {
	t.Parallel()
	js := natstest.Provisioned(t).JS
	m := nats.NewMsg("agogo.evt.lebenis.payouts.payout.failed.p03")
	m.Data = []byte("body")
	m.Header = nats.Header{"ce-id": {"e-1"}, "ce-correlationid": {"tick"}}
	// An expectation of the original's publish, which says nothing about COMMANDS.
	if _, err := js.PublishMsg(t.Context(), m, jetstream.WithMsgID("e-1"), jetstream.WithExpectLastSequence(0)); err != nil {
		t.Fatal(err)
	}
	var healed atomic.Bool
	handled := make(chan stream.Message, 1)
	events := func(_ context.Context, m stream.Message) error {
		if !healed.Load() {
			return stream.Permanent(errors.New("no template"))
		}
		handled <- m
		return nil
	}
	deps := stream.Deps{JS: js, Service: "notifier"}
	run(t, stream.NewLoop(stream.Consumer(stream.Notifier), events, deps))
	commands := func(context.Context, stream.Message) error {
		t.Error("a replay went to the handler of commands")
		return nil
	}
	run(t, stream.NewLoop(stream.Consumer(stream.NotifierExec), stream.Route(commands, map[string]stream.Handler{stream.Notifier: events}), deps))

	var first stream.DeadLetter
	await(t, "a dead letter", func() bool {
		list := deadLetters(t, js, "notifier")
		if len(list) == 1 {
			first = list[0]
		}
		return len(list) == 1
	})
	replay(t, js, first.Seq, "e-1#1") // dies again
	var second stream.DeadLetter
	await(t, "another dead letter", func() bool {
		list := deadLetters(t, js, "notifier")
		if len(list) == 1 {
			second = list[0]
		}
		return len(list) == 1 && second.Seq != first.Seq
	})
	if second.Consumer != stream.NotifierExec || second.ID != "e-1" {
		t.Errorf("the second one: %+v", second)
	}
	healed.Store(true)
	replay(t, js, second.Seq, "e-1#2")
	got := receive(t, "replayed message", handled)
	if got.ID != "e-1" || got.Subject != m.Subject || got.Stream != stream.Events || string(got.Data) != "body" || got.Header("ce-correlationid") != "tick" {
		t.Errorf("got %+v", got)
	}
	if want := (stream.Origin{Stream: stream.Events, Subject: m.Subject, Consumer: stream.Notifier}); got.Origin != want {
		t.Errorf("origin %+v", got.Origin)
	}
	await(t, "the work queue is empty", func() bool { return left(t, js, stream.Commands) == 0 })
	if list := deadLetters(t, js, ""); len(list) != 0 {
		t.Errorf("still listed: %+v", list)
	}
	if n := left(t, js, stream.Events); n != 1 {
		t.Errorf("%d events: others got it again", n)
	}
}

func replay(t *testing.T, js jetstream.JetStream, seq uint64, wantID string) {
	t.Helper()
	r, err := stream.Replay(t.Context(), js, seq)
	if err != nil {
		t.Fatal(err)
	}
	if r.MsgID != wantID || r.Already || !strings.HasPrefix(r.Subject, "agogo.cmd.notifier.replay.p") {
		t.Errorf("replayed %+v", r)
	}
	if _, err := stream.Replay(t.Context(), js, seq); !errors.Is(err, stream.ErrNotFound) {
		t.Errorf("replayed twice: %v", err)
	}
}

func TestAReplayOfSomethingTheServiceDoesNotHaveDies(t *testing.T) {
	t.Parallel()
	h := stream.Route(nil, map[string]stream.Handler{})
	err := h(t.Context(), stream.Message{
		Header: nats.Header{"agogo-replay-stream": {"EVENTS"}}.Get, Origin: stream.Origin{Stream: "EVENTS", Consumer: "gone"},
	})
	if err == nil || !strings.Contains(err.Error(), `consumer "gone"`) {
		t.Errorf("got %v", err)
	}
}

func TestDiscardRemovesOneDeadLetterForGood(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(nil)
	workStream(t, js, s, 1)
	for i := range 3 {
		publish(t, js, "agogo.cmd.test.do.p00", fmt.Sprint(i))
	}
	run(t, stream.NewLoop(s, func(context.Context, stream.Message) error { return stream.Permanent(errors.New("poison")) }, stream.Deps{JS: js, Service: "test"}))
	await(t, "three dead letters", func() bool { return len(deadLetters(t, js, "test")) == 3 })
	if err := stream.DiscardDeadLetter(t.Context(), js, 2); err != nil {
		t.Fatal(err)
	}
	if err := stream.DiscardDeadLetter(t.Context(), js, 2); !errors.Is(err, stream.ErrNotFound) {
		t.Errorf("discarded twice: %v", err)
	}
	if _, err := stream.ShowDeadLetter(t.Context(), js, 2); !errors.Is(err, stream.ErrNotFound) {
		t.Errorf("still shown: %v", err)
	}
	list := deadLetters(t, js, "")
	if len(list) != 2 || list[0].Seq != 1 || list[1].Seq != 3 {
		t.Errorf("listed %+v", list)
	}
}
