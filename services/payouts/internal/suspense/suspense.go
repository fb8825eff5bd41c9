// Package suspense lets people say whose the money is that reconciliation has put by: two of them, with a reason and evidence, post it out
// of suspense. Nothing here asks a provider or sends anything.
package suspense

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/suspense/db"
)

// KindResolved is the kind of the posting of a decision.
const KindResolved = "recon.resolved"

// Desk takes decisions.
type Desk struct {
	Service    string
	Outbox     *outbox.Outbox
	Clock      clock.Clock
	Epoch      *event.Epoch
	Connectors *connector.Set
}

// Words are what a person says about a finding.
type Words struct {
	Finding  uuid.UUID
	To       string // one of the words of account
	Amount   int64  // out of suspense, with the sign that it has there; 0: all that is left
	Currency string // of Amount
	Reason   string
	Evidence string
}

// Decision is what was said, and whether it was agreed on.
type Decision struct {
	Account string
	Amount  money.Amount
	Left    money.Amount // in suspense, after it
	Agreed  bool
	// Replaces is who had proposed something else, which nobody can agree to any more.
	Replaces string
}

// decision is one while it is taken.
type decision struct {
	desk   *Desk
	tx     pgx.Tx
	q      *db.Queries
	f      db.FoundRow
	words  Words
	actor  string
	now    time.Time
	number int32
	left   int64
	payout *db.PayoutRow // that it is about; nil: of nothing of ours
}

// Decide records the first person's words, and posts when a second one gives the same. Other words take their place. Whoever repeats what
// was agreed on is told so, and nothing is posted again.
func (d *Desk) Decide(ctx context.Context, tx pgx.Tx, tenant string, w Words, actor string) (Decision, error) {
	q := db.New(tx)
	found, err := q.Found(ctx, db.FoundParams{Tenant: tenant, ReconID: w.Finding})
	if err != nil {
		return Decision{}, fmt.Errorf("find finding %s: %w", w.Finding, err)
	}
	if len(found) == 0 {
		return Decision{}, rpc.NotFound("finding", w.Finding.String())
	}
	x := &decision{desk: d, tx: tx, q: q, f: found[0], words: w, actor: actor, now: d.Clock.Now()}
	return x.take(ctx)
}

func (x *decision) take(ctx context.Context) (Decision, error) {
	f := x.f
	if err := x.q.LockGroup(ctx, db.LockGroupParams{SubjectID: f.SubjectID.String(), Attempt: f.Attempt}); err != nil {
		return Decision{}, fmt.Errorf("lock what is in suspense: %w", err)
	}
	if err := x.hold(ctx); err != nil {
		return Decision{}, err
	}
	var err error
	x.left, err = x.q.Left(ctx, db.LeftParams{Tenant: f.Tenant, Provider: f.Provider, SubjectID: f.SubjectID, Attempt: f.Attempt, Currency: f.Currency})
	if err != nil {
		return Decision{}, fmt.Errorf("sum up what is in suspense: %w", err)
	}
	account, err := x.account()
	if err != nil {
		return Decision{}, err
	}
	decided, err := x.q.Decided(ctx, db.DecidedParams{Tenant: f.Tenant, Provider: f.Provider, SubjectID: f.SubjectID, Attempt: f.Attempt})
	if err != nil {
		return Decision{}, fmt.Errorf("find what was decided: %w", err)
	}
	if len(decided) > 0 && x.repeats(decided[0], account) {
		return x.outcome(account, decided[0].Amount, x.left, true), nil
	}
	x.number = int32(len(decided)) + 1
	amount, err := x.amount(ctx, account, decided)
	if err != nil {
		return Decision{}, err
	}
	return x.say(ctx, account, amount)
}

// hold waits for a close that is judged and for answers to lookups: nothing changes any more what the decision is judged by. A close
// takes the two in this order.
func (x *decision) hold(ctx context.Context) error {
	f := x.f
	err := x.q.Touch(ctx, db.TouchParams{Tenant: f.Tenant, Provider: f.Provider, ItemKey: f.Reference, SubjectID: f.SubjectID, Attempt: f.Attempt})
	if err != nil {
		return fmt.Errorf("wait for closes of finding %s: %w", f.ReconID, err)
	}
	rows, err := x.q.Payout(ctx, db.PayoutParams{Tenant: f.Tenant, PayoutID: f.SubjectID})
	if err != nil {
		return fmt.Errorf("find the payout of finding %s: %w", f.ReconID, err)
	}
	if len(rows) > 0 {
		x.payout = &rows[0]
	}
	return nil
}

