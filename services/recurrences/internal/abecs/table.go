package abecs

import "time"

// row is the meaning of one code of some brands.
type row struct {
	brands string // letters of brand.letter, or every
	codes  string // with spaces between
	class  Class
	word   string
	mark   mark
}

type mark uint8

// The marks of a row.
const (
	gone     mark = 1 << iota // no charge of this card will ever pass: a new card is needed
	never                     // the network forbids to try this card again, and fines it
	merchant                  // the gateway refuses the merchant: every other charge would be refused, too
	byAdvice                  // the merchant advice code decides; without one it is as the row says
	wait3d                    // not before 72 hours
)

// every is any brand.
const every = "*"

// rows are Cielo's table of ABECS Normativo 21, by brand: E Elo, V Visa, M Mastercard and Hipercard, A American Express as
// Cielo translates it. A row of the brand goes before a row of any brand. docs/providers/cielo.md says where it comes from.
var rows = []row{
	// Reversible: the same card may pay later.
	{every, "05", Soft, "declined", 0},
	{"A", "FA", Soft, "declined", 0},
	{every, "51", Soft, "insufficient_funds", 0},
	{every, "55", Soft, "wrong_pin", 0},
	{"V", "86", Soft, "wrong_pin", 0},
	{"A", "A6", Soft, "wrong_pin", 0},
	{"EV", "59", Soft, "suspected_fraud", 0},
	{"M", "63", Soft, "suspected_fraud", 0},
	{every, "61", Soft, "amount_limit", 0},
	{"V", "N4", Soft, "amount_limit", 0},
	{"V", "Z5", Soft, "amount_limit", 0},
	{"EV", "62", Soft, "temporary_block", 0},
	{"M", "57", Soft, "temporary_block", 0},
	{every, "65", Soft, "count_limit", 0},
	{"VM", "75", Soft, "pin_tries", 0},
	{"E", "38 75", Soft, "pin_tries", 0},
	{"A", "A4", Soft, "pin_tries", 0},
	{"E", "78", Soft, "card_not_unblocked", 0},
	{"V", "57", Soft, "not_permitted", 0}, // Visa's category 1 forbids it: see forbidden
	{every, "91", Soft, "issuer_unavailable", 0},
	{"A", "A1", Soft, "issuer_unavailable", 0},
	{every, "96", Soft, "system_failure", 0},
	{"A", "AE", Soft, "system_failure", 0},
	{"E", "04", Soft, "try_again", 0},
	{"E", "06", Soft, "consult_acquirer", 0},
	{"E", "P6", Soft, "new_pin_refused", 0},
	{"V", "B1 B2", Soft, "surcharge_refused", 0},
	{"V", "N0", Soft, "issuer_unavailable", 0},

	// Irreversible: this charge will not pass with this card.
	{every, "14", Hard, "invalid_card_number", gone},
	{"E", "56", Hard, "invalid_card_number", gone},
	{"M", "01", Hard, "invalid_card_number", gone},
	{every, "54", Hard, "expired_card", gone},
	{"A", "BV", Hard, "expired_card", gone},
	{every, "41", Hard, "lost_card", gone},
	{every, "43", Hard, "stolen_card", gone},
	{"V", "46", Hard, "closed_account", gone},
	{"M", "62", Hard, "closed_account", gone},
	{every, "R0 R1 R2 R3", Hard, "stopped_by_holder", never},
	{"E", "57", Hard, "not_permitted", 0},
	{"VM", "58", Hard, "not_permitted", 0},
	{"A", "FD", Hard, "not_permitted", 0},
	{"E", "58", Hard, "invalid_merchant", 0},
	{"VM", "03", Hard, "invalid_merchant", 0},
	{"A", "DA", Hard, "invalid_merchant", 0},
	{"EV", "63", Hard, "security", 0},
	{"A", "08", Hard, "security", 0},
	{every, "06 12", Hard, "card_error", 0},
	{"A", "A2 A3", Hard, "card_error", 0},
	{every, "13 19 23 30", Hard, "invalid_request", 0},
	{"A", "JB", Hard, "invalid_request", 0},
	{"M", "25 28", Hard, "invalid_request", 0},
	{"E", "74 83", Hard, "pin_crypto", 0},
	{"V", "74 81", Hard, "pin_crypto", 0},
	{"M", "88", Hard, "pin_crypto", 0},
	{"A", "A7", Hard, "pin_crypto", 0},
	{"EV", "76", Hard, "invalid_account", 0},
	{"E", "77", Hard, "invalid_account", 0},
	{every, "82 N8", Hard, "cryptogram", 0},
	{every, "39 52 53 AB AC", Hard, "wrong_function", 0},
	{"V", "07", Hard, "pick_up_card", 0},
	{"VM", "04", Hard, "pick_up_card", 0},
	{every, "15", Hard, "issuer_not_found", 0},
	{"V", "64", Hard, "refused_by_law", 0},
	{"E", "64", Hard, "amount_too_small", 0},
	{every, "92", Hard, "issuer_not_found", 0},
	{"V", "93", Hard, "refused_by_law", 0},
	{every, "94", Hard, "duplicate_trace", 0},
	{every, "N7", Hard, "security", 0},
	{"V", "N3", Hard, "wrong_function", 0}, // Visa's category 2 would allow it, ABECS does not
	{every, "6P", Hard, "identity_check_failed", 0},
	{every, "P5", Hard, "pin_change_failed", 0},
	{every, "FM", Hard, "use_chip", 0},
	{"V", "78", Hard, "card_not_unblocked", 0},

	// Visa's category 3 that no other table has: the data of the payer is missing.
	{"V", "1A 70", Action, "requires_action", 0},

	// Mastercard's replacements of other codes. What they mean is in the advice code that comes along.
	{"M", "79", Hard, "card_outdated", byAdvice},
	{"M", "82", Hard, "issuer_policy", byAdvice},
	{"M", "83", Hard, "suspected_fraud", byAdvice},

	// Cielo's own, for any brand. Where its text allows a number of tries, the budgets of package charge are below it.
	{every, "AA 98 99 999", Soft, "issuer_unavailable", 0},
	{every, "60 89 AV BO DF", Soft, "declined", 0},
	{every, "67", Soft, "temporary_block", 0},
	{every, "70 DM", Soft, "insufficient_funds", 0},
	{every, "BL", Soft, "amount_limit", 0},
	{every, "DS EK", Soft, "not_permitted", 0},
	{every, "RP", Soft, "declined", wait3d},
	{every, "NR", Hard, "declined", never},
	{every, "SC", Hard, "stopped_by_holder", never},
	{every, "BR", Hard, "closed_account", gone},
	{every, "BP", Hard, "invalid_account", 0},
	{every, "BM", Hard, "card_error", 0},
	{every, "BN", Hard, "blocked_card", 0},
	{every, "02 FC GA", Hard, "suspected_fraud", 0},
	{every, "GD GF GK GT BP176", Hard, "merchant_refused", merchant},
}

