package ledger

// Accounts (DESIGN 4).
const (
	Collections = "collections"
	Treasury    = "treasury"
	Commission  = "commission"
	Fees        = "fees"
	Chargebacks = "chargebacks"
	Suspense    = "suspense"
	Losses      = "losses" // what was in suspense and nobody will give back
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
