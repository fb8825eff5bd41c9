// Package suspense lets people say whose the money is that gateways have moved beyond the books: two of them, with a reason and evidence, post it
// out of suspense. Nothing here asks a gateway or sends anything.
package suspense

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
	"github.com/agogopay/agogo/services/recurrences/internal/suspense/db"
)

// KindResolved is the kind of the posting of a decision.
const KindResolved = "recon.resolved"

// Desk takes decisions.
type Desk struct {
	Store *store.Store
}

// Words are what a person says about a finding.
type Words struct {
	Finding  uuid.UUID
	To       string // seller_payable, gateway_receivable, treasury, fees or losses
	Amount   int64  // out of suspense, with the sign that it has in the books; 0: all that is left
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
	charge db.LockChargeRow
	words  Words
	actor  string
	now    time.Time
	left   int64

	proposed *db.SuspenseDecision  // that nobody has agreed to yet
	agreed   []db.SuspenseDecision // the newest first
}

// Decide records the first person's words, and posts when a second one gives the same. Other words take their place. Whoever repeats what
// was agreed on is told so, and nothing is posted again.
func (d *Desk) Decide(ctx context.Context, tx pgx.Tx, tenant string, w Words, actor string) (Decision, error) {
	x := &decision{desk: d, tx: tx, q: db.New(tx), words: w, actor: actor, now: d.Store.Clock.Now()}
	if err := x.read(ctx, tenant); err != nil {
		return Decision{}, err
	}
	account, err := x.account()
	if err != nil {
		return Decision{}, err
	}
	if len(x.agreed) > 0 && x.repeats(x.agreed[0], account) {
		return x.outcome(account, x.agreed[0].Amount, x.left, true), nil
	}
	amount, err := x.amount(ctx, account)
	if err != nil {
		return Decision{}, err
	}
	return x.say(ctx, account, amount)
}

// read holds the charge, and finds what is in suspense and what was said of it.
func (x *decision) read(ctx context.Context, tenant string) error {
	id := x.words.Finding
	found, err := x.q.Found(ctx, db.FoundParams{Tenant: tenant, ReconID: id})
	if err != nil {
		return fmt.Errorf("find finding %s: %w", id, err)
	}
	if len(found) == 0 {
		return rpc.NotFound("finding", id.String())
	}
	x.f = found[0]
	charges, err := x.q.LockCharge(ctx, db.LockChargeParams{Tenant: tenant, ChargeID: x.f.SubjectID})
	if err != nil || len(charges) == 0 {
		return fmt.Errorf("lock the charge of finding %s: %w", id, orNone(err))
	}
	x.charge = charges[0]
	x.left, err = x.q.Left(ctx, db.LeftParams{Tenant: tenant, Provider: x.f.Provider, SubjectID: x.f.SubjectID, Attempt: x.f.Attempt, Currency: x.f.Currency})
	if err != nil {
		return fmt.Errorf("sum up what is in suspense: %w", err)
	}
	all, err := x.q.Decisions(ctx, db.DecisionsParams{Tenant: tenant, Provider: x.f.Provider, SubjectID: x.f.SubjectID, Attempt: x.f.Attempt})
	if err != nil {
		return fmt.Errorf("find what was said: %w", err)
	}
	if len(all) > 0 && all[0].AgreedBy == "" {
		x.proposed, all = &all[0], all[1:]
	}
	x.agreed = all
	return nil
}

func orNone(err error) error {
	if err == nil {
		return pgx.ErrNoRows
	}
	return err
}

// repeats reports whether these are the words of the newest decision, from one of those who took it: an answer that was lost, say. All
// that is left was said of nothing more than what is gone: with something left it is said of that.
func (x *decision) repeats(d db.SuspenseDecision, account string) bool {
	return (x.actor == d.ProposedBy || x.actor == d.AgreedBy) && d.Account == account && d.Reason == x.words.Reason && d.Evidence == x.words.Evidence &&
		(x.left == 0 && x.words.Amount == 0 || x.words.Amount == d.Amount && (x.left == 0 || d.ReconID == x.words.Finding))
}

// say proposes, or posts what was proposed.
func (x *decision) say(ctx context.Context, account string, amount int64) (Decision, error) {
	p := x.proposed
	same := p != nil && p.Amount == amount && p.Account == account && p.Reason == x.words.Reason && p.Evidence == x.words.Evidence
	switch {
	case same && p.ProposedBy == x.actor: // and it still waits for somebody else
		return x.outcome(account, amount, x.left, false), nil
	case same:
		return x.outcome(account, amount, x.left-amount, true), x.post(ctx, *p)
	}
	f, number := x.f, len(x.agreed)+1
	err := x.q.Propose(ctx, db.ProposeParams{
		DecisionID: idOf(f, number), Tenant: f.Tenant, Provider: f.Provider, ReconID: f.ReconID, SubjectID: f.SubjectID, Attempt: f.Attempt,
		Reference: f.Reference, Number: int32(number), Currency: f.Currency, Amount: amount, Account: account, Reason: x.words.Reason,
		Evidence: x.words.Evidence, ProposedBy: x.actor, Now: x.now,
	})
	if err != nil {
		return Decision{}, fmt.Errorf("propose for finding %s: %w", f.ReconID, err)
	}
	out := x.outcome(account, amount, x.left, false)
	if p != nil {
		out.Replaces = p.ProposedBy
	}
	return out, nil
}

func (x *decision) outcome(account string, amount, left int64, agreed bool) Decision {
	c := money.Currency(x.f.Currency)
	return Decision{Account: account, Amount: money.Amount{Minor: amount, Currency: c}, Left: money.Amount{Minor: left, Currency: c}, Agreed: agreed}
}

// post moves the money, and tells of it. What people wrote stays in the table and the audit trail.
func (x *decision) post(ctx context.Context, d db.SuspenseDecision) error {
	told, err := x.q.Told(ctx, d.ReconID)
	if err != nil {
		return fmt.Errorf("count the events of finding %s: %w", d.ReconID, err)
	}
	n, err := x.q.Agree(ctx, db.AgreeParams{DecisionID: d.DecisionID, AgreedBy: x.actor, Now: x.now})
	if err == nil && n != 1 {
		err = errors.New("somebody else has, though its charge is held")
	}
	if err != nil {
		return fmt.Errorf("agree about finding %s: %w", d.ReconID, err)
	}
	if err := ledger.Post(ctx, x.tx, posting(d, x.now)); err != nil {
		return err
	}
	before := "mismatch"
	if told > 0 {
		before = "resolved"
	}
	version := told + 2 // behind that of the finding itself, which was told
	msg, err := x.desk.Store.Event(ctx, d.Tenant, "recon.resolved", d.ReconID.String(), version, &eventsv1.Recon{
		Tenant: d.Tenant, Provider: d.Provider, ReconId: d.ReconID.String(), State: "resolved", PreviousState: before, SubjectId: d.SubjectID.String(),
		AttemptReference: d.Reference, Account: d.Account, Reason: &eventsv1.Reason{Code: x.f.Code},
		Difference: &eventsv1.Money{Minor: -d.Amount, Currency: d.Currency}, // as findings tell it: what the gateway moved more than the books
	})
	if err != nil {
		return err
	}
	return x.desk.Store.Outbox.Append(ctx, x.tx, msg)
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
