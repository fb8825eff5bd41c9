package wave

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider"
)

// Balance is what the wallet holds.
func (a *Adapter) Balance(ctx context.Context) (money.Amount, error) {
	var answer struct {
		Amount   decimal `json:"amount"`
		Currency string  `json:"currency"`
	}
	if err := a.ask(ctx, http.MethodGet, "/v1/balance", nil, &answer); err != nil {
		return money.Amount{}, fmt.Errorf("balance: %w", err)
	}
	amount, err := answer.Amount.signed(money.Currency(answer.Currency))
	if err != nil {
		return money.Amount{}, errors.New("balance: the answer has no amount")
	}
	return amount, nil
}

// VerifyRecipient asks whom a wallet belongs to and whether it may receive the amount. Wave takes 30 questions about a number in
// five minutes and then none for an hour.
func (a *Adapter) VerifyRecipient(ctx context.Context, destination, name string, amount money.Amount) (provider.Recipient, error) {
	body, err := json.Marshal(struct {
		Mobile   string `json:"mobile"`
		Name     string `json:"name,omitempty"`
		Amount   string `json:"amount"`
		Currency string `json:"currency"`
	}{destination, name, amount.Decimal(), string(amount.Currency)})
	if err != nil {
		return provider.Recipient{}, errors.New("verify a recipient: the question cannot be written")
	}
	var answer struct {
		WithinLimits *bool  `json:"within_limits"`
		NameMatch    string `json:"name_match"`
	}
	if err := a.ask(ctx, http.MethodPost, "/v1/verify_recipient", body, &answer); err != nil {
		return provider.Recipient{}, fmt.Errorf("verify a recipient: %w", err)
	}
	if answer.WithinLimits == nil {
		return provider.Recipient{}, errors.New("verify a recipient: the answer says nothing about limits")
	}
	r := provider.Recipient{Receives: *answer.WithinLimits, Name: provider.NameUnknown, OfAmount: true}
	if !r.Receives {
		r.Code = "limit_exceeded"
	}
	switch {
	case name == "": // not asked
	case answer.NameMatch == "MATCH":
		r.Name = provider.NameMatches
	case answer.NameMatch == "NO_MATCH":
		r.Name = provider.NameDiffers
	}
	return r, nil
}

// ask makes a call that moves no money and reads its answer.
func (a *Adapter) ask(ctx context.Context, method, path string, body []byte, into any) error {
	reply := a.call(ctx, method, path, nil, body)
	if res, failed := a.refused(reply); failed {
		return &provider.Failure{Result: res}
	}
	return decode(reply.Body, into)
}

// page is a piece of the statement.
type page struct {
	Info *struct {
		End  string `json:"end_cursor"`
		More bool   `json:"has_next_page"`
	} `json:"page_info"`
	Date  string         `json:"date"`
	Items *[]transaction `json:"items"`
}

// transaction is a line of it. amount is what it did to the wallet, fee included.
type transaction struct {
	Timestamp       string  `json:"timestamp"`
	ID              string  `json:"transaction_id"`
	Type            string  `json:"transaction_type"`
	Amount          decimal `json:"amount"`
	Fee             decimal `json:"fee"`
	Currency        string  `json:"currency"`
	IsReversal      bool    `json:"is_reversal"`
	ClientReference string  `json:"client_reference"`
}

// Statement reads the pages of a day one after the other. A cursor that leads back would read for ever and is an error, as is
// a page that promises another and does not say where.
func (a *Adapter) Statement(ctx context.Context, day string, may func(context.Context) error, fn func(provider.StatementLine) error) error {
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return fmt.Errorf("statement: %q is no date: write YYYY-MM-DD", day)
	}
	seen, after := map[string]bool{}, ""
	for {
		query := url.Values{"date": {day}}
		if after != "" {
			query.Set("after", after)
		}
		if err := may(ctx); err != nil {
			return err
		}
		var p page
		if err := a.ask(ctx, http.MethodGet, "/v1/transactions?"+query.Encode(), nil, &p); err != nil {
			return fmt.Errorf("statement of %s: %w", day, err)
		}
		lines, err := p.lines(day)
		if err != nil {
			return fmt.Errorf("statement of %s: %w", day, err)
		}
		for _, line := range lines {
			if err := fn(line); err != nil {
				return err
			}
		}
		if !p.Info.More {
			return nil
		}
		if after = p.Info.End; after == "" || seen[after] {
			return fmt.Errorf("statement of %s: the next page cannot be found", day)
		}
		seen[after] = true
	}
}

// lines reads a page whole or not at all: a line that is left out would look like money that never moved.
func (p page) lines(day string) ([]provider.StatementLine, error) {
	switch {
	case p.Info == nil || p.Items == nil:
		return nil, errors.New("the answer is no page of transactions")
	case p.Date != "" && p.Date != day:
		return nil, errors.New("the answer is about another day")
	}
	lines := make([]provider.StatementLine, 0, len(*p.Items))
	for _, t := range *p.Items {
		line, err := t.line()
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func (t transaction) line() (provider.StatementLine, error) {
	at, err := time.Parse(time.RFC3339, t.Timestamp)
	if err != nil || t.ID == "" {
		return provider.StatementLine{}, errors.New("a transaction without id or time")
	}
	change, err := t.Amount.signed(money.Currency(t.Currency))
	if err != nil {
		return provider.StatementLine{}, errors.New("a transaction without amount")
	}
	fee := money.Amount{Currency: change.Currency}
	if t.Fee != "" {
		if fee, err = t.Fee.signed(change.Currency); err != nil {
			return provider.StatementLine{}, errors.New("a transaction whose fee is no amount")
		}
	}
	line := provider.StatementLine{ProviderID: t.ID, Reference: t.ClientReference, Kind: t.kind(), Fee: fee, At: at.UTC(), State: t.Type}
	if line.Kind == provider.LineReversal && line.Fee.Minor > 0 {
		line.Fee.Minor = -line.Fee.Minor // it came back, with whatever sign it is told
	}
	line.Amount, err = change.Add(line.Fee)
	return line, err
}

// kind goes by the type. A type that is empty or new is other, and so are what customers pay and sweeps.
func (t transaction) kind() string {
	switch t.Type {
	case "api_payout", "bulk_payment":
		if t.IsReversal {
			return provider.LineReversal
		}
		return provider.LinePayout
	case "api_payout_reversal", "bulk_payment_reversal":
		return provider.LineReversal
	default:
		return provider.LineOther
	}
}
