package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Wallet is where a payee is paid, and how much: some providers say yes to an amount, and not to a larger one.
type Wallet struct {
	PayeeID     string
	Provider    string
	Destination string
	Net         int64
}

// Recipient is what is known of a wallet: its state, and why it is a mismatch or refused.
type Recipient struct {
	State string
	Code  string
}

// Hold is the reason for which a payout to the recipient is held; none when it is not.
func (r Recipient) Hold() payout.Reason {
	code := payout.RecipientCode(r.State)
	if code == "" {
		return payout.Reason{}
	}
	reason := payout.HeldBy(code)
	if code == payout.CodeMismatch {
		reason.ProviderCode = r.Code
	}
	return reason
}

// Verifies is the rule by which a provider is asked about wallets before they are paid; "" when nobody asks.
func (s *Store) Verifies(tenant, provider string) string {
	if s.Tenants == nil {
		return ""
	}
	t, ok := s.Tenants.Tenant(tenant)
	if !ok {
		return ""
	}
	if rule := t.Providers[provider].VerifyRecipients; rule != config.VerifyNone {
		return rule
	}
	return ""
}

// Recipients tells what is known of a tenant's wallets. Those of providers that are not asked are absent, and without any other
// nothing is read.
func (s *Store) Recipients(ctx context.Context, q db.DBTX, tenant string, wallets []Wallet) (map[Wallet]Recipient, error) {
	p := db.RecipientStatesParams{Tenant: tenant}
	rules := map[string]string{}
	for _, w := range wallets {
		rule, known := rules[w.Provider]
		if !known {
			rule = s.Verifies(tenant, w.Provider)
			rules[w.Provider] = rule
		}
		if rule != "" && w.Destination != "" {
			p.PayeeIds, p.Providers = append(p.PayeeIds, w.PayeeID), append(p.Providers, w.Provider)
			p.Destinations, p.Rules, p.Nets = append(p.Destinations, w.Destination), append(p.Rules, rule), append(p.Nets, w.Net)
		}
	}
	if len(p.PayeeIds) == 0 {
		return nil, nil
	}
	rows, err := db.New(q).RecipientStates(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("read what is known of wallets: %w", err)
	}
	known := make(map[Wallet]Recipient, len(rows))
	for _, r := range rows {
		known[Wallet{r.PayeeID, r.Provider, r.Destination, r.Net}] = Recipient{r.State, r.Code}
	}
	return known, nil
}

// askAbout has the wallets of payouts asked about that are held until their provider has spoken, in the transaction that holds them.
func (s *Store) askAbout(ctx context.Context, q *db.Queries, payouts []payout.Payout) error {
	p := db.EnrolRecipientsParams{Now: s.Clock.Now()}
	for _, o := range payouts {
		if o.State != payout.Held || o.Reason.Code != payout.CodeUnverified {
			continue
		}
		if rule := s.Verifies(o.Tenant, o.Provider); rule != "" {
			p.PayoutIds, p.Rules = append(p.PayoutIds, o.ID), append(p.Rules, rule)
		}
	}
	return enrol(ctx, q, p)
}

// askAgainAbout is askAbout for payouts of a queue that are held already.
func (s *Store) askAgainAbout(ctx context.Context, tx pgx.Tx, queue Queue, f freed) error {
	rule := s.Verifies(queue.Tenant, queue.Provider)
	q, now := db.New(tx), s.Clock.Now()
	if err := enrol(ctx, q, db.EnrolRecipientsParams{Now: now, PayoutIds: f.ask, Rules: slices.Repeat([]string{rule}, len(f.ask))}); err != nil {
		return err
	}
	return enrolAmounts(ctx, q, now, f.askAmount)
}

func enrol(ctx context.Context, q *db.Queries, p db.EnrolRecipientsParams) error {
	if len(p.PayoutIds) == 0 {
		return nil
	}
	if err := q.EnrolRecipients(ctx, p); err != nil {
		return fmt.Errorf("have wallets asked about: %w", err)
	}
	return enrolAmounts(ctx, q, p.Now, p.PayoutIds)
}

func enrolAmounts(ctx context.Context, q *db.Queries, now time.Time, payouts []uuid.UUID) error {
	if len(payouts) == 0 {
		return nil
	}
	if err := q.EnrolAmounts(ctx, db.EnrolAmountsParams{Now: now, PayoutIds: payouts}); err != nil {
		return fmt.Errorf("have larger amounts asked about: %w", err)
	}
	return nil
}

// relabel has a held payout of a queue say why its recipient still holds it; known is false when that holds nothing any more, or when it is
// held for something else. A wallet whose name or rule has changed since it was asked about is asked about again, and so is one that is verified
// for less: an answer may have come in between that knew nothing of this payout.
func (f *freed) relabel(h db.HeldPayoutsRow) (known bool) {
	want := payout.RecipientCode(h.Recipient)
	switch {
	case !payout.OfRecipient(h.ReasonCode) || want == "":
		return false
	case want != h.ReasonCode:
		f.changes = append(f.changes, Change{
			PayoutID: h.PayoutID, From: []payout.State{payout.Held}, To: payout.Held, Reason: Recipient{h.Recipient, h.RecipientCode}.Hold(),
		})
	case h.Recipient == payout.RecipientAbove:
		f.askAmount = append(f.askAmount, h.PayoutID)
	case h.Recipient == payout.RecipientStale:
		f.ask = append(f.ask, h.PayoutID)
	}
	return true
}

// recipientOf is the payee's wallet as it is, and what is known of it for the largest payout that waits for that.
func (s *Store) recipientOf(ctx context.Context, tx pgx.Tx, tenant string, y db.LockPayeeRow) (Wallet, Recipient, error) {
	w := Wallet{PayeeID: y.PayeeID, Provider: cmp.Or(y.Provider, s.DefaultProvider(tenant)), Destination: y.Phone}
	if s.Verifies(tenant, w.Provider) == "" {
		return w, Recipient{}, nil
	}
	var err error
	w.Net, err = db.New(tx).MostHeldFor(ctx, db.MostHeldForParams{Tenant: tenant, PayeeID: w.PayeeID, Provider: w.Provider, Destination: w.Destination})
	if err != nil {
		return w, Recipient{}, fmt.Errorf("read what is held for the wallet of payee %s: %w", y.PayeeID, err)
	}
	known, err := s.Recipients(ctx, tx, tenant, []Wallet{w})
	return w, known[w], err
}
