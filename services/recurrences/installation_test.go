package recurrences_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/servicetest"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	ledgerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/ledger/v1"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	merchantID    = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
	merchantKey   = "KEYOFTEST0KEYOFTEST1KEYOFTEST2KEYOFTEST3"
	webhookSecret = "secret of the webhook"
)

// installation is the service's, with a gateway.
type installation struct {
	*servicetest.Installation
	sim   *simulator.Simulator
	file  *config.File
	clock *servicetest.Clock
}

func install(t testing.TB) *installation {
	t.Helper()
	in := &installation{clock: servicetest.NewClock(recurrencestest.At("2025-10-30T11:00:05Z"))}
	in.Installation = servicetest.New(t, servicetest.Config{Name: "recurrences", Tenant: recurrencestest.Tenant, New: in.service})
	var err error
	if in.sim, err = simulator.New(simulator.Config{}); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(in.sim)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	in.file = recurrencestest.Wallclub(t)
	in.file.Tenants[0].Providers["cielo"] = config.Provider{
		Name: "cielo", Kind: "cielo", BaseURL: srv.URL + "/cielo", QueryURL: srv.URL + "/cielo-query", MerchantID: merchantID, MerchantKey: merchantKey,
		WebhookHeader: "X-Shop", WebhookSecret: webhookSecret, RatePerSec: 1000, Concurrency: 4, Timeout: time.Second, QuietTime: time.Second,
		ReviewAfter: 24 * time.Hour, LookupAfter: []time.Duration{time.Second, 2 * time.Second},
	}
	return in
}

func (in *installation) service(p servicetest.Process) (servicetest.Service, error) {
	return recurrences.New(recurrences.Config{File: in.file, Process: p.Env}, recurrences.Deps{NATS: p.NATS, Auth: p.Auth, Clock: in.clock, Telemetry: p.Telemetry})
}

// replica is a running service.
type replica struct{ *servicetest.Replica }

func (in *installation) start() *replica {
	in.T.Helper()
	return &replica{in.Start()}
}

// as is a client with somebody's token.
func (r *replica) as(token string) recurrencesv1.RecurrencesServiceClient {
	r.In.T.Helper()
	return recurrencesv1.NewRecurrencesServiceClient(r.Conn(token))
}

// verify recomputes the books.
func (r *replica) verify() {
	r.In.T.Helper()
	v, err := ledgerv1.NewLedgerServiceClient(r.Conn("viewer")).VerifyLedger(r.In.Ctx, &ledgerv1.VerifyLedgerRequest{Tenant: recurrencestest.Tenant})
	if err != nil || !v.GetBalanced() || v.GetPostings() == 0 {
		r.In.T.Errorf("books: %v, %v", v, err)
	}
}

// importRecurrences sends a file in chunks.
func (in *installation) importRecurrences(c recurrencesv1.RecurrencesServiceClient, format string, data []byte) servicetest.Imported {
	in.T.Helper()
	s, err := c.ImportRecurrences(in.Ctx)
	if err != nil {
		in.T.Fatal(err)
	}
	got, err := servicetest.Import(s, recurrencestest.Tenant, format, data, 4000)
	if err != nil {
		in.T.Fatal(err)
	}
	return got
}

// tick sends a tick as the scheduler does.
func (in *installation) tick(tick *eventsv1.Tick, msgID string) {
	in.T.Helper()
	in.Tick(tick, in.clock.Now(), msgID)
}

// run waits until a tick's run is complete.
func (in *installation) run(c recurrencesv1.RecurrencesServiceClient, tickID string) *recurrencesv1.Run {
	in.T.Helper()
	var r *recurrencesv1.Run
	in.Until("run of "+tickID+" completed", func() bool {
		var err error
		r, err = c.GetRun(in.Ctx, &recurrencesv1.GetRunRequest{Tenant: recurrencestest.Tenant, Id: tickID})
		return err == nil && r.GetState() == "completed"
	})
	return r
}
