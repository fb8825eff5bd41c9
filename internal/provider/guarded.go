package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
)

// ErrNotNow is why a balance is not asked for at this moment; later it may be.
var ErrNotNow = errors.New("the balance is not asked for now")

// GuardedBalance reads a float where reading uses a credential that locks our account when it is wrong (see [Lockout]): not
// while the connector is stopped, and while the credential is not proven as the one trial of all replicas, unless another one was
// lost: the next try is a payment's. A balance that is read proves it as a payment does.
type GuardedBalance struct {
	Reader    BalanceReader
	Pool      *pgxpool.Pool
	States    *States
	Connector Connector
	Proof     *Proof
	Lease     time.Duration // of a trial: longer than the call
}

// Balance reads the float, or returns [ErrNotNow].
func (g *GuardedBalance) Balance(ctx context.Context) (money.Amount, error) {
	st, err := g.States.Get(ctx, g.Pool, g.Connector)
	switch {
	case err != nil:
		return money.Amount{}, err
	case st.State == Stopped:
		return money.Amount{}, fmt.Errorf("%w: connector %s/%s is stopped", ErrNotNow, g.Connector.Tenant, g.Connector.Provider)
	case g.Proof.Holds(st, g.States.Clock.Now()):
		return g.read(ctx, st.Stops, "")
	}
	owner := "balance/" + uuid.NewString()
	trial := TrialRefused
	err = pg.InTx(ctx, g.Pool, func(tx pgx.Tx) (err error) {
		trial, err = g.States.BeginCheck(ctx, tx, g.Connector, owner, g.Lease)
		return err
	})
	switch {
	case err != nil:
		return money.Amount{}, err
	case trial != TrialBegun:
		return money.Amount{}, fmt.Errorf("%w: its credential is not proven, and is in use or was not answered", ErrNotNow)
	default:
		return g.read(ctx, st.Stops, owner)
	}
}

// read makes the call and takes in what it says of the credential; owner is that of the trial which it is, or "".
func (g *GuardedBalance) read(ctx context.Context, stops int64, owner string) (money.Amount, error) {
	amount, err := g.Reader.Balance(ctx)
	res := Result{Class: Accepted}
	if err != nil {
		var f *Failure
		if res = (Result{Class: Ambiguous}); errors.As(err, &f) {
			res = f.Result
		}
	}
	g.Proof.Take(res, stops, g.States.Clock.Now())
	if owner == "" && !res.Stop {
		return amount, err
	}
	// The answer counts although whoever asked may have gone meanwhile.
	ctx = context.WithoutCancel(ctx)
	kept := pg.InTx(ctx, g.Pool, func(tx pgx.Tx) error {
		if res.Stop { // other answers to this question say nothing about payments
			if _, err := g.States.Observe(ctx, tx, g.Connector, []Result{res}); err != nil {
				return err
			}
		}
		return g.States.EndTrial(ctx, tx, g.Connector, owner, res)
	})
	return amount, errors.Join(err, kept)
}
