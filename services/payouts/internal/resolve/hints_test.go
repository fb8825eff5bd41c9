package resolve_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/approve"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// verbs are what a person can do to one payout.
func (d *desk) verbs() map[string]single {
	people := &approve.Approver{Store: d.Env.Store, Clock: d.Env.Clock}
	return map[string]single{
		"hold": d.Hold, "release": d.Release, "cancel": d.Cancel, "retry": d.Retry, "approve": people.ApprovePayout, "reject": people.RejectPayout,
		"resolve": func(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
			_, err := d.Resolve(ctx, tx, tenant, id, notPaid)
			return err
		},
		"resolve --pay-again": func(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
			_, err := d.Resolve(ctx, tx, tenant, id, payAgain)
			return err
		},
		"reverse": func(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, _ string) error {
			_, err := d.AskBack(ctx, tx, tenant, id)
			return err
		},
	}
}

// dry says what a command comes to and takes it back.
func (d *desk) dry(do single) (code, hint string) {
	d.t.Helper()
	undone := errors.New("undone")
	err := d.do(func(tx pgx.Tx) error {
		return errors.Join(do(d.as("ada"), tx, payoutstest.Tenant, d.id, "because"), undone)
	})
	var refusal interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &refusal) {
		if !errors.Is(err, undone) {
			d.t.Fatal(err)
		}
		return "", ""
	}
	for _, detail := range refusal.GRPCStatus().Details() {
		if f, ok := detail.(*errdetails.PreconditionFailure); ok {
			return f.GetViolations()[0].GetType(), f.GetViolations()[0].GetDescription()
		}
	}
	d.t.Fatalf("a refusal without a next step: %v", err)
	return "", ""
}

// plainly has names in the place of ids.
func (d *desk) plainly(hint string) string {
	d.t.Helper()
	var run, batch uuid.UUID
	if err := d.Env.Pool.QueryRow(d.t.Context(), "SELECT run_id, batch_id FROM payouts WHERE payout_id = $1", d.id).Scan(&run, &batch); err != nil {
		d.t.Fatal(err)
	}
	return strings.NewReplacer(d.id.String(), "ID", run.String(), "RUN", batch.String(), "BATCH", sending.Payee(1), "PAYEE").Replace(hint)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got)\n%s", name, diff)
	}
}

var verbIn = regexp.MustCompile(`agogo payouts ([a-z]+) ID`)

// In each state, what is refused names nothing that the same state refuses.
func TestRefusalsOfAStateNameWhatItAllows(t *testing.T) {
	t.Parallel()
	d := walletDesk(t, 0)
	var lines []string
	for _, state := range []string{
		"created", "skipped", "awaiting_approval", "approved", "rejected", "held", "held, as restored", "submitting", "processing", "unknown", "manual_review", "succeeded",
		"failed", "failed, to be tried again", "reversed", "cancelled",
	} {
		name, again, _ := strings.Cut(state, ",")
		d.SQL("UPDATE payouts SET state = $1, reason_code = CASE WHEN $1 = 'held' AND $2 <> '' THEN 'restored' ELSE 'by_person' END, retry_at = CASE WHEN $1 = 'failed' AND $2 <> '' THEN now() END",
			name, again)
		refused, hints := map[string]bool{}, map[string]string{}
		for verb, do := range d.verbs() {
			if code, hint := d.dry(do); code == "state" {
				refused[verb], hints[verb] = true, d.plainly(hint)
			}
		}
		for _, verb := range slices.Sorted(maps.Keys(hints)) {
			lines = append(lines, fmt.Sprintf("%s: %s: %s", state, verb, hints[verb]))
			for _, named := range verbIn.FindAllStringSubmatch(hints[verb], -1) {
				if refused[named[1]] {
					t.Errorf("in %s %s is refused and points to %s, which is refused too", state, verb, named[1])
				}
			}
		}
	}
	golden(t, "states.golden", strings.Join(lines, "\n")+"\n")
}

// scenario is a refusal, what of its hint is followed, and where that leads.
type scenario struct {
	set    func(t *testing.T) *desk
	verb   string
	code   string
	follow []string // commands, in the words of the hint; what begins with another word is done by mend
	mend   map[string]func(d *desk)
	end    string
}

