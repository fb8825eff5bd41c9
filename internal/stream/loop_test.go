package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

func TestEveryMessageIsHandledOnceAndAcknowledged(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(nil)
	workStream(t, js, s, 1)
	const n = 500
	for i := range n {
		publish(t, js, "agogo.cmd.test.do.p00", fmt.Sprint(i))
	}
	seen := newCounts(n)
	l := run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error { seen.add(m.ID); return nil }, stream.Deps{JS: js, Service: "test"}))
	receive(t, "last message", seen.whole)
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	for id, times := range seen.seen {
		if times != 1 {
			t.Errorf("message %s was handled %d times", id, times)
		}
	}
	await(t, "the work queue is empty", func() bool { return left(t, js, s.Stream) == 0 })
}

func TestTheMessageAndItsContextSayWhereItComesFrom(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(nil)
	workStream(t, js, s, 1)
	m := nats.NewMsg("agogo.cmd.test.do.p07")
	m.Data = []byte("body")
	m.Header = nats.Header{"ce-id": {"a%20b"}, "ce-correlationid": {"lebenis/payouts/daily@2025-01-24T23:59:00Z"}, "ce-actor": {"user:awa"}}
	if _, err := js.PublishMsg(t.Context(), m, jetstream.WithMsgID("a b#2")); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "agogo.cmd.test.do.p08", "plain")
	type got struct {
		stream.Message
		cause event.Cause
	}
	seen := make(chan got, 2)
	s.Workers = 1
	run(t, stream.NewLoop(s, func(ctx context.Context, m stream.Message) error {
		seen <- got{m, event.CauseFrom(ctx)}
		return nil
	}, stream.Deps{JS: js, Service: "test"}))

	first := receive(t, "message", seen)
	if first.ID != "a b" || first.Stream != "WORK" || first.Subject != "agogo.cmd.test.do.p07" || string(first.Data) != "body" ||
		first.Seq != 1 || first.Delivered != 1 || first.Published.IsZero() || first.Header("ce-id") != "a%20b" {
		t.Errorf("got %+v", first.Message)
	}
	if want := (stream.Origin{Stream: "WORK", Subject: "agogo.cmd.test.do.p07", Consumer: "worker"}); first.Origin != want {
		t.Errorf("origin %+v", first.Origin)
	}
	want := event.Cause{Actor: "user:awa", CorrelationID: "lebenis/payouts/daily@2025-01-24T23:59:00Z", CausationID: "a b"}
	if first.cause != want {
		t.Errorf("cause %+v, want %+v", first.cause, want)
	}
	second := receive(t, "message", seen)
	want = event.Cause{Actor: "service:test", CorrelationID: "plain", CausationID: "plain"}
	if second.ID != "plain" || second.cause != want {
		t.Errorf("got %q, cause %+v", second.ID, second.cause)
	}
}

func TestFailuresComeBackAndAfterSaysWhen(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(nil)
	workStream(t, js, s, 1)
	publish(t, js, "agogo.cmd.test.do.p00", "fails")
	publish(t, js, "agogo.cmd.test.do.p00", "waits")
	publish(t, js, "agogo.cmd.test.do.p00", "panics")
	done := newCounts(3)
	tries := newCounts(0)
	reg := prometheus.NewRegistry()
	run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error {
		if n := tries.add(m.ID); n != m.Delivered {
			t.Errorf("%s: delivery %d is the %dth", m.ID, m.Delivered, n)
		}
		switch {
		case m.ID == "fails" && m.Delivered < 3:
			return errors.New("not today")
		case m.ID == "waits" && m.Delivered < 2:
			return stream.After(errors.New("slots are taken"), 10*time.Millisecond)
		case m.ID == "panics" && m.Delivered < 2:
			panic("nil map")
		}
		done.add(m.ID)
		return nil
	}, stream.Deps{JS: js, Service: "test", Registry: reg}))
	receive(t, "third success", done.whole)
	const want = `
# HELP agogo_stream_deliveries_total Deliveries by consumer and how they ended.
# TYPE agogo_stream_deliveries_total counter
agogo_stream_deliveries_total{consumer="worker",result="dead_lettered"} 0
agogo_stream_deliveries_total{consumer="worker",result="delayed"} 1
agogo_stream_deliveries_total{consumer="worker",result="failed"} 3
agogo_stream_deliveries_total{consumer="worker",result="given_back"} 0
agogo_stream_deliveries_total{consumer="worker",result="handled"} 3
# HELP agogo_stream_redeliveries_total Deliveries that were not a message's first.
# TYPE agogo_stream_redeliveries_total counter
agogo_stream_redeliveries_total{consumer="worker"} 4
`
	var err error
	await(t, "metrics", func() bool {
		err = testutil.GatherAndCompare(reg, strings.NewReader(want), "agogo_stream_deliveries_total", "agogo_stream_redeliveries_total")
		return err == nil
	})
}

