package wave

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
)

// endless is what a wallet that never runs dry says it holds.
const endless = 1_000_000_000

// balance is GET /v1/balance.
func (s *Server) balance(c *exchange) string {
	if outcome, done := s.open(c); done {
		return outcome
	}
	if s.spoils(c) {
		return string(c.rule.Fault)
	}
	left, limited := s.Book.Float()
	if !limited {
		left = endless
	}
	at, ok := home(c.r)
	if !ok {
		at.currency = "XOF"
	}
	amount, err := json.Marshal(decimal(left, c.rule))
	if err != nil {
		return s.lost(c, err)
	}
	c.json(fmt.Appendf(nil, `{"amount":%s,"currency":%q}`, amount, at.currency))
	return "ok"
}

// transaction is a line of the statement. amount is what it did to the wallet, fee included.
type transaction struct {
	Timestamp       string `json:"timestamp"`
	ID              string `json:"transaction_id"`
	Type            string `json:"transaction_type"`
	Amount          any    `json:"amount"`
	Fee             any    `json:"fee"`
	Currency        string `json:"currency"`
	IsReversal      bool   `json:"is_reversal"`
	Mobile          string `json:"counterparty_mobile"`
	ClientReference string `json:"client_reference,omitempty"`

	at time.Time
	of book.Entry // the payout that it is about
}

func (t transaction) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(t.at.UTC().Format(time.RFC3339Nano) + t.ID))
}

// transactions is GET /v1/transactions?date=&after=, in pages, oldest first.
func (s *Server) transactions(c *exchange) string {
	if outcome, done := s.open(c); done {
		return outcome
	}
	q := c.r.URL.Query()
	date := or(q.Get("date"), s.Clock.Now().UTC().Format(time.DateOnly))
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return c.invalid("query", "date", "it has to be YYYY-MM-DD")
	}
	all, err := s.day(date, c.rule)
	if err != nil {
		return s.lost(c, err)
	}
	if s.spoils(c) {
		return string(c.rule.Fault)
	}
	if after := q.Get("after"); after != "" {
		i := slices.IndexFunc(all, func(t transaction) bool { return t.cursor() == after })
		if i < 0 {
			return c.invalid("query", "after", "it is no cursor of this date")
		}
		all = all[i+1:]
	}
	page, more := all, len(all) > s.cfg.PageSize
	if more {
		page = all[:s.cfg.PageSize]
	}
	body, err := json.Marshal(s.statement(date, page, more))
	if err != nil {
		return s.lost(c, err)
	}
	if c.rule.Fault == fault.PageCut {
		c.json(body[:len(body)/2])
		return string(fault.PageCut)
	}
	c.json(body)
	return "ok"
}

// statement is a page. Its cursor is that of the last true line, so that a line that is not told loses none behind it.
func (s *Server) statement(date string, page []transaction, more bool) any {
	var last *string
	if len(page) > 0 {
		cursor := page[len(page)-1].cursor()
		last = &cursor
	}
	told := make([]transaction, 0, len(page))
	for _, t := range page {
		told = append(told, s.tell(t)...)
	}
	return map[string]any{
		"page_info": map[string]any{"start_cursor": nil, "end_cursor": last, "has_next_page": more}, "date": date, "items": told,
	}
}

// day are the lines of a date in UTC.
func (s *Server) day(date string, rule fault.Rule) ([]transaction, error) {
	all := []transaction{}
	add := func(e book.Entry, kind string, at time.Time, sign int64) {
		if e.Moved == 0 || at.UTC().Format(time.DateOnly) != date {
			return
		}
		all = append(all, transaction{
			Timestamp: at.UTC().Format(time.RFC3339), ID: "T_" + strconv.FormatUint(digest(kind+e.Reference), 36), Type: kind,
			Amount: decimal(sign*(e.Amount+e.Fee), rule), Fee: decimal(-sign*e.Fee, rule), Currency: e.Currency, IsReversal: sign > 0,
			Mobile: e.Peer, ClientReference: e.Account, at: at, of: e,
		})
	}
	err := s.Book.Each(s.Clock.Now(), func(e book.Entry) bool {
		add(e, "api_payout", e.FirstAt, -1)
		if !e.ReversedAt.IsZero() {
			add(e, "api_payout_reversal", e.ReversedAt, 1)
		}
		return true
	})
	slices.SortFunc(all, func(a, b transaction) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.ID, b.ID)) })
	return all, err
}