// obey does what a hint says.
func (d *desk) obey(c scenario, said string) {
	d.t.Helper()
	if do, ok := c.mend[said]; ok {
		do(d)
		return
	}
	words := strings.Fields(said)
	switch verb := strings.Join(words[1:min(3, len(words))], " "); {
	case words[1] == "payouts" && verb != "payouts resolve":
		if err := d.single(d.verbs()[words[2]]); err != nil {
			d.t.Fatalf("%s: %v", said, err)
		}
	case verb == "payouts resolve" || said == "two people decide":
		d.mustDecide("ada", notPaid, false)
		d.Pass(d.sender)
		d.mustDecide("bob", notPaid, true)
	case verb == "payees resume":
		d.SQL("UPDATE payees SET state = 'active', pause_reason = ''")
	case verb == "providers resume":
		d.InTx(func(tx pgx.Tx) error {
			_, err := d.States.Resume(d.Ctx(), tx, orange, provider.Reason{Code: payout.CodeByPerson})
			return err
		})
	case words[1] == "start":
		d.StopTenant(false)
	case verb == "batches resume":
		d.SQL("UPDATE batches SET control = 'open'")
	case verb == "runs cancel":
		d.InTx(func(tx pgx.Tx) error { return d.Env.Store.CancelRun(d.Ctx(), tx, d.runID(), "given up") })
		d.later(12) // its provider is asked anew
	case verb == "restore list":
		d.asked()
	default:
		d.t.Fatalf("nobody knows how to %q", said)
	}
}

var orange = provider.Connector{Tenant: payoutstest.Tenant, Provider: "orange", Kind: "orange_omr"}

func stopsProvider(d *desk) {
	d.InTx(func(tx pgx.Tx) error {
		_, err := d.States.Stop(d.Ctx(), tx, orange, provider.Reason{Scope: "provider", Code: "not_subscribed"})
		return err
	})
}

func (d *desk) runID() (id uuid.UUID) {
	d.t.Helper()
	if err := d.Env.Pool.QueryRow(d.t.Context(), "SELECT run_id FROM payouts WHERE payout_id = $1", d.id).Scan(&id); err != nil {
		d.t.Fatal(err)
	}
	return id
}

// asked lets time pass in which providers are asked what a restore has lost.
func (d *desk) asked() {
	d.t.Helper()
	for range 4 {
		d.SweepOnly()
		if err := d.sender.Prechecks.Pass(d.Ctx()); err != nil {
			d.t.Fatal(err)
		}
		d.Env.Clock.Advance(2 * time.Minute)
		d.Sweep(d.sender)
		d.Pass(d.sender)
	}
}

// held has one payout that was planned and is held for a cause.
func held(code string, with ...func(*desk)) func(*testing.T) *desk {
	return func(t *testing.T) *desk {
		d := walletDesk(t, time.Hour)
		for _, set := range with {
			set(d)
		}
		d.hold(code)
		return d
	}
}

func (d *desk) hold(code string) {
	d.t.Helper()
	d.InTx(func(tx pgx.Tx) error {
		_, err := d.Env.Store.Apply(d.Ctx(), tx, []store.Change{{PayoutID: d.id, From: []payout.State{payout.Approved}, To: payout.Held, Reason: payout.HeldBy(code)}})
		return err
	})
}

func sql(query string, args ...any) func(*desk) { return func(d *desk) { d.SQL(query, args...) } }

func rules(set func(*config.Payouts)) func(*desk) { return func(d *desk) { set(d.Rules()) } }

// restored has the tables come from a backup.
func restored(d *desk) {
	now := d.Env.Clock.Now()
	d.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
}

// elsewhere has EVENTS tell of the payout through another provider.
func elsewhere(d *desk) {
	restored(d)
	d.SQL("INSERT INTO restore_lost (subject_id, tenant, owner_id, provider, amount, state, epoch, version) VALUES ($1, $2, $3, 'wave', 24000, 'succeeded', 0, 5)",
		d.id, payoutstest.Tenant, sending.Payee(1))
}

var paused = sql("UPDATE batches SET control = 'paused'")

// toWave moves the payee's wallet to another provider.
func toWave(d *desk) {
	d.Tenants.Tenants[0].Providers["wave"] = config.Provider{Name: "wave", Kind: "wave"}
	d.walletAt("ada", 1, "wave")
	if err := d.confirm("ben", sending.Phone(1)[8:]); err != nil {
		d.t.Fatal(err)
	}
	d.Env.Clock.Advance(2 * time.Hour)
}

