package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/store/db"
)

// Wallet is where a payee is paid.
type Wallet struct {
	PayeeID     string
	Provider    string
	Destination string
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
			p.Destinations, p.Rules = append(p.Destinations, w.Destination), append(p.Rules, rule)
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
		known[Wallet{r.PayeeID, r.Provider, r.Destination}] = Recipient{r.State, r.Code}
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
func (s *Store) askAgainAbout(ctx context.Context, tx pgx.Tx, queue Queue, ids []uuid.UUID) error {
	rule := s.Verifies(queue.Tenant, queue.Provider)
	return enrol(ctx, db.New(tx), db.EnrolRecipientsParams{Now: s.Clock.Now(), PayoutIds: ids, Rules: slices.Repeat([]string{rule}, len(ids))})
}

func enrol(ctx context.Context, q *db.Queries, p db.EnrolRecipientsParams) error {
	if len(p.PayoutIds) == 0 {
		return nil
	}
	if err := q.EnrolRecipients(ctx, p); err != nil {
		return fmt.Errorf("have wallets asked about: %w", err)
	}
	return nil
}

// relabel has a held payout of a queue say why its recipient still holds it; known is false when that holds nothing any more, or when it is
// held for something else. A wallet whose name or rule has changed since it was asked about is asked about again.
func (f *freed) relabel(h db.HeldPayoutsRow) (known bool) {
	want := payout.RecipientCode(h.Recipient)
	switch {
	case !payout.OfRecipient(h.ReasonCode) || want == "":
		return false
	case want != h.ReasonCode:
		f.changes = append(f.changes, Change{
			PayoutID: h.PayoutID, From: []payout.State{payout.Held}, To: payout.Held, Reason: Recipient{h.Recipient, h.RecipientCode}.Hold(),
		})
	case h.Recipient == payout.RecipientStale:
		f.ask = append(f.ask, h.PayoutID)
	}
	return true
}

// recipientOf is the payee's wallet as it is, and what is known of it.
func (s *Store) recipientOf(ctx context.Context, tx pgx.Tx, tenant string, y db.LockPayeeRow) (Wallet, Recipient, error) {
	w := Wallet{PayeeID: y.PayeeID, Provider: cmp.Or(y.Provider, s.DefaultProvider(tenant)), Destination: y.Phone}
	known, err := s.Recipients(ctx, tx, tenant, []Wallet{w})
	return w, known[w], err
}
