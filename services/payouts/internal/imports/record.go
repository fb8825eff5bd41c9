package imports

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/payouts/internal/imports/db"
)

// known is a payment as it is stored, or will be at the end of the batch.
type known struct {
	payment
	payout  *uuid.UUID
	carried bool
	fresh   bool // not in the table yet
	changed bool
}

// effects is what a batch of payments does beside their own rows.
type effects struct {
	postings []ledger.Posting
	carries  []known
	payees   map[string]payee
}

// storePayments stores a batch: rows are taken in order against what is known, then written set-based.
func (im *Importer) storePayments(ctx context.Context, tx pgx.Tx, t config.Tenant, batch []payment) (rows.Stored, error) {
	q := db.New(tx)
	payments, err := lockKnown(ctx, q, t, batch)
	if err != nil {
		return rows.Stored{}, err
	}
	var done rows.Stored
	fx := effects{payees: map[string]payee{}}
	for _, row := range batch {
		k, seen := payments[row.id]
		if seen {
			if ref := k.differs(row); ref != nil {
				done.Refused = append(done.Refused, *ref)
				continue
			}
			if row.status == k.status {
				done.Unchanged++
				continue
			}
			done.Updated++
		} else {
			k = &known{payment: row, fresh: true}
			k.status, k.completedAt = pending, time.Time{}
			payments[row.id] = k
			done.Inserted++
		}
		fx.advance(t.ID, k, row)
	}
	return done, im.write(ctx, tx, q, t, payments, fx)
}