// denied has one payout that was sent, denied twice by its provider who deduplicates, and waits behind a pause.
func denied(with ...func(*desk)) func(*testing.T) *desk {
	return func(t *testing.T) *desk {
		d := walletDesk(t, 0)
		d.Config.Deduplicates = true
		lost := provider.Result{Class: provider.Ambiguous, Code: "timeout"}
		d.sender = d.Sender(sending.Hooks{
			Submit: func(context.Context, provider.Transfer, provider.Submitter) provider.Result { return lost },
			Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
				return provider.Found{}, nil
			},
		})
		d.Outcomes = d.sender.Outcomes
		d.Dispatch(d.sender, d.run)
		paused(d)
		d.later(12)
		if got := d.One(); got != "approved/proven_never_created" {
			t.Fatalf("it is %s", got)
		}
		for _, set := range with {
			set(d)
		}
		return d
	}
}

// inReviewOf has one payout that people have to decide about, of a provider that says so.
func inReviewOf(f provider.Found, proposed admin.Resolution) func(*testing.T) *desk {
	return func(t *testing.T) *desk {
		d, s := scripted(t, provider.Result{Class: provider.Ambiguous, Code: "timeout"})
		d.later(10)
		if got := d.One(); !strings.HasPrefix(got, "manual_review/") {
			t.Fatalf("it is %s", got)
		}
		d.mustDecide("bob", proposed, false)
		s.lookup = f
		if f.Exists {
			d.Pass(d.sender)
		}
		return d
	}
}

var cancelled = sql("UPDATE batches SET control = 'cancelled'")

// contradicting has one payout whose provider says that it paid what it had refused.
func contradicting(refusal provider.Class, with ...func(*desk)) func(*testing.T) *desk {
	return func(t *testing.T) *desk {
		d, s := scripted(t, provider.Result{Class: refusal, Scope: provider.ScopePayment, Code: "x"})
		d.contradict(s)
		for _, set := range with {
			set(d)
		}
		return d
	}
}

// settleIt are the commands of what is contradicted; settled sees that they have something to show.
var (
	settleIt = []string{"agogo recon list --tenant lebenis", "agogo recon suspense", "agogo recon resolve FINDING"}
	settled  = map[string]func(*desk){"agogo recon list --tenant lebenis": func(d *desk) {
		if n := d.Count("SELECT count(*) FROM recon_findings WHERE subject_id = $1 AND code = 'paid_after_closed' AND found LIKE 'succeeded%'", d.id); n != 1 {
			d.t.Error("nothing says that it was paid")
		}
	}, "agogo recon suspense": func(d *desk) {
		if n := d.Count("SELECT COALESCE(sum(amount), 0)::bigint FROM suspense_groups WHERE subject_id = $1", d.id); n < 24_000 {
			d.t.Errorf("%d of it are in suspense", n)
		}
	}, "agogo recon resolve FINDING": func(*desk) {}}
)

