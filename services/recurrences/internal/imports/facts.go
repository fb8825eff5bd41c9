package imports

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/services/recurrences/internal/recurrence"
)

// facts are what a row says, in one way of writing it. Its JSON is kept with the recurrence, and later rows are compared
// with it: what Agogo made of the recurrence since is not what the file says, and no difference to it.
type facts struct {
	ID             string          `json:"-"`
	CustomerID     string          `json:"customer_id"`
	CustomerName   string          `json:"-"` // in its own column, so that it can be erased
	SellerID       string          `json:"seller_id"`
	Amount         int64           `json:"amount"`
	Currency       string          `json:"currency"`
	Period         string          `json:"period"`
	AnchorDay      int             `json:"anchor_day,omitempty"`
	AnchorMonth    int             `json:"anchor_month,omitempty"`
	IntervalDays   int             `json:"interval_days,omitempty"`
	NextChargeDate recurrence.Date `json:"next_charge_date"`
	EndDate        recurrence.Date `json:"end_date"`
	MaxCycles      int             `json:"max_cycles,omitempty"`
	CardID         uuid.UUID       `json:"card_id"`
	CardBrand      string          `json:"card_brand"`
	Status         string          `json:"status"`
	Description    string          `json:"description,omitempty"`
	FailedAttempts int             `json:"failed_attempts,omitempty"`
	EndedAt        time.Time       `json:"ended_at,omitzero"`
}

func (x facts) terms() recurrence.Terms {
	return recurrence.Terms{
		Rhythm:  recurrence.Rhythm{Period: recurrence.Period(x.Period), Day: x.AnchorDay, Month: x.AnchorMonth, Interval: x.IntervalDays},
		EndDate: x.EndDate, MaxCycles: x.MaxCycles,
	}
}

func (x facts) money() money.Amount {
	return money.Amount{Minor: x.Amount, Currency: money.Currency(x.Currency)}
}

func (x facts) encode() ([]byte, error) {
	b, err := json.Marshal(x)
	if err != nil {
		return nil, fmt.Errorf("keep what recurrence %s was imported with: %w", x.ID, err)
	}
	return b, nil
}

// differs refuses a row that says something else of a known recurrence than it was imported with. Names and tokens are not
// repeated.
func (x facts) differs(given row) *rows.Error {
	var first string
	var all []string
	compare := func(name string, same bool, was, is string) {
		if same {
			return
		}
		if first == "" {
			first = name
		}
		if was != "" || is != "" {
			name += fmt.Sprintf(" (known %s, given %s)", was, is)
		}
		all = append(all, name)
	}
	text := func(name, was, is string) { compare(name, was == is, rows.Shape(was), rows.Shape(is)) }
	number := func(name string, was, is int) { compare(name, was == is, fmt.Sprint(was), fmt.Sprint(is)) }
	date := func(name string, was, is recurrence.Date) {
		compare(name, was == is, rows.Shape(was.String()), rows.Shape(is.String()))
	}

	text("customer_id", x.CustomerID, given.CustomerID)
	compare("customer_name", x.CustomerName == given.CustomerName, "", "")
	text("seller_id", x.SellerID, given.SellerID)
	compare("amount", x.money() == given.money(), x.money().Decimal()+" "+x.Currency, given.money().Decimal()+" "+given.Currency)
	text("period", x.Period, given.Period)
	number("anchor_day", x.AnchorDay, given.AnchorDay)
	number("anchor_month", x.AnchorMonth, given.AnchorMonth)
	number("interval_days", x.IntervalDays, given.IntervalDays)
	date("next_charge_date", x.NextChargeDate, given.NextChargeDate)
	compare("card_token", x.CardID == given.CardID, "", "")
	text("card_brand", x.CardBrand, given.CardBrand)
	text("status", x.Status, given.Status)
	text("description", x.Description, given.Description)
	date("end_date", x.EndDate, given.EndDate)
	number("max_cycles", x.MaxCycles, given.MaxCycles)
	number("failed_attempts", x.FailedAttempts, given.FailedAttempts)
	compare("ended_at", x.EndedAt.Equal(given.EndedAt), x.EndedAt.Format(time.RFC3339Nano), given.EndedAt.Format(time.RFC3339Nano))
	if all == nil {
		return nil
	}
	return &rows.Error{Line: given.line, Field: first, Message: fmt.Sprintf("recurrence %s is known with other values of %s; a file cannot change it: use "+
		"set-card, pause, resume, reactivate or cancel, or import it under a new id", given.ID, strings.Join(all, ", "))}
}