// With the notifier's figures: two processes hang, whose database does not answer, and hold all that they can get. The third goes on.
func TestProcessesThatHangLeaveTheOthersSomething(t *testing.T) {
	t.Parallel()
	js, own := natstest.Server(t).JS, stream.Consumer(stream.Notifier)
	s := spec(func(s *stream.ConsumerSpec) {
		s.MaxAckPending, s.Workers, s.BackOff = own.MaxAckPending, own.Workers, []time.Duration{time.Hour}
	})
	workStream(t, js, s, 1)
	held := min(2*own.Workers, own.MaxAckPending)
	const n = 6000
	for i := range n {
		if _, err := js.PublishAsync("agogo.cmd.test.do.p00", nil, jetstream.WithMsgID(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 999 { // more of them unanswered would be refused
			receive(t, "acknowledgement of all", js.PublishAsyncComplete())
		}
	}
	hung, rest, release := newCounts(held), newCounts(n-held), make(chan struct{})
	defer close(release)
	for range 2 {
		run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error { hung.add(m.ID); <-release; return nil }, stream.Deps{JS: js, Service: "test"}))
	}
	receive(t, "last message that the two can hold", hung.whole)
	run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error { rest.add(m.ID); return nil }, stream.Deps{JS: js, Service: "test"}))
	receive(t, "last message of the others", rest.whole)
}

func TestASlowHandlerWithHeartbeatIsNotRedelivered(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(func(s *stream.ConsumerSpec) {
		s.Heartbeat, s.BackOff, s.Workers = true, []time.Duration{300 * time.Millisecond}, 2
	})
	workStream(t, js, s, 1)
	publish(t, js, "agogo.cmd.test.do.p00", "slow")
	var deliveries atomic.Int32
	ended := make(chan error, 1)
	run(t, stream.NewLoop(s, func(ctx context.Context, _ stream.Message) error {
		deliveries.Add(1)
		select {
		case <-time.After(5 * s.BackOff[0]):
		case <-ctx.Done():
		}
		ended <- ctx.Err()
		return ctx.Err()
	}, stream.Deps{JS: js, Service: "test"}))
	if err := receive(t, "end of the slow handler", ended); err != nil {
		t.Errorf("its context ended: %v", err)
	}
	await(t, "the work queue is empty", func() bool { return left(t, js, s.Stream) == 0 })
	if n := deliveries.Load(); n != 1 {
		t.Errorf("delivered %d times", n)
	}
}

func TestAHandlerWithoutHeartbeatEndsBeforeTheRedelivery(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(func(s *stream.ConsumerSpec) { s.BackOff = []time.Duration{500 * time.Millisecond} })
	workStream(t, js, s, 1)
	publish(t, js, "agogo.cmd.test.do.p00", "hangs")
	var together atomic.Int32
	done := make(chan int, 1)
	run(t, stream.NewLoop(s, func(ctx context.Context, m stream.Message) error {
		if together.Add(1) > 1 {
			t.Error("two handlers have the message at once")
		}
		defer together.Add(-1)
		if m.Delivered == 1 {
			<-ctx.Done()
			return ctx.Err()
		}
		done <- m.Delivered
		return nil
	}, stream.Deps{JS: js, Service: "test"}))
	if n := receive(t, "second delivery", done); n != 2 {
		t.Errorf("handled at delivery %d", n)
	}
}