func scenarios() map[string]scenario {
	raise := func(set func(*config.Payouts)) map[string]func(*desk) {
		return map[string]func(*desk){"in the tenants file": rules(set)}
	}
	clearCaps := sql("UPDATE payouts SET cap_date = NULL")
	again := func(d *desk) { d.Env.Clock.Advance(time.Hour) }
	return map[string]scenario{
		"held, payee paused": {
			set: held(payout.CodePayeePaused, sql("UPDATE payees SET state = 'paused'")), verb: "release", code: "held_for_cause",
			follow: []string{"agogo payees resume PAYEE"}, end: "succeeded",
		},
		"held, payee paused, in a paused batch": {
			set: held(payout.CodePayeePaused, sql("UPDATE payees SET state = 'paused'"), paused), verb: "release", code: "held_for_cause",
			follow: []string{"agogo payees resume PAYEE", "agogo batches resume BATCH"}, end: "succeeded",
		},
		"held, payee paused, in a cancelled run": {
			set: held(payout.CodePayeePaused, sql("UPDATE payees SET state = 'paused'"), sql("UPDATE batches SET control = 'cancelled'")), verb: "release",
			code: "run_cancelled", end: "cancelled/run_cancelled",
		},
		"held, tenant stopped": {
			set: held(payout.CodeTenantStop, func(d *desk) { d.StopTenant(true) }), verb: "release", code: "held_for_cause",
			follow: []string{"agogo start --tenant lebenis"}, end: "succeeded",
		},
		"held, its provider is gone": {
			set:  held(payout.CodeProviderStopped, func(d *desk) { delete(d.Tenants.Tenants[0].Providers, "orange"); d.unserved() }),
			verb: "release", code: "held_for_cause", follow: []string{"put provider orange back into the tenants file"},
			mend: map[string]func(*desk){"put provider orange back into the tenants file": (*desk).served}, end: "succeeded",
		},
		"held, its provider has stopped": {
			set: held(payout.CodeProviderStopped, stopsProvider), verb: "release", code: "held_for_cause", follow: []string{"agogo providers resume orange"}, end: "succeeded",
		},
		"held, want of float": {
			set: held(payout.CodeFloat), verb: "release", code: "held_for_cause", follow: []string{"agogo float top-up"},
			mend: map[string]func(*desk){"agogo float top-up": again}, end: "succeeded",
		},
		"held, above the day": {
			set: held(payout.CodeDailyCap, clearCaps, rules(func(p *config.Payouts) { p.DailyCap = 1 })), verb: "release", code: "held_for_cause",
			follow: []string{"in the tenants file"}, mend: raise(func(p *config.Payouts) { p.DailyCap = 0 }), end: "succeeded",
		},
		"held, above the payee's day": {
			set: held(payout.CodePayeeDailyCap, clearCaps, rules(func(p *config.Payouts) { p.PayeeDailyCap = 1 })), verb: "release", code: "held_for_cause",
			follow: []string{"in the tenants file"}, mend: raise(func(p *config.Payouts) { p.PayeeDailyCap = 0 }), end: "succeeded",
		},
		"held, one payment above the most": {
			set: held(payout.CodeMaxPerPayout, rules(func(p *config.Payouts) { p.MaxPerPayout = 1 })), verb: "release", code: "held_for_cause",
			follow: []string{"in the tenants file"}, mend: raise(func(p *config.Payouts) { p.MaxPerPayout = 0 }), end: "succeeded",
		},
		"held by a person, above the day": {
			set: held(payout.CodeByPerson, clearCaps, rules(func(p *config.Payouts) { p.DailyCap = 1 })), verb: "release", code: "daily_cap",
			follow: []string{"raise the cap", "give the command again"}, mend: map[string]func(*desk){
				"raise the cap": rules(func(p *config.Payouts) { p.DailyCap = 0 }),
				"give the command again": func(d *desk) {
					if err := d.single(d.Release); err != nil {
						d.t.Fatal(err)
					}
				},
			}, end: "succeeded",
		},
		"held, the wallet is with another provider": {
			set: held(payout.CodeDestination, toWave), verb: "release", code: "other_provider", follow: []string{"agogo payouts cancel ID"}, end: "cancelled/by_person",
		},
		"held, the wallet is not confirmed": {
			set: held(payout.CodeDestination, func(d *desk) { d.wallet("ada", 77) }), verb: "release", code: "destination_unconfirmed",
			follow: []string{"agogo payees confirm PAYEE"}, mend: map[string]func(*desk){"agogo payees confirm PAYEE": func(d *desk) {
				if err := d.confirm("ben", sending.Phone(77)[8:]); err != nil {
					d.t.Fatal(err)
				}
				d.mustRefuse(d.single(d.Release), "destination_cooling_off")
				d.Env.Clock.Advance(2 * time.Hour)
				if err := d.single(d.Release); err != nil {
					d.t.Fatal(err)
				}
			}}, end: "succeeded",
		},
		"held, no wallet": {
			set: held(payout.CodeDestination, sql("UPDATE payees SET phone = ''")), verb: "release", code: "no_wallet",
			follow: []string{"import the payee with a telephone number first"}, mend: map[string]func(*desk){"import the payee with a telephone number first": func(d *desk) {
				d.SQL("UPDATE payees SET phone = $1", sending.Phone(1))
			}}, end: "succeeded",
		},
		"denied, approved in a paused batch": {
			set: denied(), verb: "cancel", code: "denied_once", follow: []string{"agogo runs cancel RUN", "two people decide"}, end: "failed/resolved_not_paid",
		},
		"denied, the wallet is with another provider: cancel": {
			set: denied(toWave), verb: "cancel", code: "denied_once", follow: []string{"agogo runs cancel RUN", "two people decide"}, end: "failed/resolved_not_paid",
		},
		"denied, the wallet is with another provider: release": {
			set:  denied(toWave, func(d *desk) { d.hold(payout.CodeDestination) }),
			verb: "release", code: "denied_once", follow: []string{"agogo runs cancel RUN", "two people decide"}, end: "failed/resolved_not_paid",
		},
		"after a restore, held": {
			set: held(payout.CodeByPerson, restored), verb: "cancel", code: "sent_before_restore", follow: []string{"agogo restore list", "give the command again"},
			mend: map[string]func(*desk){"give the command again": (*desk).cancel}, end: "cancelled/by_person",
		},
		"told of elsewhere, approved in a paused batch": {
			set: func(t *testing.T) *desk { d := walletDesk(t, 0); elsewhere(d); paused(d); return d }, verb: "cancel", code: "told_elsewhere",
			follow: []string{"agogo payouts hold ID", "agogo payouts release ID", "agogo payouts cancel ID"}, mend: map[string]func(*desk){"agogo payouts cancel ID": (*desk).cancel}, end: "cancelled/by_person",
		},
		"told of elsewhere, held for its payee in a paused batch": {
			set: held(payout.CodePayeePaused, elsewhere, paused), verb: "cancel", code: "told_elsewhere",
			follow: []string{"agogo payouts hold ID", "agogo payouts release ID", "agogo payouts cancel ID"}, mend: map[string]func(*desk){"agogo payouts cancel ID": (*desk).cancel}, end: "cancelled/by_person",
		},
		"told of elsewhere, held as restored": {
			set: held(payout.CodeRestored, elsewhere), verb: "cancel", code: "told_elsewhere",
			follow: []string{"agogo payouts release ID", "agogo payouts cancel ID"}, mend: map[string]func(*desk){"agogo payouts cancel ID": (*desk).cancel}, end: "cancelled/by_person",
		},
		"told of elsewhere, held as restored, to be paid here": {
			set: held(payout.CodeRestored, elsewhere), verb: "cancel", code: "told_elsewhere",
			follow: []string{"agogo payouts release ID", "agogo payouts release ID --reason TEXT, given again"}, mend: map[string]func(*desk){"agogo payouts release ID --reason TEXT, given again": func(d *desk) {
				if err := d.single(d.Release); err != nil {
					d.t.Fatal(err)
				}
				d.asked()
			}}, end: "succeeded",
		},
		"told of elsewhere, held as restored, paid there": {
			set: held(payout.CodeRestored, elsewhere), verb: "cancel", code: "told_elsewhere",
			follow: []string{"leave it held"}, mend: map[string]func(*desk){"leave it held": (*desk).asked}, end: "held/restored",
		},
		"told of elsewhere, the wallet is with another provider": {
			set: held(payout.CodeDestination, elsewhere, toWave), verb: "release", code: "told_elsewhere",
			follow: []string{"agogo payouts hold ID", "agogo payouts release ID", "agogo payouts cancel ID"}, mend: map[string]func(*desk){"agogo payouts cancel ID": (*desk).cancel}, end: "cancelled/by_person",
		},
		"in review, of a cancelled run, to be paid again": {
			set: func(t *testing.T) *desk {
				d := inReviewOf(provider.Found{}, notPaid)(t)
				d.SQL("UPDATE batches SET control = 'cancelled'")
				return d
			}, verb: "resolve --pay-again", code: "run_cancelled", follow: []string{"say not_paid without --pay-again"},
			mend: map[string]func(*desk){"say not_paid without --pay-again": (*desk).notPaid}, end: "failed/resolved_not_paid",
		},
		"in review, not asked since": {
			set: inReviewOf(provider.Found{}, notPaid), verb: "resolve", code: "lookup_outstanding", follow: []string{"give the same command again"},
			mend: map[string]func(*desk){"give the same command again": (*desk).notPaid}, end: "failed/resolved_not_paid",
		},
		"in review, at work on it there": {
			set: inReviewOf(provider.Found{Exists: true, Result: provider.Result{Class: provider.Accepted}}, notPaid), verb: "resolve", code: "lookup_contradicts",
			follow: []string{"wait for its outcome"}, end: "manual_review/not_resendable",
			mend: map[string]func(*desk){"wait for its outcome": func(*desk) {}},
		},
		"in review, another amount moved": {
			set: inReviewOf(differing(provider.Result{Class: provider.Succeeded})["amount_differs"], notPaid), verb: "resolve", code: "lookup_contradicts",
			follow: []string{"What moved is paid"}, mend: map[string]func(*desk){"What moved is paid": func(d *desk) {
				d.mustDecide("ada", isPaid, false)
				d.Pass(d.sender)
				d.mustDecide("bob", isPaid, true)
			}}, end: "succeeded/resolved_paid",
		},
		"failed, in a cancelled run": {
			set: func(t *testing.T) *desk {
				d, _ := scripted(t, provider.Result{Class: provider.RejectedRetryable, Scope: provider.ScopePayment, Code: "x"})
				d.SQL("UPDATE batches SET control = 'cancelled'")
				return d
			}, verb: "retry", code: "run_cancelled", end: "cancelled/run_cancelled",
		},
		"contradicted": {
			set:  contradicting(provider.RejectedFinal),
			verb: "retry", code: "contradicted", follow: settleIt, mend: settled, end: "failed/x",
		},
		"contradicted, what differs": {
			set:  func(t *testing.T) *desk { d, s := calledNotPaid(t, 42_000); d.says(s, of(42_000, paidThere)); return d },
			verb: "retry", code: "contradicted", follow: settleIt, mend: settled, end: "failed/resolved_not_paid",
		},
		"contradicted, held, in a cancelled run": { // it does not end with it, and its payments are kept
			set:  contradicting(provider.RejectedRetryable, cancelled),
			verb: "release", code: "contradicted", follow: settleIt, mend: settled, end: "held/contradicted",
		},
		"contradicted, failed, in a cancelled run": {
			set:  contradicting(provider.RejectedFinal, cancelled),
			verb: "retry", code: "contradicted", follow: settleIt, mend: settled, end: "failed/x",
		},
		"after a restore, held, in a cancelled run, its provider is gone": { // nobody can ask, so that it does not end
			set:  held(payout.CodeProviderStopped, restored, cancelled, func(d *desk) { delete(d.Tenants.Tenants[0].Providers, "orange"); d.unserved() }),
			verb: "release", code: "sent_before_restore", follow: []string{"put provider orange back into the tenants file", "it is asked then"},
			mend: map[string]func(*desk){"put provider orange back into the tenants file": (*desk).served, "it is asked then": (*desk).asked}, end: "cancelled/run_cancelled",
		},
	}
}

