package notifier_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/servicetest"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	"github.com/agogopay/agogo/services/notifier"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// installation is the notifier's, with a push service.
type installation struct {
	*servicetest.Installation
	fcm  *simulator.Simulator
	file *config.File
}

func install(t testing.TB) *installation {
	t.Helper()
	sim, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(func() {
		server.Close()
		_ = sim.Close()
	})
	abidjan, err := time.LoadLocation("Africa/Abidjan")
	if err != nil {
		t.Fatal(err)
	}
	in := &installation{fcm: sim, file: &config.File{
		Path:     "tenants.yaml",
		Tenants:  []config.Tenant{{ID: "lebenis", Timezone: "Africa/Abidjan", Location: abidjan, Currency: "XOF", Locale: "fr-CI"}},
		Notifier: config.Notifier{FCM: config.FCM{ProjectID: "demo", Endpoint: server.URL + "/fcm/v1"}},
	}}
	in.Installation = servicetest.New(t, servicetest.Config{Name: "notifier", Tenant: "lebenis", New: in.service})
	return in
}

func (in *installation) service(p servicetest.Process) (servicetest.Service, error) {
	return notifier.New(notifier.Config{File: in.file, Process: p.Env}, notifier.Deps{NATS: p.NATS, Auth: p.Auth, Clock: clock.Real(), Telemetry: p.Telemetry})
}

// replica is a running notifier.
type replica struct{ *servicetest.Replica }

func (in *installation) start() *replica {
	in.T.Helper()
	return &replica{in.Start()}
}

// as is a client with somebody's token.
func (r *replica) as(token string) notifierv1.NotifierServiceClient {
	r.In.T.Helper()
	return notifierv1.NewNotifierServiceClient(r.Conn(token))
}

// publish sends a payout's event as the payouts service does; again makes it a deliberate re-emission.
func (in *installation) publish(t event.Type, n int, version int64, again int, change func(*eventsv1.Payout)) {
	in.T.Helper()
	p := &eventsv1.Payout{
		PayoutId: fmt.Sprintf("P%d", n), Tenant: "lebenis", PayeeId: fmt.Sprintf("D%03d", n), RunId: "R1", PeriodDate: "2025-01-24",
		State: t.Name(), PreviousState: "submitting", Net: &eventsv1.Money{Minor: 24_000, Currency: "XOF"}, Attempt: 1,
	}
	if change != nil {
		change(p)
	}
	body, err := event.Encode(p)
	if err != nil {
		in.T.Fatal(err)
	}
	e := event.New(in.Ctx, "payouts", "lebenis", t, p.PayoutId, version, 0, time.Now())
	id := e.ID
	if again > 0 {
		id = fmt.Sprintf("%s#%d", e.ID, again)
	}
	in.Publish(e, body, id)
}

// follow reads the notifier's own events of a kind from the beginning.
func (in *installation) follow(aggregate string) jetstream.MessagesContext {
	in.T.Helper()
	return in.Follow(stream.Events, "agogo.evt.*.notifier."+aggregate+".>")
}

// handled waits until the notifier has acknowledged everything that was published.
func (in *installation) handled() {
	in.T.Helper()
	c, err := in.NATS.JS.Consumer(in.Ctx, stream.Events, stream.Notifier)
	if err != nil {
		in.T.Fatal(err)
	}
	in.Until("everything is acknowledged", func() bool {
		info, err := c.Info(in.Ctx)
		if err != nil {
			in.T.Fatal(err)
		}
		return info.NumPending == 0 && info.NumAckPending == 0
	})
}
