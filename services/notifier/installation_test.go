package notifier_test

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natstest"
	"github.com/agogopay/agogo/internal/telemetry"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	notifierv1 "github.com/agogopay/agogo/proto/gen/go/agogo/notifier/v1"
	"github.com/agogopay/agogo/services/notifier"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const patience = 60 * time.Second

// installation is a database, a broker and a push service, on which notifiers start and stop.
type installation struct {
	t    testing.TB
	ctx  context.Context
	dsn  string
	nats *natstest.Node
	fcm  *simulator.Simulator
	file *config.File
}

func install(t testing.TB) *installation {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
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
	return &installation{
		t: t, ctx: ctx, dsn: pgtest.Installed(t, "notifier"), nats: natstest.Provisioned(t), fcm: sim,
		file: &config.File{
			Path:     "tenants.yaml",
			Tenants:  []config.Tenant{{ID: "lebenis", Timezone: "Africa/Abidjan", Location: abidjan, Currency: "XOF", Locale: "fr-CI"}},
			Notifier: config.Notifier{FCM: config.FCM{ProjectID: "demo", Endpoint: server.URL + "/fcm/v1"}},
		},
	}
}

// tokens: the names are also the secrets.
var tokens = []config.Token{
	{Name: "operator", Role: "operator", Tenants: []string{"lebenis"}, Secret: "operator"},
	{Name: "viewer", Role: "viewer", Tenants: []string{"lebenis"}, Secret: "viewer"},
	{Name: "stranger", Role: "admin", Tenants: []string{"wallclub"}, Secret: "stranger"},
}

// replica is a running notifier.
type replica struct {
	*notifier.Service
	in   *installation
	stop func() error // and what Run returned
}

// start starts a notifier and returns when it is ready.
func (in *installation) start() *replica {
	in.t.Helper()
	who, err := auth.NewStatic(tokens)
	if err != nil {
		in.t.Fatal(err)
	}
	tel, err := telemetry.New(in.ctx, "notifier", "error", io.Discard)
	if err != nil {
		in.t.Fatal(err)
	}
	nc, err := process.Connect(in.ctx, in.nats.URL, in.nats.Creds, "notifier", tel.Logger)
	if err != nil {
		in.t.Fatal(err)
	}
	s, err := notifier.New(notifier.Config{
		File: in.file, Process: config.Process{PostgresDSN: in.dsn, GRPCAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"},
	}, notifier.Deps{NATS: nc, Auth: who, Clock: clock.Real(), Telemetry: tel})
	if err != nil {
		in.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(in.ctx)
	ready, ended := make(chan struct{}), make(chan struct{})
	var ran error
	go func() {
		defer close(ended)
		ran = s.Run(ctx, func() { close(ready) })
		nc.Close()
	}()
	r := &replica{Service: s, in: in, stop: func() error { cancel(); <-ended; return ran }}
	in.t.Cleanup(func() {
		if err := r.stop(); err != nil {
			in.t.Errorf("the notifier ended with %v", err)
		}
	})
	select {
	case <-ready:
	case <-ended:
		in.t.Fatalf("the notifier did not start: %v", ran)
	}
	return r
}

// as is a client with somebody's token.
func (r *replica) as(token string) notifierv1.NotifierServiceClient {
	r.in.t.Helper()
	conn, err := rpc.Dial(r.GRPCAddr(), token)
	if err != nil {
		r.in.t.Fatal(err)
	}
	r.in.t.Cleanup(func() { _ = conn.Close() })
	return notifierv1.NewNotifierServiceClient(conn)
}

// publish sends a payout's event as the payouts service does; again makes it a deliberate re-emission.
func (in *installation) publish(t event.Type, n int, version int64, again int, change func(*eventsv1.Payout)) {
	in.t.Helper()
	p := &eventsv1.Payout{
		PayoutId: fmt.Sprintf("P%d", n), Tenant: "lebenis", PayeeId: fmt.Sprintf("D%03d", n), RunId: "R1", PeriodDate: "2025-01-24",
		State: t.Name(), PreviousState: "submitting", Net: &eventsv1.Money{Minor: 24_000, Currency: "XOF"}, Attempt: 1,
	}
	if change != nil {
		change(p)
	}
	body, err := event.Encode(p)
	if err != nil {
		in.t.Fatal(err)
	}
	e := event.New(in.ctx, "payouts", "lebenis", t, p.PayoutId, version, 0, time.Now())
	in.send(e, body, again)
}

func (in *installation) send(e event.Envelope, body []byte, again int) {
	in.t.Helper()
	msg := nats.NewMsg(e.StreamSubject())
	for k, v := range e.Headers() {
		msg.Header[k] = []string{v} // exactly as written: nats.Header would change the case
	}
	msg.Data = body
	id := e.ID
	if again > 0 {
		id = fmt.Sprintf("%s#%d", e.ID, again)
	}
	if _, err := in.nats.JS.PublishMsg(in.ctx, msg, jetstream.WithMsgID(id)); err != nil {
		in.t.Error(err)
	}
}

// follow reads the notifier's own events of a kind from the beginning.
func (in *installation) follow(aggregate string) jetstream.MessagesContext {
	in.t.Helper()
	c, err := in.nats.JS.OrderedConsumer(in.ctx, stream.Events, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"agogo.evt.*.notifier." + aggregate + ".>"},
	})
	if err != nil {
		in.t.Fatal(err)
	}
	m, err := c.Messages()
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(m.Stop)
	return m
}

// next waits for the next message.
func (in *installation) next(m jetstream.MessagesContext) jetstream.Msg {
	in.t.Helper()
	msg, err := m.Next(jetstream.NextContext(in.ctx))
	if err != nil {
		in.t.Fatal(err)
	}
	return msg
}

// handled waits until the notifier has acknowledged everything that was published.
func (in *installation) handled() {
	in.t.Helper()
	c, err := in.nats.JS.Consumer(in.ctx, stream.Events, stream.Notifier)
	if err != nil {
		in.t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		info, err := c.Info(in.ctx)
		if err != nil {
			in.t.Fatal(err)
		}
		if info.NumPending == 0 && info.NumAckPending == 0 {
			return
		}
		<-tick.C
	}
}