// Whoever dies with a message says nothing to the server: the message comes again after AckWait.
func TestAMessageWhoseHandlerDiedIsRedelivered(t *testing.T) {
	t.Parallel()
	node := natstest.Server(t)
	s := spec(nil)
	workStream(t, node.JS, s, 1)
	publish(t, node.JS, "agogo.cmd.test.do.p00", "orphan")
	c, err := node.JS.Consumer(t.Context(), s.Stream, s.Durable)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); err != nil { // taken, and never answered
		t.Fatal(err)
	}
	got := make(chan int, 1)
	run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error { got <- m.Delivered; return nil }, stream.Deps{JS: node.JS, Service: "test"}))
	if n := receive(t, "redelivery", got); n != 2 {
		t.Errorf("delivery %d", n)
	}
}

func TestDrainLetsRunningHandlersFinishAndLeavesTheRestToOthers(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(func(s *stream.ConsumerSpec) { s.BackOff, s.Workers = []time.Duration{time.Hour}, 2 })
	workStream(t, js, s, 1)
	for i := range 10 {
		publish(t, js, "agogo.cmd.test.do.p00", fmt.Sprint(i))
	}
	entered, finish := make(chan string, 10), make(chan struct{})
	first := newCounts(2)
	l := run(t, stream.NewLoop(s, func(ctx context.Context, m stream.Message) error {
		entered <- m.ID
		<-finish
		first.add(m.ID)
		return ctx.Err()
	}, stream.Deps{JS: js, Service: "test"}))
	receive(t, "handler", entered)
	receive(t, "handler", entered)
	stopped := make(chan error, 1)
	go func() { stopped <- l.stop() }()
	await(t, "unready", func() bool { return l.Ready(t.Context()) != nil })
	close(finish)
	if err := receive(t, "end of the loop", stopped); err != nil {
		t.Fatal(err)
	}
	receive(t, "end of both handlers", first.whole)

	// AckWait is an hour: whatever the first loop had kept would not come here.
	second := newCounts(8)
	run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error { second.add(m.ID); return nil }, stream.Deps{JS: js, Service: "test"}))
	receive(t, "the other eight", second.whole)
	for id := range first.seen {
		if second.of(id) > 0 {
			t.Errorf("message %s was handled by both", id)
		}
	}
}

// Stopping in the middle of a flood: messages are on their way to the loop, and must not wait for AckWait (an hour here).
func TestDrainUnderLoadKeepsNothing(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(func(s *stream.ConsumerSpec) { s.BackOff, s.Workers = []time.Duration{time.Hour}, 8 })
	workStream(t, js, s, 1)
	const n = 3000
	for i := range n {
		if _, err := js.PublishAsync("agogo.cmd.test.do.p00", []byte(fmt.Sprint(i)), jetstream.WithMsgID(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, "end of publishing", js.PublishAsyncComplete())
	seen, some := newCounts(n), make(chan struct{}, n)
	handler := func(_ context.Context, m stream.Message) error {
		seen.add(m.ID)
		some <- struct{}{}
		return nil
	}
	for range 5 {
		l := run(t, stream.NewLoop(s, handler, stream.Deps{JS: js, Service: "test"}))
		for range 100 {
			receive(t, "message", some)
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
	}
	run(t, stream.NewLoop(s, handler, stream.Deps{JS: js, Service: "test"}))
	receive(t, "last message", seen.whole)
	for id, times := range seen.seen {
		if times != 1 {
			t.Errorf("message %s was handled %d times", id, times)
		}
	}
}

func TestAHandlerThatOutlivesTheBudgetLosesItsContextAndItsMessage(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(func(s *stream.ConsumerSpec) { s.Heartbeat, s.BackOff = true, []time.Duration{time.Hour} })
	workStream(t, js, s, 1)
	publish(t, js, "agogo.cmd.test.do.p00", "long")
	entered := make(chan struct{}, 1)
	l := run(t, stream.NewLoop(s, func(ctx context.Context, _ stream.Message) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}, stream.Deps{JS: js, Service: "test", DrainBudget: 50 * time.Millisecond}))
	receive(t, "handler", entered)
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	again := make(chan int, 1)
	run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error { again <- m.Delivered; return nil }, stream.Deps{JS: js, Service: "test"}))
	if n := receive(t, "the message at the next loop", again); n != 2 {
		t.Errorf("delivery %d", n)
	}
}

