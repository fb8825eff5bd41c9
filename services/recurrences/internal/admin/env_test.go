package admin_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/audit"
	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/books"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/review"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/telemetry"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/admin"
	"github.com/agogopay/agogo/services/recurrences/internal/imports/importstest"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
	"github.com/agogopay/agogo/services/recurrences/internal/resolve"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	tenant   = importstest.Tenant
	chargeID = "0e0dd3a4-6d6b-5c2e-8f0a-2b1c9d8e7f60"
)

// lockedBuffer takes log lines of many calls at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// people stands in for what people decide by: it keeps what it was asked, moves a recurrence where it should, and refuses
// what a test says.
type people struct {
	store   *store.Store
	settles uuid.UUID // the charge of every dispute
	asked   []string
	err     error
}

func (p *people) say(format string, args ...any) error {
	if p.err == nil {
		p.asked = append(p.asked, fmt.Sprintf(format, args...))
	}
	return p.err
}

func (p *people) Pause(ctx context.Context, tx pgx.Tx, tenant, id, reason string) error {
	if err := p.say("pause %s: %s", id, reason); err != nil {
		return err
	}
	_, err := p.store.ApplyRecurrences(ctx, tx, []store.RecurrenceChange{{
		Key: store.Key{Tenant: tenant, ID: id}, From: []recurrence.State{recurrence.Active}, To: recurrence.Paused, Reason: store.Reason{Code: recurrence.CodeByPerson},
	}})
	return err
}

func (p *people) Resume(_ context.Context, _ pgx.Tx, _, id, reason string) error {
	return p.say("resume %s: %s", id, reason)
}

func (p *people) Cancel(_ context.Context, _ pgx.Tx, _, id, reason string) error {
	return p.say("cancel %s: %s", id, reason)
}

func (p *people) Reactivate(_ context.Context, _ pgx.Tx, _, id, reason string) error {
	return p.say("reactivate %s: %s", id, reason)
}

func (p *people) SetCard(_ context.Context, _ pgx.Tx, _, id, token, brand string) error {
	return p.say("set card %s: %s %s", id, token, brand)
}

func (p *people) ChargeNow(_ context.Context, _ pgx.Tx, _ string, id uuid.UUID) error {
	return p.say("charge %s", id)
}

func (p *people) ChargeMissed(_ context.Context, _ pgx.Tx, _, id string, cycle recurrence.Date) (uuid.UUID, error) {
	return uuid.MustParse(chargeID), p.say("charge %s of %s", cycle, id)
}

func (p *people) CancelCharge(_ context.Context, _ pgx.Tx, _ string, id uuid.UUID, reason string) error {
	return p.say("cancel charge %s: %s", id, reason)
}

func (p *people) AskAnew(_ context.Context, _ pgx.Tx, _ string, id uuid.UUID) (bool, error) {
	p.asked = append(p.asked, fmt.Sprintf("ask anew %s", id))
	return true, nil
}

func (p *people) ResolveCharge(_ context.Context, _ pgx.Tx, _ string, id uuid.UUID, r resolve.Resolution) (review.Said, error) {
	err := p.say("resolve %s: %s %v %s", id, r.Outcome, r.PayAgain, r.Evidence)
	if len(p.asked) == 1 {
		return review.Said{Replaces: "user:ana"}, err
	}
	return review.Said{Agreed: true}, err
}

func (p *people) Refresh(_ context.Context, _ pgx.Tx, _ string, id uuid.UUID) error {
	return p.say("refresh %s", id)
}

func (p *people) SettleDispute(_ context.Context, _ pgx.Tx, _ string, id uuid.UUID, outcome string) (uuid.UUID, error) {
	return p.settles, p.say("settle %s: %s", id, outcome)
}

// desk is the service behind its real gRPC server.
type desk struct {
	*importstest.Env
	t      *testing.T
	people *people
	runs   *run.Store
	states *provider.States
	woken  []string
	log    *lockedBuffer
	addr   string
}

func open(t *testing.T) *desk {
	t.Helper()
	e := importstest.New(t)
	d := &desk{Env: e, t: t, people: &people{store: e.Store}, log: &lockedBuffer{}}
	d.runs = &run.Store{Service: store.Service, Outbox: e.Outbox, Clock: e.Clock, Items: e.Store}
	d.states = &provider.States{Service: store.Service, Outbox: e.Outbox, Clock: e.Clock}
	tel, err := telemetry.New(t.Context(), store.Service, "debug,json", d.log)
	if err != nil {
		t.Fatal(err)
	}
	var tokens []config.Token
	for name, on := range map[string]string{"viewer": tenant, "operator": tenant, "approver": tenant, "admin": "*", "stranger": "lebenis"} {
		role := name
		if name == "stranger" {
			role = "admin"
		}
		tokens = append(tokens, config.Token{Name: name, Role: role, Tenants: []string{on}, Secret: name})
	}
	who, err := auth.NewStatic(tokens)
	if err != nil {
		t.Fatal(err)
	}
	server, err := rpc.NewServer(rpc.ServerConfig{Addr: "127.0.0.1:0", Auth: who, Policy: policy(), Telemetry: tel, Screen: admin.Screen})
	if err != nil {
		t.Fatal(err)
	}
	recurrencesv1.RegisterRecurrencesServiceServer(server, admin.New(admin.Deps{
		Pool: e.Pool, Store: e.Store, Runs: d.runs, Outbox: e.Outbox, Clock: e.Clock, Tenants: e.Tenants, Importer: e.Importer, Operate: d.people,
		Connectors: d.states, Wake: func(_ context.Context, _ pgx.Tx, tenant string) error { d.woken = append(d.woken, tenant); return nil },
	}))
	audit.Register(server, e.Pool)
	books.Register(server, e.Pool, nil)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	d.addr = server.Addr()
	return d
}

