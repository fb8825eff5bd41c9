package recipient_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/recipient/db"
	"github.com/agogopay/agogo/services/payouts/internal/runs"
	"github.com/agogopay/agogo/simulator"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// desk is a tenant that pays over Wave and has wallets verified.
type desk struct {
	*sending.Env
	t *testing.T
}

// names of payees 1, 2 and 3: one agrees, one does not, and of the third Wave knows none.
func newDesk(t *testing.T, rule string) *desk {
	t.Helper()
	d := &desk{t: t, Env: sending.NewOf(t, sending.Wave(), func(c *simulator.Config) {
		c.Wave.Names = map[string]string{sending.Phone(1): "Mariam Bamba", sending.Phone(2): "Somebody Else"}
	})}
	d.Config.VerifyRecipients = rule
	d.rule(rule)
	return d
}

// rule is the tenants file's from now on.
func (d *desk) rule(rule string) {
	p := d.Tenants.Tenants[0].Providers["wave"]
	p.VerifyRecipients = rule
	d.Tenants.Tenants[0].Providers["wave"] = p
}

// owe imports a payment for each of n payees, all of one name, and plans the evening's run.
func (d *desk) owe(n int, name, evening string) uuid.UUID {
	d.t.Helper()
	csv := payoutstest.Header
	for i := 1; i <= n; i++ {
		csv += fmt.Sprintf("%s-%d,%s,%s,%s,30000,XOF,orange_money,completed,%sT12:00:00Z,\n", evening[:10], i, sending.Payee(i), name, sending.Phone(i), evening[:10])
	}
	if _, refused := d.Import(csv); len(refused) > 0 {
		d.t.Fatalf("refused: %v", refused)
	}
	d.Exec.Dispatch = func(context.Context, uuid.UUID, int) error { return nil }
	return d.Run(payoutstest.Daily(evening))
}

const next = "2025-01-25T23:59:00Z"

