package payouts_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/servicetest"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	ledgerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// installation is the service's, with a provider.
type installation struct {
	*servicetest.Installation
	sim   *simulator.Simulator
	file  *config.File
	clock *servicetest.Clock
}

func install(t testing.TB) *installation {
	t.Helper()
	in := &installation{clock: servicetest.NewClock(payoutstest.At("2025-01-24T23:59:05Z"))}
	in.Installation = servicetest.New(t, servicetest.Config{Name: "payouts", Tenant: payoutstest.Tenant, New: in.service})
	var err error
	if in.sim, err = simulator.New(simulator.Config{Clock: in.clock, Orange: simulator.OrangeConfig{TokensPerMinute: -1}, MTN: simulator.MTNConfig{Processing: -1}}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(in.sim)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	in.file = payoutstest.Lebenis()
	in.file.Tenants[0].Providers["orange"] = config.Provider{
		Name: "orange", Kind: "orange_omr", BaseURL: srv.URL + "/orange-money-b2b/v1/ci", TokenURL: srv.URL + "/oauth/v3/token",
		ClientID: "client", ClientSecret: "secret", PosID: "pos", CallbackAuthorization: "Basic Y2FsbGJhY2s6c2VjcmV0", FormsStep: true,
		RatePerSec: 1000, Concurrency: 4, Timeout: time.Second, QuietTime: time.Second, ReviewAfter: 24 * time.Hour,
		LookupAfter: []time.Duration{time.Second, 2 * time.Second}, RetryAfter: []time.Duration{time.Minute},
	}
	return in
}

func (in *installation) service(p servicetest.Process) (servicetest.Service, error) {
	return payouts.New(payouts.Config{File: in.file, Process: p.Env}, payouts.Deps{NATS: p.NATS, Auth: p.Auth, Clock: in.clock, Telemetry: p.Telemetry})
}

// replica is a running service.
type replica struct{ *servicetest.Replica }

func (in *installation) start() *replica {
	in.T.Helper()
	return &replica{in.Start()}
}

// as is a client with somebody's token.
func (r *replica) as(token string) payoutsv1.PayoutsServiceClient {
	r.In.T.Helper()
	return payoutsv1.NewPayoutsServiceClient(r.Conn(token))
}

// verify recomputes the books.
func (r *replica) verify() {
	r.In.T.Helper()
	v, err := ledgerv1.NewLedgerServiceClient(r.Conn("viewer")).VerifyLedger(r.In.Ctx, &ledgerv1.VerifyLedgerRequest{Tenant: payoutstest.Tenant})
	if err != nil || !v.GetBalanced() || v.GetPostings() == 0 {
		r.In.T.Errorf("books: %v, %v", v, err)
	}
}

// importPayments imports a file.
func (in *installation) importPayments(c payoutsv1.PayoutsServiceClient, format string, data []byte) servicetest.Imported {
	in.T.Helper()
	got, err := in.send(c, format, data)
	if err != nil {
		in.T.Fatal(err)
	}
	return got
}

// send sends a file in chunks.
func (in *installation) send(c payoutsv1.PayoutsServiceClient, format string, data []byte) (servicetest.Imported, error) {
	s, err := c.ImportPayments(in.Ctx)
	if err != nil {
		return servicetest.Imported{}, err
	}
	return servicetest.Import(s, payoutstest.Tenant, format, data, 4000)
}

// tick sends a tick as the scheduler does.
func (in *installation) tick(tick *eventsv1.Tick, msgID string) {
	in.T.Helper()
	in.Tick(tick, in.clock.Now(), msgID)
}

// run waits until a tick's run is complete.
func (in *installation) run(c payoutsv1.PayoutsServiceClient, tickID string) *payoutsv1.Run {
	in.T.Helper()
	var r *payoutsv1.Run
	in.Until("run of "+tickID+" completed", func() bool {
		var err error
		r, err = c.GetRun(in.Ctx, &payoutsv1.GetRunRequest{Tenant: payoutstest.Tenant, Id: tickID})
		return err == nil && r.GetState() == "completed"
	})
	return r
}
