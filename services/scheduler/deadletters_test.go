package scheduler_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/servicetest"
	"github.com/agogopay/agogo/internal/stream"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// letters waits for n dead letters and returns their numbers by the id of the message.
func (in *installation) letters(n int) map[string]uint64 {
	in.T.Helper()
	arrived := in.Follow("DLQ", "agogo.dlq.>")
	for range n {
		in.Next(arrived)
	}
	byID := map[string]uint64{}
	for d, err := range stream.ListDeadLetters(in.Ctx, in.NATS.JS, "") {
		if err != nil {
			in.T.Fatal(err)
		}
		byID[d.ID] = d.Seq
	}
	return byID
}

// trail is the audit trail as it is published.
func (in *installation) trail(n int) []string {
	in.T.Helper()
	lines, follower := in.Follow("AUDIT", "agogo.audit.>"), &auth.Follower{}
	var got []string
	for range n {
		l, broken, err := follower.Follow(in.Next(lines).Data())
		if err != nil || broken != nil {
			in.T.Fatalf("%v, %v", broken, err)
		}
		got = append(got, strings.Join([]string{l.Tenant, l.Actor, l.Action, l.Target, l.Detail}, " | "))
	}
	return got
}

// Promise 9: what becomes of a dead letter is decided by somebody who may, and stands in the trail.
func TestDeadLettersAreDecidedByOperatorsAndOnRecord(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-25T12:00:00Z")
	r := in.start()
	broken := func(tenant string) event.Envelope {
		return event.New(in.Ctx, "payouts", tenant, "run.started", "run-of-"+tenant, 1, 0, instant(t, "2025-01-25T12:00:00Z"))
	}
	for _, tenant := range []string{"lebenis", "wallclub"} {
		in.publish(broken(tenant), []byte("{"))
	}
	for _, id := range []string{"nobody's", "nobody's other"} {
		if _, err := in.NATS.JS.Publish(in.Ctx, "agogo.cmd.scheduler.dance.p00", []byte("x"), jetstream.WithMsgID(id)); err != nil {
			t.Fatal(err)
		}
	}
	letters := in.letters(4)
	of := map[string]uint64{"nobody": letters["nobody's"], "nobody, other": letters["nobody's other"]}
	for _, tenant := range []string{"lebenis", "wallclub"} {
		of[tenant] = letters[broken(tenant).ID]
	}
	replay := func(who, whose string) error {
		_, err := r.as(who).ReplayDeadLetter(in.Ctx, &schedulerv1.ReplayDeadLetterRequest{Seq: of[whose]})
		return err
	}
	discard := func(who, whose, reason string) error {
		_, err := r.as(who).DiscardDeadLetter(in.Ctx, &schedulerv1.DiscardDeadLetterRequest{Seq: of[whose], Reason: reason})
		return err
	}

	for _, who := range []string{"", "nobody", "viewer", "approver", "operator"} {
		for _, whose := range []string{"lebenis", "wallclub", "nobody"} {
			want := codes.PermissionDenied
			switch {
			case who == "" || who == "nobody":
				want = codes.Unauthenticated
			case who == "operator" && whose == "lebenis":
				continue
			}
			for what, err := range map[string]error{"replay": replay(who, whose), "discard": discard(who, whose, "because")} {
				if status.Code(err) != want {
					t.Errorf("%s of a letter of %s by %q: %v, want %s", what, whose, who, err, want)
				}
			}
		}
	}
	if err := discard("admin", "nobody", ""); status.Code(err) != codes.InvalidArgument {
		t.Errorf("discard without a reason: %v", err)
	}
	if got := in.stored("DLQ"); got != 4 {
		t.Fatalf("%d letters after nobody was let in, want 4", got)
	}

	if err := discard("operator", "lebenis", "sent by a test"); err != nil {
		t.Fatal(err)
	}
	if err := discard("admin", "nobody", "known"); err != nil {
		t.Fatal(err)
	}
	if err := discard("admin", "nobody", "again"); status.Code(err) != codes.NotFound {
		t.Errorf("discarded twice: %v", err)
	}
	if err := replay("admin", "wallclub"); err != nil {
		t.Fatal(err)
	}
	if err := replay("admin", "wallclub"); status.Code(err) != codes.NotFound {
		t.Errorf("replayed twice: %v", err)
	}
	line := func(tenant, who, action, whose, detail string) string {
		return fmt.Sprintf("%s | user:%s | %s | dead letter %d | %s", tenant, who, action, of[whose], detail)
	}
	run := func(tenant string) string {
		e := broken(tenant)
		return "; message " + e.ID + " of scheduler-runs on " + e.StreamSubject()
	}
	want := []string{
		line("lebenis", "operator", "DiscardDeadLetter", "lebenis", "discard: sent by a test"+run("lebenis")),
		line("unknown", "admin", "DiscardDeadLetter", "nobody", "discard: known; message nobody's of scheduler-exec on agogo.cmd.scheduler.dance.p00"),
		line("wallclub", "admin", "ReplayDeadLetter", "wallclub", "replay"+run("wallclub")),
	}
	got := in.trail(len(want))
	slices.Sort(got) // of different tenants, so of no order
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("trail (-want +got):\n%s", diff)
	}
}

// Promise 7: a command that kills every process which takes it is told of to those whose it is. The scheduler, which keeps
// JetStream's word of it, has no runs to look it up in.
func TestACrashLoopingCommandIsToldToItsTenant(t *testing.T) {
	t.Parallel()
	in := install(t, "2025-01-25T12:00:00Z")
	m := nats.NewMsg("agogo.cmd.payouts.plan.p00")
	m.Header["ce-id"], m.Header["ce-tenantid"] = []string{"plan/r/0"}, []string{"wallclub"}
	if _, err := in.NATS.JS.PublishMsg(in.Ctx, m); err != nil {
		t.Fatal(err)
	}
	in.kill(stream.Commands, stream.PayoutsExec)
	in.start()
	told := in.Next(in.Follow("EVENTS", "agogo.evt.*.scheduler.event.>"))
	if !strings.HasPrefix(told.Subject(), "agogo.evt.wallclub.scheduler.event.dead_lettered.") {
		t.Errorf("told on %s", told.Subject())
	}
}

// kill takes every delivery of a consumer's first message and never answers, as processes do that it kills.
func (in *installation) kill(streamName, durable string) {
	in.T.Helper()
	c, err := in.NATS.JS.Consumer(in.Ctx, streamName, durable)
	if err != nil {
		in.T.Fatal(err)
	}
	cfg := c.CachedInfo().Config
	cfg.BackOff, cfg.AckWait, cfg.MaxDeliver = []time.Duration{50 * time.Millisecond}, 50*time.Millisecond, 2
	if c, err = in.NATS.JS.UpdateConsumer(in.Ctx, streamName, cfg); err != nil {
		in.T.Fatal(err)
	}
	for range cfg.MaxDeliver {
		if _, err := c.Next(jetstream.FetchMaxWait(servicetest.Patience)); err != nil {
			in.T.Fatal(err)
		}
	}
	// The server looks at what is due, and gives up, when somebody asks for more.
	if _, err := c.Next(jetstream.FetchMaxWait(time.Second)); !errors.Is(err, nats.ErrTimeout) {
		in.T.Fatalf("one more delivery: %v", err)
	}
}