// states are those of an evening's payouts by payee.
func (d *desk) states(run uuid.UUID) map[string]string {
	d.t.Helper()
	rows, err := d.Pool.Query(d.t.Context(), "SELECT payee_id, state, reason_code, provider_code FROM payouts WHERE run_id = $1", run)
	if err != nil {
		d.t.Fatal(err)
	}
	all := map[string]string{}
	var payee, state, code, detail string
	_, err = pgx.ForEachRow(rows, []any{&payee, &state, &code, &detail}, func() error {
		if state == "held" {
			state = strings.TrimSuffix(state+" "+code+" "+detail, " ")
		}
		all[payee] = state
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

func (d *desk) want(run uuid.UUID, states ...string) {
	d.t.Helper()
	want := map[string]string{}
	for i, s := range states {
		want[sending.Payee(i+1)] = s
	}
	if diff := cmp.Diff(want, d.states(run)); diff != "" {
		d.t.Fatalf("payouts (-want +got):\n%s", diff)
	}
}

func (d *desk) ask(s *sending.Sender) {
	d.t.Helper()
	if err := s.Recipients.Pass(d.Ctx()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) confirm(name string, payee int) error {
	return pgx.BeginFunc(d.t.Context(), d.Pool, func(tx pgx.Tx) error {
		return d.Store.ConfirmPayee(d.As("user:"+name), tx, payoutstest.Tenant, sending.Payee(payee), "user:"+name, sending.Phone(payee)[9:])
	})
}

func (d *desk) questions() int64 {
	return d.Count("SELECT count(*) FROM recipients WHERE checked_at IS NOT NULL")
}

// Nothing is paid before the provider has said whose wallet it is. Who agrees is paid; of the others operators hear why not; a person who
// did not import them may know better.
func TestAPayoutWaitsUntilItsWalletIsVerified(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	s := d.Sender()
	run := d.owe(3, "Mariam Bamba", sending.Evening)
	unverified := "held recipient_unverified"
	d.want(run, unverified, unverified, unverified)
	d.Dispatch(s, run)
	d.Sweep(s) // and stays so until somebody asks
	d.want(run, unverified, unverified, unverified)
	if n := d.Requests(); n != 0 {
		t.Fatalf("%d requests to pay", n)
	}
	d.ask(s)
	d.Sweep(s)
	d.want(run, "succeeded", "held recipient_mismatch name_differs", "held recipient_mismatch name_unknown")
	d.Sweep(s)
	d.ask(s)
	types := d.EventTypes("payout")
	if n := len(types); n != 3*2+2+3 { // created and held; held anew; released, submitting, succeeded
		t.Errorf("%d events: %v", n, types)
	}
	if err := d.confirm("test", 2); err == nil || !strings.Contains(err.Error(), "you imported the wallet or the name") {
		t.Errorf("confirmed by who imported it: %v", err)
	}
	if err := d.confirm("ben", 2); err != nil {
		t.Fatal(err)
	}
	if err := d.confirm("ben", 1); err == nil || !strings.Contains(err.Error(), "needs no confirmation") {
		t.Errorf("a verified wallet confirmed: %v", err)
	}
	d.Sweep(s)
	d.want(run, "succeeded", "succeeded", "held recipient_mismatch name_unknown")
	d.Finish()

	// The next evening nobody is asked again who is known, and what is known to be wrong is held at once.
	asked := d.questions()
	d.Clock.Advance(time.Hour)
	second := d.owe(3, "Mariam Bamba", next)
	d.want(second, "approved", "approved", "held recipient_mismatch name_unknown")
	d.ask(s)
	if n := d.questions(); n != asked {
		t.Errorf("%d wallets asked about, %d before", n, asked)
	}
	d.Dispatch(s, second)
	d.want(second, "succeeded", "succeeded", "held recipient_mismatch name_unknown")
	d.Check()
	d.CheckEvents()
	for _, e := range d.Events() {
		if strings.Contains(string(e.Body), "Bamba") || strings.Contains(string(e.Body), "Somebody") {
			t.Fatalf("a name is in %s", e.Type)
		}
	}
}

// Who brought the wallet does not confirm that it is the payee's because an import of somebody else spells the name otherwise, and who brought
// the name does not because somebody else has brought the wallet.
func TestNobodyConfirmsTheirOwnWallet(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	s := d.Sender()
	file := func(actor, name string) {
		csv := "payee_id,name,phone,provider,locale\n" + sending.Payee(2) + "," + name + "," + sending.Phone(2) + ",,\n"
		_, err := d.Importer.Payees(d.As("user:"+actor), d.Tenants.Tenants[0], "csv", strings.NewReader(csv), rows.Sink{
			Refused: func(r rows.Error) error { return fmt.Errorf("refused: %v", r) }, Progress: func(rows.Counts) error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	refused := func(actor string) {
		t.Helper()
		if err := d.confirm(actor, 2); err == nil || !strings.Contains(err.Error(), "you imported the wallet or the name") {
			t.Fatalf("%s confirms it: %v", actor, err)
		}
	}
	file("mallory", "Mariam Bamba")
	run := d.owe(2, "Mariam BAMBA", sending.Evening) // of user:test, like every night
	d.ask(s)
	d.Sweep(s)
	d.want(run, "succeeded", "held recipient_mismatch name_differs")
	refused("mallory")
	refused("test")
	file("ben", "Mariam Bamba") // who then is the one who brought the name
	d.ask(s)
	d.Sweep(s)
	refused("mallory")
	refused("ben")
	if err := d.confirm("test", 2); err != nil {
		t.Fatal(err)
	}
	d.Sweep(s)
	d.want(run, "succeeded", "succeeded")
}

// A name that changes afterwards is another question, also for what is approved, or held, already; and for what a person has confirmed.
func TestAnotherNameIsVerifiedAnew(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	s := d.Sender()
	run := d.owe(2, "Mariam Bamba", sending.Evening)
	d.ask(s)
	if err := d.confirm("ben", 2); err != nil {
		t.Fatal(err)
	}
	d.SQL("UPDATE payees SET name = 'Awa Traoré'") // between the answer and the release
	d.Sweep(s)
	d.want(run, "held recipient_unverified", "held recipient_unverified")
	d.ask(s)
	d.Sweep(s)
	d.want(run, "held recipient_mismatch name_differs", "held recipient_mismatch name_differs")
	d.SQL("UPDATE payees SET name = 'Mariam Bamba'")
	d.Sweep(s)
	d.want(run, "held recipient_unverified", "held recipient_unverified")
	d.ask(s)
	d.SweepOnly() // approved
	d.want(run, "approved", "held recipient_mismatch name_differs")
	d.SQL("UPDATE payees SET name = 'Awa Traoré' WHERE payee_id = $1", sending.Payee(1))
	d.Commands(s)
	d.want(run, "held recipient_unverified", "held recipient_mismatch name_differs")
	if n := d.Requests(); n != 0 {
		t.Errorf("%d requests to pay", n)
	}
	d.Check()
	d.CheckEvents()
}

// What was approved before anybody asked is held when it is about to be sent, asked about, and goes.
func TestTheRuleMayComeAndGo(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "")
	d.rule(config.VerifyNone)
	run := d.owe(3, "Mariam Bamba", sending.Evening)
	d.want(run, "approved", "approved", "approved")
	if n := d.Count("SELECT count(*) FROM recipients"); n != 0 {
		t.Errorf("%d wallets to ask about though nobody asks", n)
	}
	d.Config.VerifyRecipients = config.VerifyMatch
	d.rule(config.VerifyMatch)
	s := d.Sender()
	d.Dispatch(s, run)
	d.want(run, "held recipient_unverified", "held recipient_unverified", "held recipient_unverified")
	d.ask(s)
	d.SweepOnly()
	d.want(run, "approved", "held recipient_mismatch name_differs", "held recipient_mismatch name_unknown")
	d.rule(config.VerifyWallet) // another rule: what was answered by the first does not count
	d.Sweep(s)
	d.want(run, "approved", "held recipient_unverified", "held recipient_unverified")
	d.ask(s)
	d.SweepOnly()
	d.want(run, "approved", "approved", "approved")
	d.rule(config.VerifyMatch) // by which the first was verified before
	d.Commands(s)
	d.want(run, "succeeded", "held recipient_unverified", "held recipient_unverified")
	d.rule(config.VerifyNone)
	d.Sweep(s)
	d.want(run, "succeeded", "succeeded", "succeeded")
	d.Check()
	d.CheckEvents()
}

// Silence says nothing: it stays held, is asked again after pauses that grow, and goes when there is an answer.
func TestASilentProviderIsAskedAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyPartial)
	s := d.Sender()
	if err := d.Sim.Plan(simulator.Plan{Rules: []simulator.Rule{{Provider: simulator.Wave, Operation: "verify", Fault: simulator.ServerErrorBefore, Times: 2}}}); err != nil {
		t.Fatal(err)
	}
	run := d.owe(1, "Mariam Bamba", sending.Evening)
	for i, pause := range []time.Duration{time.Second, 2 * time.Second} {
		d.ask(s)
		d.Sweep(s)
		d.want(run, "held recipient_unverified")
		if n := d.Count("SELECT unanswered FROM recipients"); n != int64(i+1) {
			t.Fatalf("%d questions without an answer, want %d", n, i+1)
		}
		d.Clock.Advance(pause - time.Millisecond)
		d.ask(s) // too early
		if n := d.Count("SELECT unanswered FROM recipients"); n != int64(i+1) {
			t.Fatalf("asked again before %s are over", pause)
		}
		d.Clock.Advance(time.Millisecond)
	}
	d.ask(s)
	d.Sweep(s)
	d.want(run, "succeeded")
	d.CheckEvents()
}

type verifier func(ctx context.Context, destination, name string, amount money.Amount) (provider.Recipient, error)

func (v verifier) VerifyRecipient(ctx context.Context, destination, name string, amount money.Amount) (provider.Recipient, error) {
	return v(ctx, destination, name, amount)
}

// While a replica asks about a page, the others leave it alone and go on with the next one.
func TestTwoReplicasDoNotAskTwice(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	const payees = 100 // more than a page
	var mu sync.Mutex
	asked := map[string]int{}
	begun, others := make(chan struct{}, payees), make(chan struct{})
	verify := func(wait bool) sending.Hooks {
		return sending.Hooks{Verify: verifier(func(_ context.Context, destination, _ string, amount money.Amount) (provider.Recipient, error) {
			mu.Lock()
			asked[destination]++
			mu.Unlock()
			if amount != (money.Amount{Minor: 24_000, Currency: "XOF"}) {
				t.Errorf("asked about %v", amount)
			}
			if wait {
				begun <- struct{}{}
				<-others
			}
			return provider.Recipient{Receives: true, Name: provider.NameMatches}, nil
		})}
	}
	slow, quick := d.Sender(verify(true)), d.Sender(verify(false))
	run := d.owe(payees, "Mariam Bamba", sending.Evening)
	var one sync.WaitGroup
	one.Go(func() {
		if err := slow.Recipients.Pass(d.Ctx()); err != nil {
			t.Error(err)
		}
	})
	<-begun
	for range 3 {
		d.ask(quick)
	}
	close(others)
	one.Wait()
	if len(asked) != payees {
		t.Errorf("%d wallets of %d were asked about", len(asked), payees)
	}
	if most := slices.Max(slices.Collect(maps.Values(asked))); most != 1 {
		t.Errorf("one of them %d times", most)
	}
	d.SweepOnly()
	if n := d.Count("SELECT count(*) FROM payouts WHERE run_id = $1 AND state = 'approved'", run); n != payees {
		t.Errorf("%d of %d are released", n, payees)
	}
}

// Answers that come late change nothing: after a person has spoken, after the name has changed, after the lease has gone to another.
func TestALateAnswerDoesNotCount(t *testing.T) {
	t.Parallel()
	no := provider.Recipient{Code: "payee_inactive"}
	for name, tt := range map[string]struct {
		meanwhile func(d *desk)
		want      string
	}{
		"a person has confirmed": {func(d *desk) {
			if err := d.confirm("ben", 1); err != nil {
				d.t.Error(err)
			}
		}, "confirmed"},
		"another name, and held anew": {func(d *desk) {
			d.SQL("UPDATE payees SET name = 'Awa Traoré'")
			d.SweepOnly()
		}, "unverified"},
		"another replica has asked": {func(d *desk) {
			d.SQL("UPDATE recipients SET lease_expires_at = now() - interval '1 second'")
			d.ask(d.Sender())
		}, "verified"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, config.VerifyMatch)
			d.owe(1, "Mariam Bamba", sending.Evening)
			late := d.Sender(sending.Hooks{Verify: verifier(func(context.Context, string, string, money.Amount) (provider.Recipient, error) {
				tt.meanwhile(d)
				return no, nil
			})})
			d.ask(late)
			var state string
			if err := d.Pool.QueryRow(t.Context(), "SELECT state FROM recipients").Scan(&state); err != nil || state != tt.want {
				t.Errorf("the wallet is %s (%v), want %s", state, err, tt.want)
			}
		})
	}
}

// What speaks against the connector itself is the connector's: a refused credential stops it for payments, too, and nobody is asked while
// it is stopped or rests. An adapter that panics has given no answer.
func TestTheConnectorsStateIsRespected(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	calls := 0
	err := error(&provider.Failure{Result: provider.Result{Class: provider.NotSent, Scope: provider.ScopeProvider, Code: "credentials_refused", Stop: true}})
	s := d.Sender(sending.Hooks{Verify: verifier(func(context.Context, string, string, money.Amount) (provider.Recipient, error) {
		if calls++; err == nil {
			panic("an adapter's defect")
		}
		return provider.Recipient{}, err
	})})
	run := d.owe(1, "Mariam Bamba", sending.Evening)
	ask := func(want int, when string) {
		t.Helper()
		d.Clock.Advance(time.Hour)
		d.ask(s)
		if calls != want {
			t.Fatalf("%s: %d calls, want %d", when, calls, want)
		}
	}
	ask(1, "open")
	st, bad := d.States.Get(t.Context(), d.Pool, s.Connector.Connector)
	if bad != nil || st.State != provider.Stopped {
		t.Fatalf("the connector is %s (%v)", st.State, bad)
	}
	ask(1, "stopped")
	d.InTx(func(tx pgx.Tx) error {
		_, err := d.States.Resume(d.Ctx(), tx, s.Connector.Connector, provider.Reason{Code: "test"})
		return err
	})
	err = &provider.Failure{Result: provider.Result{Class: provider.NotSent, Code: provider.CodeRateLimited, SlowDown: true, RetryAfter: 2 * time.Hour}}
	ask(2, "resumed")
	ask(2, "it asked for fewer calls")
	d.Clock.Advance(2 * time.Hour)
	err = nil
	ask(3, "rested")
	err = errors.New("no answer")
	ask(4, "after a panic")
	d.want(run, "held recipient_unverified")
}

// A preview says who would be held and why, and asks nobody.
func TestAPreviewShowsWhoIsNotVerified(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	s := d.Sender()
	d.owe(2, "Mariam Bamba", sending.Evening)
	d.ask(s)
	d.Sweep(s)
	d.Finish()
	before := d.Count("SELECT count(*) FROM recipients")
	csv := payoutstest.Header
	for i := 1; i <= 3; i++ {
		csv += fmt.Sprintf("next-%d,%s,Mariam Bamba,%s,30000,XOF,orange_money,completed,2025-01-25T12:00:00Z,\n", i, sending.Payee(i), sending.Phone(i))
	}
	d.Import(csv)
	at := payoutstest.At(next)
	got := map[string]string{}
	_, err := d.Planner.Preview(d.Ctx(), d.Pool, run.Run{
		Service: "payouts", ID: run.ID("preview"), TickID: "preview", Tenant: payoutstest.Tenant, Schedule: "preview", Job: runs.JobDaily, NominalTime: at,
		LocalDate: "2025-01-25", WindowStart: at, WindowEnd: at, Timezone: "Africa/Abidjan", Trigger: "preview",
	}, func(page []payout.Payout) error {
		for _, p := range page {
			got[p.PayeeID] = strings.TrimSpace(fmt.Sprint(p.State, " ", p.Reason.Code))
		}
		return nil
	})
	want := map[string]string{sending.Payee(1): "approved", sending.Payee(2): "held recipient_mismatch", sending.Payee(3): "held recipient_unverified"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("preview (-want +got), %v:\n%s", err, diff)
	}
	if n := d.Count("SELECT count(*) FROM recipients"); n != before {
		t.Errorf("%d wallets to ask about, %d before the preview", n, before)
	}
}

// One payout above the wallet's limit keeps no smaller one waiting: what is asked about is the smallest that waits.
func TestALargePayoutHoldsNoSmallerOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyWallet)
	s := d.Sender(sending.Hooks{Verify: verifier(func(_ context.Context, _, _ string, a money.Amount) (provider.Recipient, error) {
		if a.Minor > 20_000 {
			return provider.Recipient{Code: "limit_exceeded"}, nil
		}
		return provider.Recipient{Receives: true}, nil
	})})
	first := d.owe(1, "Mariam Bamba", sending.Evening)
	d.ask(s)
	d.Sweep(s)
	d.want(first, "held recipient_mismatch limit_exceeded")
	d.Finish()
	d.Clock.Advance(25 * time.Hour)
	d.Import(payoutstest.Header + fmt.Sprintf("small,%s,Mariam Bamba,%s,1000,XOF,orange_money,completed,2025-01-25T12:00:00Z,\n", sending.Payee(1), sending.Phone(1)))
	second := d.Run(payoutstest.Daily(next))
	d.want(second, "held recipient_mismatch limit_exceeded")
	d.ask(s)
	d.SweepOnly()
	d.want(second, "approved")
	d.CheckEvents()
}

