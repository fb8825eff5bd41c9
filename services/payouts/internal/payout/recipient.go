package payout

// What is known of the wallet that a payout goes to, where its provider is asked about wallets (verify_recipients).
const (
	RecipientUnverified = "unverified" // asked about, or about to be
	RecipientVerified   = "verified"   // it takes money, and the name agrees as far as the rule asks for
	RecipientMismatch   = "mismatch"   // the name does not
	RecipientRefused    = "refused"    // it takes nothing
	RecipientConfirmed  = "confirmed"  // by a person, whatever the provider says
	RecipientAbove      = "above"      // verified, but for smaller amounts only: asked about again
	RecipientStale      = "stale"      // not asked about, or about another name, or by another rule
)

// RecipientCode is why what is known of a wallet holds its payouts; "" when it does not. Where nobody asks, nothing is known: "".
func RecipientCode(state string) string {
	switch state {
	case "", RecipientVerified, RecipientConfirmed:
		return ""
	case RecipientMismatch, RecipientRefused:
		return CodeMismatch
	default:
		return CodeUnverified
	}
}

// OfRecipient reports whether a payout is held for what is known of its wallet.
func OfRecipient(code string) bool { return code == CodeUnverified || code == CodeMismatch }
