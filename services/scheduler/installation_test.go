package scheduler_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/servicetest"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
	"github.com/agogopay/agogo/services/scheduler"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at.UTC()
}

// installation is the scheduler's.
type installation struct {
	*servicetest.Installation
	file  *config.File
	clock *servicetest.Clock
}

func install(t testing.TB, now string) *installation {
	t.Helper()
	in := &installation{file: tenants(t), clock: servicetest.NewClock(instant(t, now))}
	in.Installation = servicetest.New(t, servicetest.Config{Name: "scheduler", Tenant: "lebenis", New: in.service})
	return in
}

func (in *installation) service(p servicetest.Process) (servicetest.Service, error) {
	return scheduler.New(scheduler.Config{File: in.file, Process: p.Env}, scheduler.Deps{NATS: p.NATS, Auth: p.Auth, Clock: in.clock, Telemetry: p.Telemetry})
}

func tenants(t testing.TB) *config.File {
	t.Helper()
	zone := func(name string) *time.Location {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return loc
	}
	payouts := func(name, cron, catchUp string) config.Schedule {
		return config.Schedule{Name: name, Service: "payouts", Job: "payouts/" + name, Cron: cron, CatchUp: catchUp, CatchUpCap: 366}
	}
	return &config.File{
		Path: "tenants.yaml",
		Tenants: []config.Tenant{
			{ID: "lebenis", Timezone: "Africa/Abidjan", Location: zone("Africa/Abidjan"), Schedules: []config.Schedule{
				payouts("daily", "59 23 * * *", "all"), payouts("check-pending", "0 * * * *", "latest"), payouts("reset-breaks", "0 0 * * *", "latest"),
			}},
			{ID: "wallclub", Timezone: "America/Sao_Paulo", Location: zone("America/Sao_Paulo"), Schedules: []config.Schedule{payouts("daily", "0 8 * * *", "all")}},
		},
	}
}

// replica is a running scheduler.
type replica struct{ *servicetest.Replica }

func (in *installation) start() *replica {
	in.T.Helper()
	return &replica{in.Start()}
}

// as is a client with somebody's token.
func (r *replica) as(token string) schedulerv1.SchedulerServiceClient {
	r.In.T.Helper()
	return schedulerv1.NewSchedulerServiceClient(r.Conn(token))
}

func (in *installation) trigger(c schedulerv1.SchedulerServiceClient, name, at string) *schedulerv1.TriggerScheduleResponse {
	in.T.Helper()
	resp, err := c.TriggerSchedule(in.Ctx, &schedulerv1.TriggerScheduleRequest{Name: name, NominalTime: timestamppb.New(instant(in.T, at))})
	if err != nil {
		in.T.Fatal(err)
	}
	return resp
}

// report publishes a run event as the payouts service does.
func (in *installation) report(tick, from, to string, version int64, counts map[string]int64) {
	in.T.Helper()
	kind, ok := event.Run.Event(from, to)
	if !ok {
		in.T.Fatalf("runs do not go from %s to %s", from, to)
	}
	body, err := event.Encode(&eventsv1.Run{
		RunId: "run-of-" + tick, TickId: tick, Tenant: "lebenis", Service: "payouts", Schedule: "daily", Job: "payouts/daily",
		NominalTime: timestamppb.New(in.clock.Now()), LocalDate: "2025-01-24", State: to, PreviousState: from, Counts: counts,
	})
	if err != nil {
		in.T.Fatal(err)
	}
	in.publish(event.New(in.Ctx, "payouts", "lebenis", kind, "run-of-"+tick, version, 0, in.clock.Now()), body)
}

func (in *installation) publish(e event.Envelope, body []byte) {
	in.T.Helper()
	in.Publish(e, body, e.ID)
}

// stored counts the messages of a stream.
func (in *installation) stored(name string) uint64 {
	in.T.Helper()
	s, err := in.NATS.JS.Stream(in.Ctx, name)
	if err != nil {
		in.T.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}