// Whose wallet it is can be asked while the balance covers no payout, so that all goes once it does.
func TestAWalletIsAskedAboutWhileTheFloatIsShort(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	s := d.Sender()
	d.owe(1, "Mariam Bamba", sending.Evening)
	d.InTx(func(tx pgx.Tx) error {
		_, err := d.States.Short(d.Ctx(), tx, s.Connector.Connector, 1)
		return err
	})
	if st, err := d.States.Get(d.Ctx(), d.Pool, s.Connector.Connector); err != nil || st.RestCode != provider.CodeShort {
		t.Fatalf("it rests for %q (%v)", st.RestCode, err)
	}
	d.ask(s)
	if n := d.questions(); n != 1 {
		t.Errorf("%d wallets are known, want 1", n)
	}
}

// Answers are recorded in the order in which payouts have wallets asked about, whatever order they come in.
func TestAnswersLockInTheOrderOfTheirKeys(t *testing.T) {
	t.Parallel()
	d := newDesk(t, config.VerifyMatch)
	d.owe(2, "Mariam Bamba", sending.Evening)
	first, second := sending.Payee(1), sending.Payee(2)
	d.SQL("UPDATE recipients SET lease_expires_at = $1", d.Clock.Now().Add(time.Hour))
	d.SQL("UPDATE recipients SET lease_expires_at = lease_expires_at WHERE payee_id = $1", first) // now the later one in the table, too
	holder, err := d.Pool.Begin(d.Ctx())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(d.Ctx()) }()
	if _, err := holder.Exec(d.Ctx(), "SELECT FROM recipients WHERE payee_id = $1 FOR UPDATE", first); err != nil {
		t.Fatal(err)
	}
	at := d.Clock.Now()
	lease := []time.Time{at.Add(time.Hour), at.Add(time.Hour)}
	recorded := make(chan error, 1)
	go func() {
		recorded <- db.New(d.Pool).Record(d.Ctx(), db.RecordParams{
			Tenant: payoutstest.Tenant, Provider: "wave", PayeeIds: []string{second, first}, Destinations: []string{sending.Phone(2), sending.Phone(1)},
			Leases: lease, States: []string{"verified", "verified"}, Codes: []string{"", ""}, Sinces: []time.Time{at, at},
			CheckedAts: []time.Time{at, at}, Covers: []int64{0, 0}, Refuses: []int64{0, 0}, Noes: []int32{0, 0},
			Unanswereds: []int32{0, 0}, NextAts: []time.Time{at, at},
		})
	}()
	for d.Count("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks WHERE relation = 'recipients'::regclass)") == 0 {
		select {
		case err := <-recorded:
			t.Fatalf("recorded without waiting: %v", err)
		case <-t.Context().Done():
			t.Fatal("nobody waits")
		default:
			runtime.Gosched()
		}
	}
	if _, err := holder.Exec(d.Ctx(), "SELECT FROM recipients WHERE payee_id = $1 FOR UPDATE NOWAIT", second); err != nil {
		t.Errorf("who waits for the first holds the second: %v", err)
	}
	if err := holder.Rollback(d.Ctx()); err != nil {
		t.Fatal(err)
	}
	if err := <-recorded; err != nil {
		t.Error(err)
	}
}