// forbidden are codes after which the network forbids another attempt with the same card, whatever ABECS says: Visa's
// category 1.
var forbidden = map[Brand]string{
	Visa: "04 07 12 14 15 41 43 46 57 R0 R1 R3",
}

// advice is what a Mastercard merchant advice code says beside the decline's code.
type advice struct {
	codes string
	class Class
	mark  mark
	after time.Duration
	only  string // holds beside this code only
}

var advices = []advice{
	{"01", Action, 0, 0, ""}, // new account data exist: the customer has a newer card
	{"02", Soft, 0, 72 * time.Hour, ""},
	{"03 21", Hard, never, 0, ""}, // 21: the customer has cancelled the plan
	{"04", Hard, 0, 0, ""},        // the token does not meet the requirements
	{"24", Soft, 0, time.Hour, "51"},
	{"25", Soft, 0, 24 * time.Hour, "51"},
	{"26", Soft, 0, 2 * 24 * time.Hour, "51"},
	{"27", Soft, 0, 4 * 24 * time.Hour, "51"},
	{"28", Soft, 0, 6 * 24 * time.Hour, "51"},
	{"29", Soft, 0, 8 * 24 * time.Hour, "51"},
	{"30", Soft, 0, 10 * 24 * time.Hour, "51"},
	{"40 41", Hard, never, 0, ""}, // a prepaid card that cannot be filled, a card number for one use
}
