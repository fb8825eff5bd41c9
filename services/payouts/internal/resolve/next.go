package resolve

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/resolve/db"
	"github.com/agogopay/agogo/services/payouts/internal/store"
)

// Every refusal ends in something that can be done, and that leads on: TestEveryHintLeadsOut follows each of them.

// refused says that a payout is not where a command finds it, and what there is to do about one that is there.
func refused(p payout.Payout, why string) error {
	return rpc.Refused("state", why+"; "+p.Next(), "payout %s is %s", p.ID, p.State)
}

// lookAgain says that somebody else was faster, or something is under way.
func lookAgain(p payout.Payout, why string) error {
	return rpc.Refused("state", why+"; look at it again: agogo payouts get "+p.ID.String(), "payout %s is %s", p.ID, p.State)
}

// contradicted refuses what could pay a second time.
func contradicted(p payout.Payout) error {
	return rpc.Refused("contradicted", "nothing sends it again. agogo recon list --tenant "+p.Tenant+" says what its provider told; what that moved, if anything, is in agogo recon suspense, and two people say whose it is: agogo recon resolve FINDING --to ACCOUNT --reason TEXT --evidence TEXT",
		"the provider contradicts what is booked about an attempt of payout %s", p.ID)
}

// ofCancelled refuses what a cancelled batch would take back at once.
func (r *Resolver) ofCancelled(ctx context.Context, tx pgx.Tx, p payout.Payout, next string) error {
	cancelled, err := r.Store.OfCancelled(ctx, tx, p.ID)
	if err != nil || len(cancelled) == 0 {
		return err
	}
	return rpc.Refused("run_cancelled", next, "batch %s was cancelled with its run", p.BatchID)
}

// waits refuses to release what a cause holds that ends by itself when it is mended, and says how it is.
func (r *Resolver) waits(ctx context.Context, tx pgx.Tx, p payout.Payout, over bool) error {
	next := r.mend(p)
	if over {
		doubts, err := r.Store.Doubts(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		d := doubts[p.ID]
		if _, served := r.Outcomes.Connectors.Get(p.Tenant, p.Provider); d.Restored && !d.Elsewhere && !served { // nobody can ask, and it does not end
			return r.maybePaid(ctx, tx, p, d)
		}
		next = "its run was cancelled: it ends by itself, or is held as restored soon, and is released then; look at it again: agogo payouts get " + p.ID.String()
	}
	paused, err := db.New(tx).BatchIsPaused(ctx, p.BatchID)
	if err != nil {
		return fmt.Errorf("read whether batch %s is paused: %w", p.BatchID, err)
	}
	if paused {
		next += ", once its batch is resumed as well: agogo batches resume " + p.BatchID.String()
	}
	return rpc.Refused("held_for_cause", next, "payout %s is held for %s", p.ID, p.Reason.Code)
}

// mend is how the cause of a hold ends, and the payout is released by itself.
func (r *Resolver) mend(p payout.Payout) string {
	const then = "; it is released by itself then"
	_, served := r.Outcomes.Connectors.Get(p.Tenant, p.Provider)
	switch {
	case p.Reason.Code == payout.CodePayeePaused:
		return "agogo payees list --state paused says why; mend that, then agogo payees resume " + p.PayeeID + " --reason TEXT" + then
	case p.Reason.Code == payout.CodeTenantStop:
		return "agogo start --tenant " + p.Tenant + then
	case !served:
		return "put provider " + p.Provider + " back into the tenants file" + then
	case p.Reason.Code == payout.CodeFloat:
		return "agogo float list says what is wanting at " + p.Provider + "; send it there, and book it: agogo float top-up AMOUNT --currency " + string(p.Net.Currency) + " --provider " + p.Provider + " --reference TEXT" + then
	case p.Reason.Code == payout.CodeDailyCap, p.Reason.Code == payout.CodePayeeDailyCap:
		return "it goes by itself on a day that has room for it, or when payouts." + p.Reason.Code + " in the tenants file is raised"
	case p.Reason.Code == payout.CodeMaxPerPayout:
		return "one payment above payouts.max_per_payout in the tenants file cannot be split: raise it" + then
	case p.Reason.Scope == payout.ScopeProvider && p.RetryAt == nil:
		return "agogo providers list --tenant " + p.Tenant + " says what its provider refuses; mend that, then agogo providers resume " + p.Provider + " --reason TEXT --tenant " + p.Tenant + then
	case p.RetryAt != nil:
		return "its provider could not take it: it goes by itself at " + p.RetryAt.UTC().Format(time.RFC3339)
	default:
		return "mend the cause" + then
	}
}

// maybePaid refuses to free what may have been paid, and says what does free it.
func (r *Resolver) maybePaid(ctx context.Context, tx pgx.Tx, p payout.Payout, d store.Doubt) error {
	_, served := r.Outcomes.Connectors.Get(p.Tenant, p.Provider)
	switch {
	case d.Elsewhere:
		return toldElsewhere(p)
	case d.Restored && !served:
		return rpc.Refused("sent_before_restore", "put provider "+p.Provider+" back into the tenants file: it is asked then", "payout %s may have been sent before the restore, and nobody can ask about it", p.ID)
	case d.Restored:
		return rpc.Refused("sent_before_restore", "its provider is being asked: give the command again when agogo restore list asks about nothing any more",
			"payout %s may have been sent before the restore", p.ID)
	case d.Denied:
		return r.denied(ctx, tx, p, served)
	default:
		return lookAgain(p, "it may have been paid")
	}
}

// toldElsewhere refuses to end what another provider may have paid before a restore, until a person says that it did not. What it did pay stays
// held: cancelled, its payments would be free for the next run.
func toldElsewhere(p payout.Payout) error {
	id := p.ID.String()
	next := "agogo events tail --follow=false --type 'payout.*' --tenant " + p.Tenant + " tells through which; look there"
	if p.State != payout.Held || p.Reason.Code != payout.CodeRestored {
		next += ", and have it held: agogo payouts hold " + id + " --reason TEXT"
	}
	next += ". If it was paid there, leave it held: nothing else keeps it from being paid twice. If it was not: agogo payouts release " + id +
		" --reason TEXT says so and keeps it held; then agogo payouts cancel " + id + " --reason TEXT ends it, or agogo payouts release " + id + " --reason TEXT, given again, lets it go"
	return rpc.Refused("told_elsewhere", next, "payout %s was told of before the restore, through another provider than %s", p.ID, p.Provider)
}

// denied refuses to end what was sent and denied since: only its own reference may go again, and that where it went.
func (r *Resolver) denied(ctx context.Context, tx pgx.Tx, p payout.Payout, served bool) error {
	wallet, err := r.wallet(ctx, tx, p)
	if err != nil {
		return err
	}
	next := "the same reference goes again when nothing holds it, which pays it once; a new payout could pay it twice. "
	if wallet.Elsewhere {
		next = "its reference goes to no other provider, and the wallet of payee " + p.PayeeID + " is with another one now. "
	}
	next += "To give it up: "
	if !served {
		next += "put provider " + p.Provider + " back into the tenants file, then "
	}
	return rpc.Refused("denied_once", next+"agogo runs cancel "+p.RunID.String()+" --reason TEXT has its provider asked anew, and two people decide", "payout %s was sent, and the provider knows nothing of it yet", p.ID)
}
