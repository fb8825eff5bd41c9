package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// CooledSince is when a wallet must have been changed at the latest to be paid now.
func (s *Store) CooledSince(tenant string) time.Time {
	return s.Clock.Now().Add(-s.rules(tenant).DestinationCoolOff)
}

// DefaultProvider pays the tenant's payees that name none.
func (s *Store) DefaultProvider(tenant string) string { return s.rules(tenant).DefaultProvider }

// PausePayee stops paying a payee, for a person's words; what is approved for them is held. ok is false when they are paused
// already, or unknown.
func (s *Store) PausePayee(ctx context.Context, tx pgx.Tx, tenant, payee, actor, words string) (ok bool, err error) {
	n, err := s.pausePayees(ctx, tx, db.New(tx), db.PausePayeesParams{
		Reason: payout.CodeByPerson, Actor: actor, Now: s.Clock.Now(),
		Tenants: []string{tenant}, PayeeIds: []string{payee}, Details: []string{words},
	})
	return n == 1, err
}

// ResumePayee lets a paused payee be paid again, with a clean slate; ok is false when it is not paused. What is held for the
// pause is the sweeper's, a moment later.
func (s *Store) ResumePayee(ctx context.Context, tx pgx.Tx, tenant, payee string) (ok bool, err error) {
	rows, err := db.New(tx).ResumePayee(ctx, db.ResumePayeeParams{Tenant: tenant, PayeeID: payee, Now: s.Clock.Now()})
	if err != nil || len(rows) == 0 {
		return false, err
	}
	r := rows[0]
	msg, err := s.Event(ctx, tenant, "payee.resumed", r.PayeeID, r.Version, &eventsv1.Payee{
		PayeeId: r.PayeeID, Tenant: tenant, State: "active", PreviousState: "paused", Provider: r.Provider, Locale: r.Locale,
	})
	if err != nil {
		return false, err
	}
	return true, s.Outbox.Append(ctx, tx, msg)
}

// minEnds is how many digits tell a number from the one that was imported after it.
const minEnds = 4

// ConfirmPayee says that a payee's wallet is theirs: the one that an import has put in another one's place, or the one that its provider
// does not say yes to. It is a second person's word: who imported the wallet is refused, and of the provider's no who imported the name, too.
// ends are the last digits, at least four, of the number that was confirmed, so that nobody confirms one that has changed meanwhile;
// only a payee without a number needs none.
// The cool-off goes on; what is held for the wallet is the sweeper's after it.
func (s *Store) ConfirmPayee(ctx context.Context, tx pgx.Tx, tenant, payee, actor, ends string) error {
	q := db.New(tx)
	y, err := q.LockPayee(ctx, db.LockPayeeParams{Tenant: tenant, PayeeID: payee})
	if errors.Is(err, pgx.ErrNoRows) {
		return rpc.NotFound("payee", payee)
	}
	if err != nil {
		return fmt.Errorf("lock payee %s: %w", payee, err)
	}
	wallet, known, err := s.recipientOf(ctx, tx, tenant, y)
	if err != nil {
		return err
	}
	doubted := payout.RecipientCode(known.State) != ""
	if err := confirmable(y, doubted, actor, ends); err != nil {
		return err
	}
	if y.Unconfirmed {
		if err := q.ConfirmPayee(ctx, db.ConfirmPayeeParams{Actor: actor, Now: s.Clock.Now(), Tenant: tenant, PayeeID: payee}); err != nil {
			return fmt.Errorf("confirm payee %s: %w", payee, err)
		}
	}
	if !doubted {
		return nil
	}
	err = q.ConfirmRecipient(ctx, db.ConfirmRecipientParams{
		Provider: wallet.Provider, Rule: s.Verifies(tenant, wallet.Provider), Actor: actor, Now: s.Clock.Now(), Tenant: tenant, PayeeID: payee,
	})
	if err != nil {
		return fmt.Errorf("confirm the wallet of payee %s: %w", payee, err)
	}
	return nil
}

// confirmable refuses a confirmation that nobody needs, that is no second person's, or that is about another number.
func confirmable(y db.LockPayeeRow, doubted bool, actor, ends string) error {
	payee := y.PayeeID
	switch {
	case !y.Unconfirmed && !doubted:
		return rpc.Refused("nothing_to_confirm", "look at it: agogo payees list", "the wallet of payee %q needs no confirmation", payee)
	case brought(y, doubted, actor):
		return rpc.Refused("own_change", "another person must confirm it, having asked the payee", "you imported the wallet or the name of payee %q", payee)
	case len(ends) < minEnds && y.Phone != "":
		return rpc.Invalid("phone_ends", "at least the last %d digits of the number that the payee has confirmed: agogo payees confirm %s --phone-ends DIGITS --reason TEXT", minEnds, payee)
	case !strings.HasSuffix(y.Phone, ends):
		return rpc.Refused("other_wallet", "ask the payee again, and look at the list", "the wallet of payee %q does not end with these digits", payee)
	default:
		return nil
	}
}

// brought reports whether actor imported what is to be confirmed: the change of the wallet or the number that came with it and, of what the
// provider says no to, also the name. Whoever has imported another one of them since does not make actor a second person.
func brought(y db.LockPayeeRow, doubted bool, actor string) bool {
	switch actor {
	case y.DestinationChangedBy:
		return true
	case y.WalletBy:
		return doubted || y.Phone != y.TrustedPhone
	default:
		return doubted && y.NameBy == actor
	}
}
