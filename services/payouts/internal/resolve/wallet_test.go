package resolve_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resolve"
)

// walletDesk has one payee with a first wallet and a payout that is planned to it.
func walletDesk(t *testing.T, coolOff time.Duration) *desk {
	e := sending.New(t)
	e.Rules().DestinationCoolOff = coolOff
	d := &desk{Env: e, t: t, sender: e.Sender()}
	d.Resolver = &resolve.Resolver{Store: e.Store, Outcomes: d.sender.Outcomes, Clock: e.Clock}
	d.run = e.Plan(1)
	if err := e.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts").Scan(&d.id); err != nil {
		t.Fatal(err)
	}
	return d
}

// wallet imports another wallet for the payee, as a person.
func (d *desk) wallet(name string, n int) {
	d.t.Helper()
	d.walletAt(name, n, "")
}

func (d *desk) walletAt(name string, n int, provider string) {
	d.t.Helper()
	file := fmt.Sprintf("payee_id,name,phone,provider,locale\n%s,Livreur,%s,%s,fr\n", sending.Payee(1), sending.Phone(n), provider)
	sink := rows.Sink{Refused: func(r rows.Error) error { return &r }, Progress: func(rows.Counts) error { return nil }}
	if _, err := d.Importer.Payees(d.as(name), d.Tenants.Tenants[0], "csv", strings.NewReader(file), sink); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) confirm(name, ends string) error {
	return d.do(func(tx pgx.Tx) error {
		return d.Env.Store.ConfirmPayee(d.as(name), tx, payoutstest.Tenant, sending.Payee(1), "user:"+name, ends)
	})
}

func (d *desk) paidTo(n int) {
	d.t.Helper()
	if got := d.One(); got != "succeeded" {
		d.t.Fatalf("the payout is %s", got)
	}
	for _, entry := range d.Book() {
		if entry.Peer != sending.Peer(n) {
			d.t.Errorf("paid to %s, want %s", entry.Peer, sending.Peer(n))
		}
	}
	d.Check()
}

// Trap 14: the destination changes between plan and send. The payout keeps the wallet it was planned for, and is sent to
// neither until a second person has confirmed the new one, the cool-off is over, and a person has readdressed it.
func TestAChangedWalletWaitsForASecondPersonAndTheCoolOff(t *testing.T) {
	t.Parallel()
	d := walletDesk(t, 24*time.Hour)
	d.wallet("ada", 77)
	d.Dispatch(d.sender, d.run)
	held := func(when string) {
		t.Helper()
		d.later(3)
		if got := d.One(); got != "held/destination_changed" || d.Requests() != 0 {
			t.Fatalf("%s it is %s after %d requests", when, got, d.Requests())
		}
		if n := d.Count("SELECT count(*) FROM payouts WHERE destination = $1", sending.Phone(1)); n != 1 {
			t.Fatalf("%s its destination was changed", when)
		}
		if got := d.EventTypes("payout"); len(got) != 3 {
			t.Fatalf("%s it goes in and out: %v", when, got)
		}
	}
	held("after the import")
	d.mustRefuse(d.single(d.Release), "destination_unconfirmed")
	d.mustRefuse(d.confirm("ada", ""), "own_change")
	d.mustRefuse(d.confirm("ben", sending.Phone(1)[8:]), "other_wallet")
	for _, few := range []string{"", sending.Phone(77)[len(sending.Phone(77))-3:]} { // whatever stands there now
		if err := d.confirm("ben", few); status.Code(err) != codes.InvalidArgument {
			t.Errorf("confirmed by %q: %v", few, err)
		}
	}
	if err := d.confirm("ben", sending.Phone(77)[8:]); err != nil {
		t.Fatal(err)
	}
	d.mustRefuse(d.confirm("cleo", ""), "nothing_to_confirm")
	held("confirmed")
	d.mustRefuse(d.single(d.Release), "destination_cooling_off")
	d.Env.Clock.Advance(24 * time.Hour)
	held("cooled off")
	if err := d.single(d.Release); err != nil {
		t.Fatal(err)
	}
	d.Commands(d.sender)
	d.paidTo(77)
}

