package cielo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/provider"
)

// remembers is how long the query host finds an order, with a week to spare: it says three months.
const remembers = 83 * 24 * time.Hour

// mostTransactions bounds what one lookup asks. An order has one transaction, or a few when something went wrong.
const mostTransactions = 20

// Lookup asks what became of an order: first which transactions it has, then each of them. Only the query host's word that
// there are none means absent, and not for an order so old that it is forgotten.
func (a *Adapter) Lookup(ctx context.Context, t provider.Transfer) (provider.Found, error) {
	ids, err := a.list(ctx, t)
	switch {
	case err != nil:
		return provider.Found{}, err
	case len(ids) == 0 && !t.SubmittedAt.IsZero() && a.clock.Now().Sub(t.SubmittedAt) > remembers:
		return provider.Found{}, fmt.Errorf("lookup: %w", provider.ErrForgotten)
	case len(ids) == 0:
		return provider.Found{}, nil
	case len(ids) > mostTransactions:
		return provider.Found{}, fmt.Errorf("lookup: the order has %d transactions: look in the gateway's portal", len(ids))
	}
	var all []transaction
	for _, id := range ids {
		tx, err := a.fetch(ctx, t, id)
		if err != nil {
			return provider.Found{}, err
		}
		all = append(all, tx)
	}
	return found(all, t), nil
}

// list asks for the transactions of an order.
func (a *Adapter) list(ctx context.Context, t provider.Transfer) ([]string, error) {
	reply := a.get(ctx, t, "?merchantOrderId="+url.QueryEscape(t.Reference))
	// A page says that something in between knows no such address, not that Cielo knows no such order.
	if reply.Err == nil && reply.Status == http.StatusNotFound && !bytes.ContainsRune(reply.Body, '<') {
		return nil, nil
	}
	if err := a.unanswered(reply); err != nil {
		return nil, err
	}
	ids, err := parseListing(reply.Body)
	if err != nil {
		return nil, fmt.Errorf("lookup of an order: %w", err)
	}
	return ids, nil
}

// errAnother is what is wrong with an answer about something that was not asked for.
var errAnother = errors.New("lookup of a transaction: the answer is about another")

// fetch asks for one transaction that the order is said to have.
func (a *Adapter) fetch(ctx context.Context, t provider.Transfer, id string) (transaction, error) {
	tx, err := a.read(ctx, t, id)
	if err == nil && tx.Order != t.Reference {
		return transaction{}, errAnother
	}
	return tx, err
}

// ReferenceOf asks for the order of a transaction that a notification names. The merchant may have orders that are none of ours.
func (a *Adapter) ReferenceOf(ctx context.Context, id string) (string, error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return "", errors.New("lookup of a transaction: no PaymentId")
	}
	tx, err := a.read(ctx, provider.Transfer{Reference: parsed.String()}, parsed.String())
	switch {
	case err != nil:
		return "", err
	case tx.Order == "":
		return "", errors.New("lookup of a transaction: the answer names no order")
	case !reference.MatchString(tx.Order):
		return "", nil
	}
	return tx.Order, nil
}

// read asks for one transaction, on behalf of a transfer.
func (a *Adapter) read(ctx context.Context, t provider.Transfer, id string) (transaction, error) {
	reply := a.get(ctx, t, "/"+id)
	if err := a.unanswered(reply); err != nil {
		return transaction{}, err
	}
	tx, err := parseTransaction(reply.Body)
	switch {
	case err != nil:
		return transaction{}, fmt.Errorf("lookup of a transaction: %w", err)
	case tx.ID != id:
		return transaction{}, errAnother
	}
	return tx, nil
}

func (a *Adapter) get(ctx context.Context, t provider.Transfer, rest string) provider.Reply {
	return a.caller.Do(ctx, provider.Request{Method: http.MethodGet, URL: a.cfg.QueryURL + "/1/sales" + rest, Header: a.header(t, false)})
}

// unanswered is why a question was not answered, nil when it was.
func (a *Adapter) unanswered(reply provider.Reply) error {
	if res, refused := refusedUs(reply); refused {
		return &provider.Failure{Result: res}
	}
	if res, failed := reply.Unanswered(a.clock.Now()); failed {
		return &provider.Failure{Result: res}
	}
	return nil
}

// found puts the transactions of one order together. What was charged counts, and so does what may still be: the amount is
// that of all of these, so that a second charge under one reference differs from what was asked for and goes to people. One
// that was taken back in full is the order's answer only when no other is charged: a second charge that people undid is none.
func found(all []transaction, t provider.Transfer) provider.Found {
	brand, _ := cardOf(t)
	var open, paid, undone, refused []transaction
	var sum int64
	for _, tx := range all {
		switch result(tx, brand).Class {
		case provider.Succeeded:
			paid, sum = append(paid, tx), sum+tx.Amount
		case provider.Accepted:
			open, sum = append(open, tx), sum+tx.Amount
		default:
			if tx.Status == voided || tx.Status == refunded {
				undone = append(undone, tx)
			} else {
				refused = append(refused, tx)
			}
		}
	}
	f := provider.Found{Exists: true, Amount: cents(sum)}
	switch {
	case len(open) > 0:
		f.Result = result(open[0], brand)
	case len(paid) > 0:
		f.Result, f.Reversed = result(paid[0], brand), reversed(paid...)
	case len(undone) > 0:
		last := undone[len(undone)-1]
		f.Result, f.Amount, f.Reversed = result(last, brand), cents(last.Amount), reversed(last)
	default:
		last := refused[len(refused)-1]
		f.Result, f.Amount = result(last, brand), cents(last.Amount)
	}
	if len(open)+len(paid) > 1 {
		f.Result.Alarm = fmt.Sprintf("the order has %d transactions that are charged and %d that may be", len(paid), len(open))
	}
	return f
}

// reversed is what was taken back of charged transactions: nil when that is nothing. A transaction whose status is voided or
// refunded is gone whole, whatever else is told of it.
func reversed(all ...transaction) *provider.Reversed {
	var total int64
	var r provider.Reversed
	for _, tx := range all {
		back := tx.Voided
		if tx.Status == voided || tx.Status == refunded {
			back = max(back, tx.Amount)
		}
		total += back
		r.Disputes = append(r.Disputes, tx.Dispute.cases...)
	}
	if total == 0 && len(r.Disputes) == 0 {
		return nil
	}
	r.Refunded = *cents(total)
	return &r
}
