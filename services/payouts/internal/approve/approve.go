// Package approve lets approvers decide about what a tier holds back: single payouts, and a batch with everything of it that
// waits. Nobody approves what they asked for, by starting its run, by importing its payments or by releasing or retrying it,
// and nobody approves twice.
package approve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/rpc"
	"github.com/agogopay/agogo/services/payouts/internal/admin"
	"github.com/agogopay/agogo/services/payouts/internal/store"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Approver decides in the transaction of the request; it implements admin.Approve.
type Approver struct {
	Store *store.Store
	Clock clock.Clock
}

var _ admin.Approve = (*Approver)(nil)

// ties are what a person has to do with something that waits.
type ties struct {
	word              string // theirs about it, "" for none
	started, imported bool
	expires           *time.Time
}

// bars is why the person cannot approve it; "" when they can.
func (t ties) bars(now time.Time) string {
	switch {
	case t.expires != nil && !t.expires.After(now):
		return barExpired
	case t.started || t.imported || t.word == "asked":
		return barOwn
	case t.word != "":
		return barTwice
	default:
		return ""
	}
}

// What keeps a person from approving.
const (
	barExpired = "approval_expired"
	barOwn     = "own_request"
	barTwice   = "already_approved"
)

// refuse puts a bar into words; again is the command that asks for another approval.
func refuse(bar, what, again string) error {
	switch bar {
	case barExpired:
		return rpc.Refused(bar, "ask again: "+again, "nobody answered about %s in time", what)
	case barTwice:
		return rpc.Refused(bar, "another approver must agree", "you have spoken about %s already", what)
	default:
		return rpc.Refused(bar, "another approver must agree", "you asked for %s, or imported a payment of it, and cannot approve it", what)
	}
}

func caller(ctx context.Context) (string, error) {
	a, ok := auth.ActorFrom(ctx)
	if !ok {
		return "", errors.New("approve: no authenticated actor in the context")
	}
	return a.Name, nil
}

// ApprovePayout records the caller's approval; the payout is approved once it has as many as it needs.
func (a *Approver) ApprovePayout(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) error {
	actor, err := caller(ctx)
	if err != nil {
		return err
	}
	rows, err := a.waiting(ctx, tx, tenant, actor, []uuid.UUID{id})
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return a.notWaiting(ctx, tx, tenant, id)
	}
	if bar := tiesOf(rows[0]).bars(a.Clock.Now()); bar != "" {
		return refuse(bar, "payout "+id.String(), "agogo payouts release "+id.String()+" --reason TEXT")
	}
	_, err = a.Store.Agree(ctx, tx, actor, reason, id)
	return err
}

// RejectPayout ends a payout that waits and frees its items. One approver is enough, whoever asked for it.
func (a *Approver) RejectPayout(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID, reason string) error {
	actor, err := caller(ctx)
	if err != nil {
		return err
	}
	rows, err := a.waiting(ctx, tx, tenant, actor, []uuid.UUID{id})
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return a.notWaiting(ctx, tx, tenant, id)
	}
	done, err := a.Store.Reject(ctx, tx, actor, reason, id)
	if err == nil && done == 0 {
		err = a.inDoubt(ctx, tx, "payout "+id.String(), id)
	}
	return err
}

// inDoubt refuses to free what may have been paid already, and says what settles it. Of many the doubt that comes first by what is said here
// speaks for all.
func (a *Approver) inDoubt(ctx context.Context, tx pgx.Tx, what string, ids ...uuid.UUID) error {
	doubts, err := a.Store.Doubts(ctx, tx, ids...)
	if err != nil {
		return err
	}
	var d store.Doubt
	elsewhere := ""
	for _, id := range ids {
		one := doubts[id]
		d.Open, d.Restored, d.Elsewhere = d.Open || one.Open, d.Restored || one.Restored, d.Elsewhere || one.Elsewhere
		d.Contradicted, d.Denied = d.Contradicted || one.Contradicted, d.Denied || one.Denied
		if one.Elsewhere && elsewhere == "" {
			elsewhere = id.String()
		}
	}
	next := "wait for what the provider answers, then give the command again"
	switch {
	case d.Restored:
		next = "their provider is being asked, as long as the tenants file has it: give the command again when agogo restore list asks about nothing any more"
	case d.Open:
	case d.Elsewhere:
		next = "agogo events tail --follow=false --type 'payout.*' tells of another provider that may have paid it; look there, and have it held: agogo payouts hold " + elsewhere +
			" --reason TEXT. If it was paid there, leave it held. If it was not: agogo payouts release " + elsewhere + " --reason TEXT says so and keeps it held, and agogo payouts cancel " + elsewhere +
			" --reason TEXT ends it"
	case d.Contradicted:
		next = "nothing sends it. agogo recon list says what its provider told; what that moved, if anything, is in agogo recon suspense, and two people say whose it is: agogo recon resolve FINDING --to ACCOUNT --reason TEXT --evidence TEXT"
	case d.Denied:
		found, err := a.Store.Get(ctx, tx, ids[0]) // those of one call are of one run
		if err != nil {
			return err
		}
		next = "approved, the same reference goes again, which pays it once; to give it up: agogo runs cancel " + found[0].RunID.String() + " --reason TEXT has its provider asked anew, and two people decide"
	}
	return rpc.Refused("in_doubt", next, "%s was sent before, or may have been, and it is not proven that it was not paid", what)
}

func (a *Approver) waiting(ctx context.Context, tx pgx.Tx, tenant, actor string, ids []uuid.UUID) ([]db.LockWaitingRow, error) {
	rows, err := db.New(tx).LockWaiting(ctx, db.LockWaitingParams{Actor: actor, Ids: ids, Tenant: tenant})
	if err != nil {
		return nil, fmt.Errorf("lock payouts that wait for approval: %w", err)
	}
	return rows, nil
}

func tiesOf(r db.LockWaitingRow) ties {
	return ties{word: r.Word, started: r.Started, imported: r.Imported, expires: r.ApprovalExpiresAt}
}

func (a *Approver) notWaiting(ctx context.Context, tx pgx.Tx, tenant string, id uuid.UUID) error {
	found, err := a.Store.Get(ctx, tx, id)
	if err != nil {
		return err
	}
	if len(found) == 0 || found[0].Tenant != tenant {
		return rpc.NotFound("payout", id.String())
	}
	next := "only what waits for approval is approved or rejected; " + found[0].Next()
	if found[0].Reason.Code == barExpired {
		next = "its approval expired; ask again: agogo payouts release " + id.String() + " --reason TEXT"
	}
	return rpc.Refused("state", next, "payout %s is %s", id, found[0].State)
}
