// Package ledger keeps the books: append-only postings, each from one account to another and therefore balanced by
// construction, per tenant and currency, idempotent by what they tell of.
package ledger

import (
	"context"
	"embed"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the postings table.
var Migrations = pg.Set{Name: "ledger", FS: sub(migrations)}

// Accounts (DESIGN 4).
const (
	Collections = "collections"
	Treasury    = "treasury"
	Commission  = "commission"
	Fees        = "fees"
	Chargebacks = "chargebacks"
	Suspense    = "suspense"
)

// Payable is what the tenant owes a payee.
func Payable(payee string) string { return "payable:" + payee }

// PayeeReceivable is what a payee owes the tenant.
func PayeeReceivable(payee string) string { return "payee_receivable:" + payee }

// InTransit is money handed to a provider and not yet proven moved.
func InTransit(provider string) string { return "in_transit:" + provider }

// Float is the tenant's balance at a provider.
func Float(provider string) string { return "float:" + provider }

// GatewayReceivable is what a card gateway owes the tenant.
func GatewayReceivable(gateway string) string { return "gateway_receivable:" + gateway }

// SellerPayable is what the tenant owes a seller.
func SellerPayable(seller string) string { return "seller_payable:" + seller }

// Posting is one double entry: Dr Debit / Cr Credit, Amount > 0.
type Posting struct {
	Tenant     string
	Kind       string // what happened: "payment.completed", "attempt.submitted", "attempt.undone", …
	Ref        string // of what: a payment id, "<payout id>/<attempt>", …
	Leg        int    // distinguishes the postings of one (kind, ref)
	Debit      string
	Credit     string
	Amount     money.Amount
	OccurredAt time.Time
}

// Post appends postings in one statement. A posting whose (tenant, kind, ref, leg) exists is left alone, so repeating an
// effect changes nothing; one that exists with another amount or other accounts is an error.
func Post(ctx context.Context, tx pgx.Tx, postings ...Posting) error { panic("contract") }
