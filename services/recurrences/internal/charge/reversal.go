package charge

import "slices"

// TakenBack is what was taken back of a charge that succeeded, in minor units.
type TakenBack struct {
	Refunded    int64 // in all, as the gateway tells it
	Disputed    int64 // of disputes that were not won
	ChargedBack int64 // of these, what was lost
}

// Plus is both together.
func (t TakenBack) Plus(u TakenBack) TakenBack {
	return TakenBack{t.Refunded + u.Refunded, t.Disputed + u.Disputed, t.ChargedBack + u.ChargedBack}
}

// Bearing is who bears what the gateway has taken back of a charge: the seller what is refunded or lost, the account of
// chargebacks what is disputed and not decided, suspense what nobody can explain. It follows from what was taken back alone,
// and not from the order in which that was told.
type Bearing struct{ Seller, Chargebacks, Suspense int64 }

// Bearing is that of a charge over an amount. The gateway takes the same money once: a dispute of what is refunded, or a refund
// of what is disputed, takes no more than was charged. Only a refund of more than that does.
func (t TakenBack) Bearing(charged int64) Bearing {
	seller := min(charged, t.Refunded+t.ChargedBack)
	return Bearing{
		Seller: seller, Chargebacks: min(charged, t.Refunded+t.Disputed) - seller, Suspense: max(0, t.Refunded-charged),
	}
}

// Side is one end of a flow of money.
type Side int

// The sides, each of which is an account.
const (
	SideGateway Side = iota
	SideSeller
	SideChargebacks
	SideSuspense
)

// Flow is a posting: Dr Debit / Cr Credit, Minor > 0.
type Flow struct {
	Debit, Credit Side
	Minor         int64
}

// Flows are the postings that lead from one bearing to another, in as few entries as there are.
func (b Bearing) Flows(to Bearing) []Flow {
	seller, disputed := to.Seller-b.Seller, to.Chargebacks-b.Chargebacks
	gateway := seller + disputed
	direct := within(seller, gateway) // between the seller and the gateway
	return slices.DeleteFunc([]Flow{
		flow(SideSeller, SideGateway, direct),
		flow(SideChargebacks, SideGateway, gateway-direct),
		flow(SideSeller, SideChargebacks, seller-direct),
		flow(SideSuspense, SideGateway, to.Suspense-b.Suspense),
	}, func(f Flow) bool { return f.Minor == 0 })
}

// within is the part of a that goes the same way as b, and no further.
func within(a, b int64) int64 {
	if a < 0 {
		return -within(-a, -b)
	}
	return max(0, min(a, b))
}

// flow turns a posting of less than nothing around.
func flow(debit, credit Side, minor int64) Flow {
	if minor < 0 {
		return Flow{credit, debit, -minor}
	}
	return Flow{debit, credit, minor}
}

// Dispute is a card holder's objection to a charge.
type Dispute struct {
	Case   string // its number at the gateway
	Amount int64
	State  DisputeState
}

// DisputeState is where a dispute stands.
type DisputeState string

// The states of a dispute. What is decided stays so.
const (
	DisputeOpen DisputeState = "open"
	DisputeWon  DisputeState = "won"
	DisputeLost DisputeState = "lost"
)

// The codes of charge.refunded and charge.disputed: what of the charge was refunded, and what became of the dispute.
const (
	CodePartlyRefunded = "partly_refunded"
	CodeDisputeOpened  = "dispute_opened"
	CodeDisputeLost    = "dispute_lost"
	CodeDisputeWon     = "dispute_won"
)

// The contradictions in what a gateway tells of refunds and disputes.
const (
	MismatchRefundedMore = "refunded_more_than_charged"
	MismatchRefundShrank = "refund_shrank"
	MismatchDispute      = "dispute_differs"
)

// Step is one thing that was taken back, or given back, and what it makes of the charge.
type Step struct {
	// Dispute is the dispute that began or was decided; nil for a refund.
	Dispute *Dispute
	// New is set for a refund and for a dispute that begins.
	New    bool
	Change TakenBack
	Code   string
}

// Minor is the amount that the step is about.
func (s Step) Minor() int64 {
	if s.Dispute != nil {
		return s.Dispute.Amount
	}
	return s.Change.Refunded
}

// News compares what a gateway tells of a charge over an amount with what is booked of it: the steps that lead from one to the
// other, and contradictions, which lead nowhere. A dispute that is told no more says nothing: no gateway says so that one was won.
func News(charged int64, booked TakenBack, known []Dispute, refunded int64, told []Dispute) (steps []Step, mismatches []string) {
	if more := refunded - booked.Refunded; more > 0 {
		code := CodePartlyRefunded
		if refunded >= charged {
			code = CodeRefunded
		}
		steps = append(steps, Step{New: true, Change: TakenBack{Refunded: more}, Code: code})
	} else if more < 0 {
		mismatches = append(mismatches, MismatchRefundShrank)
	}
	if refunded > charged {
		mismatches = append(mismatches, MismatchRefundedMore)
	}
	for _, d := range told {
		i := slices.IndexFunc(known, func(k Dispute) bool { return k.Case == d.Case })
		switch {
		case d.Amount > charged, i >= 0 && (known[i].Amount != d.Amount || known[i].State == DisputeWon && d.State == DisputeLost):
			if !slices.Contains(mismatches, MismatchDispute) {
				mismatches = append(mismatches, MismatchDispute)
			}
		case i < 0:
			open := Dispute{d.Case, d.Amount, DisputeOpen}
			steps = append(steps, Step{Dispute: &open, New: true, Change: TakenBack{Disputed: d.Amount}, Code: CodeDisputeOpened})
			if d.State == DisputeLost {
				steps = append(steps, open.decided(DisputeLost))
			}
		case known[i].State == DisputeOpen && d.State == DisputeLost:
			steps = append(steps, known[i].decided(DisputeLost))
		}
	}
	return steps, mismatches
}

// decided is the step of an open dispute that was won or lost.
func (d Dispute) decided(to DisputeState) Step {
	s := Step{Dispute: &Dispute{d.Case, d.Amount, to}, Change: TakenBack{ChargedBack: d.Amount}, Code: CodeDisputeLost}
	if to == DisputeWon {
		s.Change, s.Code = TakenBack{Disputed: -d.Amount}, CodeDisputeWon
	}
	return s
}

// Decide is what people decide about an open dispute; ok is false when it is decided already.
func (d Dispute) Decide(to DisputeState) (s Step, ok bool) {
	if d.State != DisputeOpen || to == DisputeOpen {
		return Step{}, false
	}
	return d.decided(to), true
}