// policy is that of the service.
func policy() auth.Policy { return audit.WithPolicy(books.WithPolicy(admin.Policy())) }

func (d *desk) conn(token string) *grpc.ClientConn {
	d.t.Helper()
	c, err := rpc.Dial(d.addr, token)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (d *desk) as(token string) recurrencesv1.RecurrencesServiceClient {
	return recurrencesv1.NewRecurrencesServiceClient(d.conn(token))
}

// agree imports recurrences that are active, monthly on the 30th and due today, one card each.
func (d *desk) agree(ids ...string) {
	d.t.Helper()
	lines := make([]string, len(ids))
	for i, id := range ids {
		lines[i] = fmt.Sprintf("%s,cus-%s,Ana Souza,seller-%d,49.90,BRL,monthly,30,,2025-10-30,tok_%s,visa,active,Mensalidade", id, id, i%2+1, id)
	}
	if n, refused := d.CSV(lines...); n.Inserted != int64(len(ids)) {
		d.t.Fatalf("%+v, refused %v", n, refused)
	}
}

// morning makes a run of charge-due on a date and a charge of that cycle for each recurrence, which it is to send.
func (d *desk) morning(on string, ids ...string) (run.Run, []store.Charge) {
	d.t.Helper()
	at := importstest.At(on + "T11:00:00Z")
	tick := fmt.Sprintf("%s/recurrences/charge-due@%s", tenant, at.Format(time.RFC3339))
	r := run.Run{
		Service: store.Service, ID: run.ID(tick), TickID: tick, Tenant: tenant, Schedule: "charge-due", Job: "recurrences/charge-due", NominalTime: at,
		LocalDate: on, WindowStart: at, WindowEnd: at, Timezone: "America/Sao_Paulo", Trigger: "cron",
	}
	day, err := recurrence.ParseDate(on)
	if err != nil {
		d.t.Fatal(err)
	}
	var charges []store.Charge
	d.tx(func(ctx context.Context, tx pgx.Tx) (err error) {
		if _, err := d.runs.Insert(ctx, tx, r); err != nil {
			return err
		}
		for _, id := range ids {
			all, err := d.Store.Recurrences(ctx, tx, store.Key{Tenant: tenant, ID: id})
			if err != nil {
				return err
			}
			charges = append(charges, store.Charge{
				Tenant: tenant, RecurrenceID: id, Cycle: recurrence.Cycle{Date: day, ChargeOn: day}, CustomerID: all[0].CustomerID, SellerID: all[0].SellerID,
				CardID: all[0].CardID, Gateway: "cielo", Amount: all[0].Amount, RunID: r.ID, NominalTime: at,
				Send: store.Send{Run: r.ID, Date: day, Cause: store.ByRun},
			})
		}
		charges, err = d.Store.InsertCharges(ctx, tx, charges)
		return err
	})
	return r, charges
}

func (d *desk) tx(fn func(ctx context.Context, tx pgx.Tx) error) {
	d.t.Helper()
	if err := pg.InTx(d.Ctx(), d.Pool, func(tx pgx.Tx) error { return fn(d.Ctx(), tx) }); err != nil {
		d.t.Fatal(err)
	}
}

// trail is the audit trail, as people read it.
func (d *desk) trail() []string {
	d.t.Helper()
	return d.Strings("SELECT concat_ws(' | ', actor, action, target, detail, request_id) FROM audit_entries WHERE action <> 'ImportRecurrences' ORDER BY seq")
}

// walk reads all pages of a list.
func walk[T any](t *testing.T, page func(token string) ([]T, string, error)) (all []T) {
	t.Helper()
	for token, first := "", true; first || token != ""; first = false {
		items, next, err := page(token)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) > 10_000 {
			t.Fatal("a list without an end")
		}
		all, token = append(all, items...), next
	}
	return all
}

func wantCode(t *testing.T, what string, err error, code codes.Code, says string) {
	t.Helper()
	if s := status.Convert(err); s.Code() != code || !strings.Contains(s.Message(), says) {
		t.Errorf("%s: %v %q, want %v and %q", what, s.Code(), s.Message(), code, says)
	}
}