// A wallet is a number with a provider: what was planned for the number with one is not sent to it, nor to another number,
// with the other, confirmed or not.
func TestAWalletWithAnotherProviderIsPaidByTheNextRun(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"another number": 77, "the same number": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := walletDesk(t, time.Hour)
			d.Tenants.Tenants[0].Providers["wave"] = config.Provider{Name: "wave", Kind: "wave"}
			d.walletAt("ada", n, "wave")
			d.Dispatch(d.sender, d.run)
			if err := d.confirm("ben", sending.Phone(n)[8:]); err != nil {
				t.Fatal(err)
			}
			d.Env.Clock.Advance(2 * time.Hour)
			d.later(3)
			if got := d.One(); got != "held/destination_changed" || d.Requests() != 0 {
				t.Fatalf("it is %s after %d requests", got, d.Requests())
			}
			if got := d.EventTypes("payout"); len(got) != 3 {
				t.Fatalf("it goes in and out: %v", got)
			}
			d.mustRefuse(d.single(d.Release), "other_provider")
			if err := d.single(d.Cancel); err != nil {
				t.Fatal(err)
			}
			if n := d.Count("SELECT count(*) FROM payments WHERE payout_id IS NULL"); n != 1 {
				t.Errorf("%d payments are free for the next run", n)
			}
			d.Check()
		})
	}
}

// A payout that nothing held when the provider changed is held when it is to be sent.
func TestAConfirmedProviderIsAskedForWhenAPayoutIsSent(t *testing.T) {
	t.Parallel()
	d := walletDesk(t, 0)
	d.Tenants.Tenants[0].Providers["wave"] = config.Provider{Name: "wave", Kind: "wave"}
	d.walletAt("ada", 1, "wave")
	if err := d.confirm("ben", sending.Phone(1)[8:]); err != nil {
		t.Fatal(err)
	}
	d.Dispatch(d.sender, d.run)
	if got := d.One(); got != "held/destination_changed" || d.Requests() != 0 {
		t.Fatalf("it is %s after %d requests", got, d.Requests())
	}
}

// A tenant changes its default provider. What is planned for payees who name none keeps the one that it was planned for, whether it is
// approved or held for something else meanwhile; a payee who had named a provider, and names none now, is another matter.
func TestTheDefaultProviderChanges(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]bool{"approved": false, "held": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := walletDesk(t, 0)
			d.Tenants.Tenants[0].Providers["wave"] = config.Provider{Name: "wave", Kind: "wave"}
			if held {
				d.StopTenant(true)
				d.Dispatch(d.sender, d.run)
			}
			d.Rules().DefaultProvider = "wave"
			if held {
				d.StopTenant(false)
				d.later(2)
			} else {
				d.Dispatch(d.sender, d.run)
			}
			d.paidTo(1)
		})
	}
	t.Run("named before", func(t *testing.T) {
		t.Parallel()
		d := walletDesk(t, 0)
		d.Tenants.Tenants[0].Providers["wave"] = config.Provider{Name: "wave", Kind: "wave"}
		d.SQL("UPDATE payouts SET by_default = false") // it was planned while the payee named orange
		d.Rules().DefaultProvider = "wave"
		d.Dispatch(d.sender, d.run)
		if got := d.One(); got != "held/destination_changed" || d.Requests() != 0 {
			t.Fatalf("it is %s after %d requests", got, d.Requests())
		}
	})
}