// lockKnown reads the payments that exist and holds them, so that no run claims one while it changes.
func lockKnown(ctx context.Context, q *db.Queries, t config.Tenant, batch []payment) (map[string]*known, error) {
	ids := make([]string, len(batch))
	for i, r := range batch {
		ids[i] = r.id
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	locked, err := q.LockPayments(ctx, db.LockPaymentsParams{Tenant: t.ID, Ids: ids})
	if err != nil {
		return nil, fmt.Errorf("lock payments: %w", err)
	}
	payments := make(map[string]*known, len(batch))
	for _, r := range locked {
		amount := func(minor int64) money.Amount {
			return money.Amount{Minor: minor, Currency: money.Currency(r.Currency)}
		}
		k := &known{payout: r.PayoutID, carried: r.Carried, payment: payment{
			id: r.PaymentID, payee: r.PayeeID, gross: amount(r.Gross), commission: amount(r.Commission), net: amount(r.Net),
			method: r.Method, status: status(r.Status), paidReference: r.PaidReference,
		}}
		if r.CompletedAt != nil {
			k.completedAt = r.CompletedAt.UTC()
		}
		payments[r.PaymentID] = k
	}
	return payments, nil
}

// differs refuses a row that says something else of a known payment than that it went on.
func (k *known) differs(row payment) *rows.Error {
	refuse := func(field, was, is string) *rows.Error {
		return &rows.Error{Line: row.line, Field: field, Message: fmt.Sprintf("payment %s is known with %s, given is %s; only status and completed_at may advance", row.id, was, is)}
	}
	switch {
	case row.payee != k.payee:
		return refuse("payee_id", rows.Shape(k.payee), rows.Shape(row.payee))
	case row.gross != k.gross:
		return refuse("amount", k.gross.Decimal()+" "+string(k.gross.Currency), row.gross.Decimal()+" "+string(row.gross.Currency))
	case row.method != k.method:
		return refuse("method", rows.Shape(k.method), rows.Shape(row.method))
	case row.paidReference != k.paidReference:
		return refuse("paid_reference", rows.Shape(k.paidReference), rows.Shape(row.paidReference))
	case row.status != k.status && !k.status.advances(row.status):
		return refuse("status", string(k.status), string(row.status))
	case row.status == k.status && !row.completedAt.Equal(k.completedAt), row.completedAt.Before(k.completedAt):
		return refuse("completed_at", k.completedAt.Format(time.RFC3339Nano), row.completedAt.Format(time.RFC3339Nano))
	}
	return nil
}

// advance brings a payment to the status of a row and books what happened on the way.
func (fx *effects) advance(tenant string, k *known, row payment) {
	came := !k.status.done() && row.status.done()
	k.changed = true
	k.status, k.completedAt = row.status, row.completedAt
	if p, ok := fx.payees[row.payee]; ok {
		fx.payees[row.payee] = mergePayee(p, payee{id: row.payee, name: row.name, phone: row.phone})
	} else {
		fx.payees[row.payee] = payee{id: row.payee, name: row.name, phone: row.phone}
	}
	if came {
		fx.post(tenant, k, "payment.completed", ledger.Collections, ledger.Payable(k.payee), ledger.Commission)
		if k.paidReference != "" {
			fx.postings = append(fx.postings, posting(tenant, k, "payment.paid_elsewhere", 0, ledger.Payable(k.payee), ledger.Treasury, k.net)...)
		}
	}
	if row.status != refunded {
		return
	}
	fx.refund(tenant, k)
}

// refund takes a payment back. What the payee is owed for it goes down in any case; if it was claimed or paid, the payouts
// do not know that, so a carry takes it off the next one. A payment first seen refunded came in and went back at once.
func (fx *effects) refund(tenant string, k *known) {
	fx.postings = append(fx.postings, posting(tenant, k, "payment.refunded", 0, ledger.Payable(k.payee), ledger.Collections, k.net)...)
	fx.postings = append(fx.postings, posting(tenant, k, "payment.refunded", 1, ledger.Commission, ledger.Collections, k.commission)...)
	if k.payout != nil {
		k.carried = true
	}
	if k.payout != nil || k.paidReference != "" {
		fx.carries = append(fx.carries, *k)
	}
}

// post books the gross amount: net to one account, commission to the other.
func (fx *effects) post(tenant string, k *known, kind, debit, net, commission string) {
	fx.postings = append(fx.postings, posting(tenant, k, kind, 0, debit, net, k.net)...)
	fx.postings = append(fx.postings, posting(tenant, k, kind, 1, debit, commission, k.commission)...)
}

// posting is none for an amount of zero: a commission of nothing moves nothing.
func posting(tenant string, k *known, kind string, leg int, debit, credit string, a money.Amount) []ledger.Posting {
	if a.Minor == 0 {
		return nil
	}
	return []ledger.Posting{{
		Tenant: tenant, Kind: kind, Ref: k.id, Leg: leg, Debit: debit, Credit: credit, Amount: a, OccurredAt: k.completedAt,
	}}
}

// mergePayee is a payee after a payment's row: what the row leaves empty stays.
func mergePayee(known, given payee) payee {
	if given.name != "" {
		known.name = given.name
	}
	if given.phone != "" {
		known.phone = given.phone
	}
	return known
}

// write stores the end result of a batch. Payees come first, since payments name them.
func (im *Importer) write(ctx context.Context, tx pgx.Tx, q *db.Queries, t config.Tenant, payments map[string]*known, fx effects) error {
	if _, _, err := im.savePayees(ctx, tx, t, fx.payees, mergePayee); err != nil {
		return err
	}
	actor, _ := auth.ActorFrom(ctx)
	insert := db.InsertPaymentsParams{Tenant: t.ID, Currency: string(t.Currency), Now: im.Clock.Now(), Actor: actor.Name}
	advance := db.AdvancePaymentsParams{Tenant: t.ID, Actor: actor.Name}
	for _, id := range slices.Sorted(maps.Keys(payments)) {
		switch k := payments[id]; {
		case k.fresh:
			addPayment(&insert, k)
		case k.changed:
			advance.PaymentIds, advance.Statuses = append(advance.PaymentIds, k.id), append(advance.Statuses, string(k.status))
			advance.CompletedAts, advance.Carried = append(advance.CompletedAts, k.completedAt), append(advance.Carried, k.carried)
		}
	}
	if n, err := q.InsertPayments(ctx, insert); err != nil {
		return fmt.Errorf("insert payments: %w", err)
	} else if n != int64(len(insert.PaymentIds)) {
		return rows.ErrRaced
	}
	if err := q.AdvancePayments(ctx, advance); err != nil {
		return fmt.Errorf("advance payments: %w", err)
	}
	if err := insertCarries(ctx, q, t, fx.carries); err != nil {
		return err
	}
	if len(fx.postings) == 0 {
		return nil
	}
	return ledger.Post(ctx, tx, fx.postings...)
}

func addPayment(in *db.InsertPaymentsParams, k *known) {
	in.PaymentIds, in.PayeeIds = append(in.PaymentIds, k.id), append(in.PayeeIds, k.payee)
	in.Gross, in.Commissions, in.Nets = append(in.Gross, k.gross.Minor), append(in.Commissions, k.commission.Minor), append(in.Nets, k.net.Minor)
	in.Methods, in.Statuses = append(in.Methods, k.method), append(in.Statuses, string(k.status))
	in.CompletedAts, in.PaidReferences = append(in.CompletedAts, k.completedAt), append(in.PaidReferences, k.paidReference)
}

func insertCarries(ctx context.Context, q *db.Queries, t config.Tenant, carries []known) error {
	if len(carries) == 0 {
		return nil
	}
	in := db.InsertCarriesParams{Tenant: t.ID, Currency: string(t.Currency)}
	for _, k := range carries {
		in.PaymentIds, in.PayeeIds = append(in.PaymentIds, k.id), append(in.PayeeIds, k.payee)
		in.Gross, in.Commissions, in.Nets = append(in.Gross, k.gross.Minor), append(in.Commissions, k.commission.Minor), append(in.Nets, k.net.Minor)
		in.OccurredAts = append(in.OccurredAts, k.completedAt)
	}
	if err := q.InsertCarries(ctx, in); err != nil {
		return fmt.Errorf("insert carries: %w", err)
	}
	return nil
}