// repeats reports whether these are the words of the newest decision, from one of those who took it: an answer that was lost, say. All
// that is left was said of nothing more than what is gone: with something left it is said of that.
func (x *decision) repeats(d db.SuspenseDecision, account string) bool {
	return (x.actor == d.ProposedBy || x.actor == d.AgreedBy) && d.Account == account && d.Reason == x.words.Reason && d.Evidence == x.words.Evidence &&
		(x.left == 0 && x.words.Amount == 0 || x.words.Amount == d.Amount && (x.left == 0 || d.ReconID == x.words.Finding))
}

// amount is what goes out: no more than is there, and with its sign.
func (x *decision) amount(ctx context.Context, account string, decided []db.SuspenseDecision) (int64, error) {
	want := x.words.Amount
	if want == 0 {
		want = x.left
	}
	switch {
	case x.words.Amount != 0 && x.words.Currency != x.f.Currency:
		return 0, rpc.Invalid("currency", "finding %s is in %s", x.f.ReconID, x.f.Currency)
	case x.left == 0:
		return 0, rpc.Refused("NOTHING_IN_SUSPENSE", "agogo recon suspense lists what is", "nothing is in suspense for finding %s", x.f.ReconID)
	case want > 0 != (x.left > 0), max(want, -want) > max(x.left, -x.left):
		left := money.Amount{Minor: x.left, Currency: money.Currency(x.f.Currency)}
		return 0, rpc.Invalid("amount_minor", "%s %s are in suspense for this finding: take no more, and with that sign", left.Decimal(), left.Currency)
	}
	switch x.words.To {
	case "float":
		return want, x.wholly(account, want, decided)
	case "payable":
		return want, x.owed(ctx, account, want)
	}
	return want, nil
}

// say proposes, or posts what was proposed.
func (x *decision) say(ctx context.Context, account string, amount int64) (Decision, error) {
	f := x.f
	proposed, err := x.q.Proposed(ctx, db.ProposedParams{Tenant: f.Tenant, Provider: f.Provider, SubjectID: f.SubjectID, Attempt: f.Attempt})
	if err != nil {
		return Decision{}, fmt.Errorf("find what was proposed: %w", err)
	}
	same := len(proposed) > 0 && proposed[0].Currency == f.Currency && proposed[0].Amount == amount && proposed[0].Account == account && proposed[0].Reason == x.words.Reason &&
		proposed[0].Evidence == x.words.Evidence
	switch {
	case same && proposed[0].ProposedBy == x.actor: // and it still waits for somebody else
		return x.outcome(account, amount, x.left, false), nil
	case !same:
		err = x.q.Propose(ctx, db.ProposeParams{
			DecisionID: x.id(), Tenant: f.Tenant, Provider: f.Provider, ReconID: f.ReconID, SubjectID: f.SubjectID, Attempt: f.Attempt, Reference: f.Reference,
			Number: x.number, Currency: f.Currency, Amount: amount, Account: account, Reason: x.words.Reason, Evidence: x.words.Evidence, ProposedBy: x.actor, Now: x.now,
		})
		if err != nil {
			return Decision{}, fmt.Errorf("propose for finding %s: %w", f.ReconID, err)
		}
		out := x.outcome(account, amount, x.left, false)
		if len(proposed) > 0 {
			out.Replaces = proposed[0].ProposedBy
		}
		return out, nil
	}
	if err := x.post(ctx, proposed[0]); err != nil {
		return Decision{}, err
	}
	return x.outcome(account, amount, x.left-amount, true), nil
}

func (x *decision) id() uuid.UUID {
	return event.UUID("suspense", x.f.Tenant, x.f.Provider, x.f.SubjectID.String(), fmt.Sprint(x.f.Attempt), fmt.Sprint(x.number))
}

func (x *decision) outcome(account string, amount, left int64, agreed bool) Decision {
	c := money.Currency(x.f.Currency)
	return Decision{Account: account, Amount: money.Amount{Minor: amount, Currency: c}, Left: money.Amount{Minor: left, Currency: c}, Agreed: agreed}
}