// What is planned to a changed wallet goes there by itself once that is confirmed and has cooled off.
func TestPlannedToAnUnconfirmedWallet(t *testing.T) {
	t.Parallel()
	d := walletDesk(t, time.Hour)
	d.Dispatch(d.sender, d.run)
	d.paidTo(1)
	d.wallet("ada", 77)
	d.Import(payoutstest.Header + fmt.Sprintf("pay-x,%s,Livreur,,30000,XOF,orange_money,completed,2025-01-25T12:00:00Z,\n", sending.Payee(1)))
	d.Env.Clock.Set(payoutstest.At("2025-01-25T23:59:05Z"))
	d.SQL("UPDATE payees SET destination_changed_at = $1", d.Env.Clock.Now())
	d.Run(payoutstest.Daily(nextEvening))
	is := func(want string) {
		t.Helper()
		d.later(2)
		if n := d.Count("SELECT count(*) FROM payouts WHERE period_date = '2025-01-25' AND state || '/' || reason_code = $1", want); n != 1 {
			t.Fatalf("not %s: %v", want, d.PayoutStates())
		}
	}
	is("held/destination_changed")
	if err := d.confirm("ben", sending.Phone(77)[8:]); err != nil {
		t.Fatal(err)
	}
	is("held/destination_changed") // cooling off
	if err := d.Env.Pool.QueryRow(t.Context(), "SELECT payout_id FROM payouts WHERE period_date = '2025-01-25'").Scan(&d.id); err != nil {
		t.Fatal(err)
	}
	if code, hint := d.dry(d.Release); code != "destination_cooling_off" || !strings.HasPrefix(hint, "it goes by itself") {
		t.Errorf("released while it cools off: %s, %s", code, hint)
	}
	d.Env.Clock.Advance(time.Hour)
	is("succeeded/")
	peers := map[string]int{}
	for _, entry := range d.Book() {
		peers[entry.Peer]++
	}
	if diff := cmp.Diff(map[string]int{sending.Peer(1): 1, sending.Peer(77): 1}, peers); diff != "" {
		t.Errorf("transfers by wallet (-want +got):\n%s", diff)
	}
	d.Check()
}

// A wrong file is mended by the right one: the trusted wallet needs nobody.
func TestBackAtTheTrustedWalletNothingWaits(t *testing.T) {
	t.Parallel()
	d := walletDesk(t, time.Hour)
	d.wallet("ada", 77)
	d.wallet("ada", 1)
	d.Dispatch(d.sender, d.run)
	d.paidTo(1)
	d.wallet("ada", 77)
	d.wallet("ada", 78)
	d.mustRefuse(d.confirm("ada", ""), "own_change")
	if err := d.confirm("ben", sending.Phone(78)[8:]); err != nil {
		t.Fatal(err)
	}
	d.wallet("cleo", 1) // once another is confirmed, the first is a stranger
	if n := d.Count("SELECT count(*) FROM payees WHERE unconfirmed AND destination_changed_by = 'user:cleo'"); n != 1 {
		t.Error("a wallet that was given up is trusted")
	}
}

func TestAFirstWalletIsTrustedUnlessTheTenantSaysOtherwise(t *testing.T) {
	t.Parallel()
	for confirmFirst, want := range map[bool]string{false: "approved", true: "held/destination_changed"} {
		e := sending.New(t)
		e.Rules().ConfirmFirstDestination = confirmFirst
		e.Import(payoutstest.Header + payoutstest.Pay("a", sending.Payee(1), 30_000, "2025-01-24T12:00:00Z"))
		e.Run(payoutstest.Daily(sending.Evening))
		if got := e.One(); got != want {
			t.Errorf("confirm_first_destination %v: %s, want %s", confirmFirst, got, want)
		}
	}
}

// A payment's row that names another wallet changes the payee's, too: it is no way around.
func TestAPaymentsRowChangesTheWalletToo(t *testing.T) {
	t.Parallel()
	d := walletDesk(t, 0)
	d.Import(payoutstest.Header + fmt.Sprintf("pay-x,%s,Livreur,%s,30000,XOF,orange_money,pending,,\n", sending.Payee(1), sending.Phone(77)))
	d.Dispatch(d.sender, d.run)
	d.later(2)
	if got := d.One(); got != "held/destination_changed" || d.Requests() != 0 {
		t.Errorf("it is %s after %d requests", got, d.Requests())
	}
	d.mustRefuse(d.confirm("test", ""), "own_change")
}

