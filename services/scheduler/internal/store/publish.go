package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/scheduler/internal/schedule"
	"github.com/agogopay/agogo/services/scheduler/internal/store/db"
)

const source = "scheduler"

// tickMessages are a tick's event and, when it fired, the order to run it. The order is the event's copy on the TICKS
// stream: the same body and ce- headers, but the tick id is its message id, so that JetStream too drops a second one.
// Messages of one schedule keep their order.
func (s *Store) tickMessages(ctx context.Context, t Settled, rule schedule.Rule, was db.LockTickRow) ([]outbox.Message, error) {
	kind, ok := event.Tick.Event(was.State, string(t.State))
	if !ok {
		return nil, fmt.Errorf("tick %s cannot go from %q to %q", t.ID, was.State, t.State)
	}
	ctx = event.WithCause(ctx, causeOf(ctx, t))
	body, err := event.Encode(tickBody(t, rule, was.State))
	if err != nil {
		return nil, fmt.Errorf("encode tick %s: %w", t.ID, err)
	}
	fact := outbox.FromEvent(ctx, event.New(ctx, source, t.Tenant, kind, t.ID, was.Version+1, s.Epoch.Now(), t.At), body)
	fact.Key = t.String()
	if t.State != schedule.Fired {
		return []outbox.Message{fact}, nil
	}
	order := fact
	order.ID, order.Stream, order.Subject = t.ID+epochSuffix(s.Epoch.Now()), stream.Ticks, stream.TickSubject(t.Tenant, t.Service, t.Name)
	return []outbox.Message{order, fact}, nil
}

// epochSuffix keeps a deduplication window from before a restore from swallowing what is sent after it.
func epochSuffix(epoch int) string {
	if epoch == 0 {
		return ""
	}
	return "#e" + strconv.Itoa(epoch)
}

// causeOf puts the tick at the beginning of the chain. Only a tick by hand has a person behind it, and the request as its
// cause: one that merely fell due while somebody paused or resumed the schedule would have been settled without them.
func causeOf(ctx context.Context, t Settled) event.Cause {
	c := event.CauseFrom(ctx)
	if c.Actor == "" || t.Trigger != schedule.ByHand {
		return event.Cause{Actor: "service:" + source, CorrelationID: t.ID}
	}
	if c.CausationID == "" {
		c.CausationID = c.CorrelationID
	}
	c.CorrelationID = t.ID
	return c
}

func tickBody(t Settled, rule schedule.Rule, previous string) *eventsv1.Tick {
	b := &eventsv1.Tick{
		TickId: t.ID, Tenant: t.Tenant, Service: t.Service, Schedule: t.Name, Job: rule.Job,
		NominalTime: timestamppb.New(t.Nominal), LocalDate: t.LocalDate,
		WindowStart: timestamppb.New(t.WindowStart), WindowEnd: timestamppb.New(t.Nominal),
		Timezone: rule.Zone.String(), Trigger: string(t.Trigger), State: string(t.State), PreviousState: previous,
	}
	if t.Reason != "" {
		b.Reason = &eventsv1.Reason{Code: t.Reason}
	}
	return b
}

// scheduleMessage is the event of a schedule's change. code says why; what a person typed stays in the table and in the
// audit trail, for a published event cannot be erased.
func (s *Store) scheduleMessage(ctx context.Context, c schedule.Change, code string, at time.Time) (outbox.Message, error) {
	body, err := event.Encode(&eventsv1.Schedule{
		Tenant: c.Tenant, Service: c.Service, Name: c.Name, Job: c.Job, Cron: c.Cron.String(), Timezone: c.Zone.String(),
		State: string(c.State), PreviousState: string(c.From), CatchUp: string(c.CatchUp.Mode), Reason: &eventsv1.Reason{Code: code},
	})
	if err != nil {
		return outbox.Message{}, fmt.Errorf("encode schedule %s: %w", c.Key, err)
	}
	if event.CauseFrom(ctx).Actor == "" {
		ctx = event.WithCause(ctx, event.Cause{Actor: "service:" + source})
	}
	m := outbox.FromEvent(ctx, event.New(ctx, source, c.Tenant, c.Event, c.String(), c.Version, s.Epoch.Now(), at), body)
	m.Key = c.String()
	return m, nil
}
