package provider

import (
	"context"
	"time"

	"github.com/agogopay/agogo/internal/money"
)

// Reverser takes a transfer back that has succeeded; providerID is the provider's id of it. Succeeded says that the money is
// back, or was back already; a rejection that it stays where it is. Ambiguous is settled by reversing again or by a lookup.
type Reverser interface {
	Reverse(ctx context.Context, t Transfer, providerID string) Result
}

// Namer is an adapter whose webhooks name a transfer by the provider's own id alone. Asked for one that such a webhook has named, it tells
// the reference that the provider has for it, or "" where that is none that could be ours. That the provider does not show it is an error like any
// other: it may later.
type Namer interface {
	ReferenceOf(ctx context.Context, id string) (reference string, err error)
}

// The kinds of lines of a statement.
const (
	LinePayout   = "payout"
	LineReversal = "reversal"
	LineFee      = "fee"
	LineTopUp    = "top_up"
	LineOther    = "other"
)

// StatementLine is one movement on the float, by the provider's own account. Amount is what it did to the float without its
// fee: negative for what was paid out, positive for what came. The float changed by Amount minus Fee; a fee that came back is
// negative.
type StatementLine struct {
	ProviderID string // of the movement; not always that of the transfer
	Reference  string // ours, "" where the provider does not tell it
	Kind       string
	Amount     money.Amount
	Fee        money.Amount
	At         time.Time
	State      string // the provider's word for it
}

// StatementReader reads all movements of a day, YYYY-MM-DD by the provider's calendar, in the provider's order. Lines come one
// by one, so that a long day needs no memory; err means that there may be more lines, whatever was read before. An error of fn
// ends the reading and is returned. May is called before each call to the provider, which is made when it returns nil: a statement has many
// pages, and takes no more of the provider's rate than anything else.
type StatementReader interface {
	Statement(ctx context.Context, day string, may func(context.Context) error, fn func(StatementLine) error) error
}