func (d *desk) cancel() {
	d.t.Helper()
	d.asked() // cancelled earlier, it says that its provider is being asked
	if err := d.single(d.Cancel); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) notPaid() {
	d.t.Helper()
	d.Pass(d.sender)
	d.mustDecide("ada", notPaid, true)
}

// unserved takes the provider out of the service, served puts it back.
func (d *desk) unserved() {
	none := *d.sender.Outcomes
	none.Connectors = &connector.Set{}
	d.Outcomes = &none
}

func (d *desk) served() {
	d.Tenants.Tenants[0].Providers["orange"] = config.Provider{Name: "orange", Kind: d.Config.Kind}
	d.Outcomes = d.sender.Outcomes
}

// Each refusal that is not of a state alone has a hint whose words, followed one by one, are not refused and lead to an end.
func TestEveryHintLeadsOut(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var lines []string
	t.Cleanup(func() {
		slices.Sort(lines)
		golden(t, "hints.golden", strings.Join(lines, "\n")+"\n")
	})
	for name, c := range scenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := c.set(t)
			code, hint := d.dry(d.verbs()[c.verb])
			if code != c.code {
				t.Fatalf("%s is refused as %q (%s), want %q", c.verb, code, hint, c.code)
			}
			hint = d.plainly(hint)
			mu.Lock()
			lines = append(lines, fmt.Sprintf("%s: %s: %s: %s", name, c.verb, code, hint))
			mu.Unlock()
			for _, said := range c.follow {
				if !strings.Contains(hint, said) {
					t.Fatalf("the hint is %q, and says nothing of %q", hint, said)
				}
				d.obey(c, said)
				d.later(1)
			}
			d.later(12)
			if got := d.One(); got != c.end {
				t.Errorf("it led to %s, want %s", got, c.end)
			}
		})
	}
}