func TestAPersonPausesAPayee(t *testing.T) {
	t.Parallel()
	d := walletDesk(t, 0)
	pause := func() (ok bool) {
		d.InTx(func(tx pgx.Tx) (err error) {
			ok, err = d.Env.Store.PausePayee(d.as("ada"), tx, payoutstest.Tenant, sending.Payee(1), "user:ada", "wallet stolen")
			return err
		})
		return ok
	}
	if !pause() || pause() {
		t.Error("a payee is paused once")
	}
	if got := d.One(); got != "held/"+payout.CodePayeePaused {
		t.Errorf("what was approved is %s", got)
	}
	d.later(2)
	d.InTx(func(tx pgx.Tx) error {
		_, err := d.Env.Store.ResumePayee(d.as("ada"), tx, payoutstest.Tenant, sending.Payee(1))
		return err
	})
	d.later(2)
	d.paidTo(1)
}

// Trap 7. What may have been paid through one provider is not paid through another: its payee has gone over to that, the tenant has, the next
// evening comes, and people want it gone. Only what was definitely refused is planned anew, with the other.
func TestWhatIsInDoubtIsNotPaidThroughAnotherProvider(t *testing.T) {
	t.Parallel()
	lost := provider.Result{Class: provider.Ambiguous, Code: "timeout"}
	refused := provider.Result{Class: provider.RejectedFinal, Scope: provider.ScopePayee, Code: "payee_not_found"}
	for name, c := range map[string]struct {
		answer       provider.Result // to a send; the money has moved when it is ambiguous
		deduplicates bool
		minutes      int // that the provider knows nothing for, with everything that happens by itself
		state        string
		code         string // of the refusal to cancel it
	}{
		"unknown":            {lost, false, 0, "unknown/timeout", "state"},
		"for people":         {lost, false, 3, "manual_review/not_resendable", "state"},
		"denied":             {lost, true, 6, "held/destination_changed", "denied_once"},
		"definitely refused": {refused, false, 3, "failed/payee_not_found", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := walletDesk(t, time.Second)
			blind := true
			d.sender = d.Sender(sending.Hooks{Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
				if c.answer.Class == provider.Ambiguous {
					real.Submit(ctx, tr)
				}
				return c.answer
			}, Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
				if blind {
					return provider.Found{}, nil
				}
				return real.Lookup(ctx, tr)
			}})
			d.sender.Connector.Policy.Deduplicates = c.deduplicates
			d.Outcomes = d.sender.Outcomes
			d.Dispatch(d.sender, d.run)

			d.Tenants.Tenants[0].Providers["wave"] = config.Provider{Name: "wave", Kind: "wave"}
			d.Rules().DefaultProvider = "wave"
			d.walletAt("ada", 1, "wave")
			if err := d.confirm("ben", sending.Phone(1)[8:]); err != nil {
				t.Fatal(err)
			}
			d.later(c.minutes)
			if got := d.One(); got != c.state {
				t.Fatalf("it is %s", got)
			}
			if c.code != "" {
				d.mustRefuse(d.single(d.Cancel), c.code)
				if err := d.single(d.Release); err == nil {
					t.Error("it is released")
				}
			}
			d.Run(payoutstest.Daily("2025-01-25T23:59:00Z"))
			if n := d.Count("SELECT count(*) FROM payouts WHERE provider = 'wave'"); (n == 1) != (c.code == "") {
				t.Fatalf("%d payouts go through the other provider", n)
			}
			if c.code == "" {
				return
			}
			blind = false
			if c.deduplicates { // as its refusal says
				err := d.do(func(tx pgx.Tx) error { return d.Env.Store.CancelRun(d.as("ada"), tx, d.run, "the payee has gone over") })
				if err != nil {
					t.Fatal(err)
				}
			}
			d.Env.Clock.Advance(25 * time.Hour)
			d.later(5)
			if got, n := d.One(), d.Count("SELECT count(*) FROM attempts"); got != "succeeded" || n != 1 {
				t.Errorf("%s with %d attempts", got, n)
			}
			d.Check()
		})
	}
}
