package payout

// Item is what a payout is made of: a payment, or a carry with negative amounts. Gross = Commission + Net.
type Item struct {
	Kind       string
	ID         string
	Gross      int64
	Commission int64
	Net        int64
}

// The kinds of items.
const (
	KindPayment = "payment"
	KindCarry   = "carry"
)

// Sum is what items add up to.
type Sum struct {
	Items      int
	Gross      int64
	Commission int64
	Net        int64
}

// SumOf adds items up.
func SumOf(items []Item) Sum {
	var s Sum
	for _, i := range items {
		s = s.add(i)
	}
	return s
}

func (s Sum) add(i Item) Sum {
	return Sum{Items: s.Items + 1, Gross: s.Gross + i.Gross, Commission: s.Commission + i.Commission, Net: s.Net + i.Net}
}

// Split divides a payee's items so that no part pays more than most: by whole payments, in their order, all carries in the
// first part. A single payment above most cannot be divided; it gets a part of its own, which the limit then holds. most 0
// or less is no limit.
func Split(items []Item, most int64) [][]Item {
	if most <= 0 || SumOf(items).Net <= most {
		return [][]Item{items}
	}
	var parts, oversize [][]Item
	part := make([]Item, 0, len(items))
	for _, i := range items {
		if i.Kind == KindCarry {
			part = append(part, i)
		}
	}
	net := SumOf(part).Net
	for _, i := range items {
		switch {
		case i.Kind == KindCarry:
		case i.Net > most:
			oversize = append(oversize, []Item{i})
		case net+i.Net > most: // so net > 0, for i alone fits: no part is closed that owes
			parts = append(parts, part)
			part, net = []Item{i}, i.Net
		default:
			part, net = append(part, i), net+i.Net
		}
	}
	if len(part) > 0 {
		parts = append(parts, part)
	}
	return append(parts, oversize...)
}
