package imports

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
)

var paymentColumns = rows.Columns{Required: 9, Names: []string{
	"payment_id", "payee_id", "payee_name", "phone", "amount", "currency", "method", "status", "completed_at", "paid_reference",
}}

// status is how far a payment is.
type status string

const (
	pending    status = "pending"
	processing status = "processing"
	completed  status = "completed"
	failed     status = "failed"
	refunded   status = "refunded"
)

// advances lists where a status may go; steps may be skipped.
func (s status) advances(to status) bool {
	switch s {
	case pending:
		return to == processing || to == completed || to == failed || to == refunded
	case processing:
		return to == completed || to == failed || to == refunded
	case completed:
		return to == refunded
	default:
		return false
	}
}

// done reports whether the money came in, at first.
func (s status) done() bool { return s == completed || s == refunded }

// payment is a checked row.
type payment struct {
	line          int64
	id            string
	payee         string
	name          string
	phone         string
	gross         money.Amount
	commission    money.Amount
	net           money.Amount
	method        string
	status        status
	completedAt   time.Time // zero unless done
	paidReference string
}

// paymentCheck checks rows against a tenant's rules.
type paymentCheck struct {
	currency   money.Currency
	bps        int64
	acceptFrom time.Time // zero: accepts all
	acceptDate string
	phones     *phones
}

func newPaymentCheck(t config.Tenant) paymentCheck {
	return paymentCheck{
		currency: t.Currency, bps: t.Payouts.CommissionBPS, acceptFrom: payout.AcceptFrom(t.Payouts.AcceptFrom, t.Location), acceptDate: t.Payouts.AcceptFrom,
		phones: &phones{region: region(t.Locale)},
	}
}

// parse checks one row; the first thing wrong with it is what is told.
func (c paymentCheck) parse(r rows.Record) (payment, *rows.Error) {
	v := func(name string) string { return r.Values[paymentColumns.Index(name)] }
	p := payment{
		line: r.Line, id: strings.Clone(v("payment_id")), payee: strings.Clone(v("payee_id")), name: strings.Clone(v("payee_name")),
		method: strings.Clone(v("method")), status: status(strings.Clone(v("status"))), paidReference: strings.Clone(v("paid_reference")),
	}
	var wrong string
	refuse := func(field string) (payment, *rows.Error) {
		return payment{}, &rows.Error{Line: r.Line, Field: field, Message: wrong}
	}
	if wrong = rows.CheckID(p.id); wrong != "" {
		return refuse("payment_id")
	}
	if wrong = rows.CheckID(p.payee); wrong != "" {
		return refuse("payee_id")
	}
	if wrong = rows.CheckText(p.name); wrong != "" {
		return refuse("payee_name")
	}
	if p.phone, wrong = c.phones.parse(v("phone")); wrong != "" {
		return refuse("phone")
	}
	if wrong = c.checkCurrency(v("currency")); wrong != "" {
		return refuse("currency")
	}
	if p.gross, wrong = c.parseAmount(v("amount")); wrong != "" {
		return refuse("amount")
	}
	p.commission, p.net = p.gross.Commission(c.bps)
	if wrong = rows.CheckWord(p.method); wrong != "" {
		return refuse("method")
	}
	if !slices.Contains([]status{pending, processing, completed, failed, refunded}, p.status) {
		wrong = rows.Shape(string(p.status)) + " is none of pending, processing, completed, failed, refunded"
		return refuse("status")
	}
	if p.paidReference != "" {
		if wrong = rows.CheckText(p.paidReference); wrong != "" {
			return refuse("paid_reference")
		}
	}
	if wrong = c.completion(&p, v("completed_at")); wrong != "" {
		return refuse("completed_at")
	}
	return p, nil
}

func (c paymentCheck) checkCurrency(s string) string {
	got, err := money.ParseCurrency(s)
	if err != nil {
		return err.Error()
	}
	if got != c.currency {
		return fmt.Sprintf("%s, but the tenant's currency is %s", got, c.currency)
	}
	return ""
}

func (c paymentCheck) parseAmount(s string) (money.Amount, string) {
	a, err := money.Parse(s, c.currency)
	if err != nil {
		return money.Amount{}, err.Error()
	}
	if a.Minor == 0 {
		return money.Amount{}, "zero; a payment has an amount"
	}
	return a, ""
}

// completion reads completed_at. It means something once the money came in, so it is only kept from then on.
func (c paymentCheck) completion(p *payment, text string) string {
	if text == "" {
		if p.status.done() {
			return "missing, and the payment is " + string(p.status)
		}
		return ""
	}
	at, wrong := rows.ParseInstant(text)
	if wrong != "" || !p.status.done() {
		return wrong
	}
	if at.Before(c.acceptFrom) && p.paidReference == "" {
		return fmt.Sprintf("before accept_from (%s): it was for the old system to pay; give its paid_reference", c.acceptDate)
	}
	p.completedAt = at
	return ""
}