// A handler that sees its calls to their answers takes longer to end than one that only notices; it is waited for, and what
// it did counts.
func TestAHandlerThatEndsLateIsWaitedFor(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(nil)
	workStream(t, js, s, 1)
	publish(t, js, "agogo.cmd.test.do.p00", "slow")
	entered, told, answered := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	l := run(t, stream.NewLoop(s, func(ctx context.Context, _ stream.Message) error {
		entered <- struct{}{}
		<-ctx.Done()
		told <- struct{}{}
		<-answered
		return nil
	}, stream.Deps{JS: js, Service: "test", DrainBudget: time.Millisecond, Patience: time.Minute}))
	receive(t, "handler", entered)
	stopped := make(chan error, 1)
	go func() { stopped <- l.stop() }()
	receive(t, "end of the handler's context", told)
	select {
	case err := <-stopped:
		t.Fatalf("the loop did not wait (%v)", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(answered)
	if err := receive(t, "end of the loop", stopped); err != nil {
		t.Error(err)
	}
	await(t, "acknowledgement", func() bool {
		c, err := js.Consumer(t.Context(), s.Stream, s.Durable)
		return err == nil && c.CachedInfo().NumAckPending == 0 && c.CachedInfo().NumPending == 0
	})
}

func TestALoopWithoutItsConsumerIsUnreadyUntilItIsThere(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(nil)
	got := make(chan string, 1)
	l := run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error { got <- m.ID; return nil }, stream.Deps{JS: js, Service: "test"}))
	await(t, "a reason", func() bool {
		err := l.Ready(t.Context())
		return err != nil && strings.Contains(err.Error(), "run the provisioner")
	})
	workStream(t, js, s, 1)
	publish(t, js, "agogo.cmd.test.do.p00", "late")
	receive(t, "message", got)
	await(t, "ready", func() bool { return l.Ready(t.Context()) == nil })
}

func TestALoopBindsAgainWhenItsConsumerWasMadeAnew(t *testing.T) {
	t.Parallel()
	js, s := natstest.Server(t).JS, spec(nil)
	workStream(t, js, s, 1)
	got := make(chan string, 1)
	l := run(t, stream.NewLoop(s, func(_ context.Context, m stream.Message) error { got <- m.ID; return nil }, stream.Deps{JS: js, Service: "test"}))
	await(t, "ready", func() bool { return l.Ready(t.Context()) == nil })
	if err := js.DeleteConsumer(t.Context(), s.Stream, s.Durable); err != nil {
		t.Fatal(err)
	}
	await(t, "unready", func() bool { return l.Ready(t.Context()) != nil })
	if _, err := js.CreateConsumer(t.Context(), s.Stream, s.Config()); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "agogo.cmd.test.do.p00", "anew")
	receive(t, "message", got)
}

func TestAClosedConnectionEndsTheLoopWithAnError(t *testing.T) {
	t.Parallel()
	node := natstest.Server(t)
	s := spec(nil)
	workStream(t, node.JS, s, 1)
	nc, err := nats.Connect(node.URL, nats.UserCredentials(node.Creds))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	l := stream.NewLoop(s, func(context.Context, stream.Message) error { return nil }, stream.Deps{JS: js, Service: "test"})
	done := make(chan error, 1)
	go func() { done <- l.Run(t.Context()) }()
	await(t, "ready", func() bool { return l.Ready(t.Context()) == nil })
	nc.Close()
	if err := receive(t, "end of the loop", done); err == nil || !strings.Contains(err.Error(), "connection to NATS is closed") {
		t.Errorf("got %v", err)
	}
	if err := l.Ready(t.Context()); err == nil {
		t.Error("still ready")
	}
}

func left(t testing.TB, js jetstream.JetStream, name string) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}