// post moves the money, and tells of it.
func (x *decision) post(ctx context.Context, d db.SuspenseDecision) error {
	told, err := x.q.Told(ctx, d.ReconID)
	if err != nil {
		return fmt.Errorf("count the events of finding %s: %w", d.ReconID, err)
	}
	if err := x.q.Agree(ctx, db.AgreeParams{DecisionID: d.DecisionID, AgreedBy: x.actor, Now: x.now}); err != nil {
		return fmt.Errorf("agree about finding %s: %w", d.ReconID, err)
	}
	if err := ledger.Post(ctx, x.tx, posting(d, x.now)); err != nil {
		return err
	}
	msg, err := x.event(ctx, d, told)
	if err != nil {
		return err
	}
	return x.desk.Outbox.Append(ctx, x.tx, msg)
}

// posting takes an amount out of suspense: what is there as a debit goes to the account's debit.
func posting(d db.SuspenseDecision, now time.Time) ledger.Posting {
	p := ledger.Posting{
		Tenant: d.Tenant, Kind: KindResolved, Ref: d.DecisionID.String(), Debit: d.Account, Credit: ledger.Suspense,
		Amount: money.Amount{Minor: d.Amount, Currency: money.Currency(d.Currency)}, OccurredAt: now,
	}
	if d.Amount < 0 {
		p.Debit, p.Credit, p.Amount.Minor = p.Credit, p.Debit, -d.Amount
	}
	return p
}

// event is the outbox row of recon.resolved. What people wrote stays in the table and the report.
func (x *decision) event(ctx context.Context, d db.SuspenseDecision, told db.ToldRow) (outbox.Message, error) {
	const resolved event.Type = "recon.resolved"
	before, version := "", told.Decisions+1
	if told.Told {
		before, version = "mismatch", version+1
	}
	if told.Decisions > 0 {
		before = "resolved"
	}
	body := &eventsv1.Recon{
		Tenant: d.Tenant, Provider: d.Provider, ReconId: d.ReconID.String(), State: "resolved", PreviousState: before, SubjectId: d.SubjectID.String(),
		AttemptReference: d.Reference, Difference: &eventsv1.Money{Minor: d.Amount, Currency: d.Currency}, Account: d.Account, Reason: &eventsv1.Reason{Code: x.f.Code},
	}
	data, err := event.Encode(body)
	if err != nil {
		return outbox.Message{}, fmt.Errorf("encode %s of %s: %w", resolved, d.ReconID, err)
	}
	k := x.desk
	return outbox.FromEvent(ctx, event.New(ctx, k.Service, d.Tenant, resolved, d.ReconID.String(), version, k.Epoch.Now(), x.now), data), nil
}

// errUnknown is an account that a request cannot name: its rules refuse it before.
var errUnknown = errors.New("suspense: no such account")

// account is where the money goes.
func (x *decision) account() (string, error) {
	switch x.words.To {
	case "treasury":
		return ledger.Treasury, nil
	case "fees":
		return ledger.Fees, nil
	case "losses":
		return ledger.Losses, nil
	case "float":
		return ledger.Float(x.f.Provider), x.mayFloat()
	case "payable":
		return x.ofPayee(true)
	case "payee_receivable":
		return x.ofPayee(false)
	}
	return "", errUnknown
}

// mayFloat refuses to say by hand what a statement says: its close would book it a second time.
func (x *decision) mayFloat() error {
	if c, ok := x.desk.Connectors.Get(x.f.Tenant, x.f.Provider); ok && c.Statement != nil {
		return rpc.Refused("STATEMENT_DECIDES", "wait for the next close, or have the day compared again: agogo recon run --date YYYY-MM-DD",
			"%s has statements: money that comes back leaves suspense when one shows it", x.f.Provider)
	}
	return nil
}

// ofPayee is an account of the payee whose payout the finding is about. What paid a payee counts as paid (payable) only where nothing
// will pay it again: for a contradicted payout.
func (x *decision) ofPayee(payable bool) (string, error) {
	p := x.payout
	switch {
	case p == nil:
		next := "take it to treasury, fees or losses"
		if x.mayFloat() == nil {
			next = "take it to treasury, fees, losses or float"
		}
		return "", rpc.Refused("NOBODYS", next, "finding %s is about no payout of ours, so it has no payee", x.f.ReconID)
	case !payable:
		return ledger.PayeeReceivable(p.PayeeID), nil
	case !p.Contradicted:
		return "", rpc.Refused("NOT_CONTRADICTED", "agogo payouts get "+x.f.SubjectID.String()+" shows it",
			"only a payout that is marked as contradicted, and so is never sent again, counts as paid by what is in suspense")
	}
	return ledger.Payable(p.PayeeID), nil
}
