// Package book keeps the truth of a simulated provider: which money really moved, whatever its callers were told. It is
// what tests compare Agogo's own books with, so nothing in here knows of faults or of HTTP.
package book

import (
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
	"unique"
)

// Status is what the provider says of a payment.
type Status uint8

// The statuses. A payment that moved money is Success for ever.
const (
	Pending Status = iota + 1
	Success
	Failed
)

// String is the documented word.
func (s Status) String() string {
	switch s {
	case Pending:
		return "PENDING"
	case Success:
		return "SUCCESS"
	default:
		return "FAILED"
	}
}

// Payment is a request to pay.
type Payment struct {
	Reference string // the caller's
	Peer      string
	Amount    int64 // minor units
	Currency  string
	Account   string // that pays
	Fee       int64  // what the account pays besides
}

// Verdict is what the provider decides on a request.
type Verdict struct {
	Status Status
	// Settles is what a pending payment becomes at SettleAt; a zero SettleAt is never.
	Settles  Status
	SettleAt time.Time
	Text     string // shown instead of the status while it is pending
	Message  string // why it failed, or will fail
	// BlindUntil hides the payment from lookups.
	BlindUntil time.Time
}

// Entry is everything about one reference.
type Entry struct {
	Payment
	Status     Status
	Text       string
	Message    string
	Moved      int   // how many times money moved: more than once is a double payment
	MovedMinor int64 // how much in all
	Requests   int
	FirstAt    time.Time
	LastAt     time.Time
	BlindUntil time.Time
	ReversedAt time.Time // when all of it came back, fees included; zero: it did not
	Refunded   int64     // how much was given back since, in all, fees excluded
	RefundedAt time.Time // when the newest part of that was
}

// ErrNotMoved means that there is nothing to reverse, or not as much.
var ErrNotMoved = errors.New("no money moved that could come back")

// ErrFloat means that the paying account has too little for this payment.
var ErrFloat = errors.New("the paying account has too little")

const shards = 64

// Book is one provider's. Any number of goroutines may use it.
type Book struct {
	provider  string
	journal   *Journal // nil keeps the book in memory only
	seed      maphash.Seed
	shards    [shards]shard
	committed atomic.Int64 // moved and pending
	float     atomic.Int64 // what the account was ever filled with
	limited   atomic.Bool  // false: it never runs dry
	returning atomic.Int64 // payments on their way that will fail: their money comes back
}

type shard struct {
	mu      sync.Mutex
	records map[string]*record
}

// record is an Entry in the least memory that a book of a million entries can do with: texts that repeat are kept once,
// and what most payments never have is behind a pointer.
type record struct {
	peer        string
	amount      int64
	fee         int64
	movedMinor  int64
	movedFee    int64
	first, last int64 // nanoseconds since 1970
	currency    unique.Handle[string]
	account     unique.Handle[string]
	moved       int32
	requests    int32
	status      Status
	rare        *rare
}

type rare struct {
	text, message string
	blind         int64
	reversed      int64
	refund        refund
	pending       []settlement
}

// refund is what was given back of a payment.
type refund struct {
	Minor int64 `json:"minor"`
	At    int64 `json:"at"`
}

// settlement is money on its way; a reference that was sent again while pending has several.
type settlement struct {
	At     int64  `json:"at"` // 0 is never
	Amount int64  `json:"amount"`
	Fee    int64  `json:"fee,omitempty"`
	To     Status `json:"to"`
}

func (p settlement) cost() int64 { return p.Amount + p.Fee }

// New makes an empty book in memory.
func New(provider string) *Book {
	b := &Book{provider: provider, seed: maphash.MakeSeed()}
	for i := range b.shards {
		b.shards[i].records = map[string]*record{}
	}
	return b
}

// Record enters a request with the provider's verdict on it. A reference that is known pays again, as nothing says that
// it does not, unless dedupe is set: then the first request's entry is returned and nothing moves. A failure never hides
// money that moved before it.
func (b *Book) Record(p Payment, v Verdict, at time.Time, dedupe bool) (Entry, error) {
	e, err := b.record(p, v, at, dedupe)
	if errors.Is(err, ErrFloat) && b.returning.Load() > 0 {
		// What failed meanwhile is noticed only when somebody looks at it.
		if err := b.Each(at, func(Entry) bool { return true }); err != nil {
			return Entry{}, err
		}
		return b.record(p, v, at, dedupe)
	}
	return e, err
}

func (b *Book) record(p Payment, v Verdict, at time.Time, dedupe bool) (Entry, error) {
	s := b.shard(p.Reference)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.records[p.Reference]
	if known {
		if err := b.settle(p.Reference, old, at); err != nil {
			return Entry{}, err
		}
	}
	next := newRecord(p, at)
	if known {
		next = *old
	}
	next.requests++
	next.last = at.UnixNano()
	if !known || !dedupe {
		if err := b.commit(v, p.Amount+p.Fee); err != nil {
			return Entry{}, err
		}
		next.decide(v, p)
	}
	if err := b.write(p.Reference, &next); err != nil {
		b.release(v, p.Amount+p.Fee, known && dedupe)
		return Entry{}, err
	}
	if v.Settles == Failed && (!known || !dedupe) {
		b.returning.Add(1)
	}
	if known {
		*old = next
	} else {
		s.records[p.Reference] = &next
	}
	return next.entry(p.Reference), nil
}

// Lookup finds a reference as it is at that time.
func (b *Book) Lookup(reference string, at time.Time) (Entry, bool, error) {
	s := b.shard(reference)
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[reference]
	if !ok {
		return Entry{}, false, nil
	}
	if err := b.settle(reference, r, at); err != nil {
		return Entry{}, false, err
	}
	return r.entry(reference), true, nil
}

// Reverse takes back what moved for a reference; the account gets it with its fees. Doing it again changes nothing.
func (b *Book) Reverse(reference string, at time.Time) (Entry, error) {
	s := b.shard(reference)
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[reference]
	if !ok {
		return Entry{}, ErrNotMoved
	}
	if err := b.settle(reference, r, at); err != nil {
		return Entry{}, err
	}
	switch {
	case r.reversed():
		return r.entry(reference), nil
	case r.moved == 0:
		return r.entry(reference), ErrNotMoved
	}
	next, extra := *r, rare{}
	if r.rare != nil {
		extra = *r.rare
	}
	extra.reversed = at.UnixNano()
	next.rare = &extra
	if err := b.write(reference, &next); err != nil {
		return Entry{}, err
	}
	b.committed.Add(-r.movedMinor - r.movedFee + extra.refund.Minor)
	*r = next
	return r.entry(reference), nil
}

// Refund gives back a part of what moved for a reference, or with 0 all that is left of it.
func (b *Book) Refund(reference string, minor int64, at time.Time) (Entry, error) {
	s := b.shard(reference)
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[reference]
	if !ok {
		return Entry{}, ErrNotMoved
	}
	if err := b.settle(reference, r, at); err != nil {
		return Entry{}, err
	}
	next, extra := *r, rare{}
	if r.rare != nil {
		extra = *r.rare
	}
	left := r.movedMinor - extra.refund.Minor
	if minor == 0 {
		minor = left
	}
	if minor <= 0 || minor > left || r.reversed() {
		return r.entry(reference), ErrNotMoved
	}
	extra.refund = refund{extra.refund.Minor + minor, at.UnixNano()}
	next.rare = &extra
	if err := b.write(reference, &next); err != nil {
		return Entry{}, err
	}
	b.committed.Add(-minor)
	*r = next
	return r.entry(reference), nil
}

// Each visits every entry as it is at that time, in no order, until visit says false.
func (b *Book) Each(at time.Time, visit func(Entry) bool) error {
	for i := range b.shards {
		entries, err := b.copyShard(&b.shards[i], at)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !visit(e) {
				return nil
			}
		}
	}
	return nil
}

// copyShard lets visitors be slow: a book that is read must not stop payments.
func (b *Book) copyShard(s *shard, at time.Time) ([]Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := make([]Entry, 0, len(s.records))
	for reference, r := range s.records {
		if err := b.settle(reference, r, at); err != nil {
			return nil, err
		}
		entries = append(entries, r.entry(reference))
	}
	return entries, nil
}

// Clear empties the book, and the float with it. The journal is its owner's to clear.
func (b *Book) Clear() {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		clear(s.records)
		s.mu.Unlock()
	}
	b.committed.Store(0)
	b.returning.Store(0)
	b.limited.Store(false)
	b.float.Store(0)
}

// Fill adds to what the paying account holds. Before the first call it never runs dry.
func (b *Book) Fill(minor int64) {
	b.float.Add(minor)
	b.limited.Store(true)
}

// Float is what the account still has, with what is on its way taken off; ok is false when it never runs dry.
func (b *Book) Float() (minor int64, ok bool) {
	return b.float.Load() - b.committed.Load(), b.limited.Load()
}

func (b *Book) shard(reference string) *shard {
	return &b.shards[maphash.String(b.seed, reference)%shards]
}

// commit takes the amount off the float, for money that moves and for money on its way.
func (b *Book) commit(v Verdict, amount int64) error {
	if v.Status == Failed {
		return nil
	}
	for {
		committed := b.committed.Load()
		if b.limited.Load() && committed+amount > b.float.Load() {
			return ErrFloat
		}
		if b.committed.CompareAndSwap(committed, committed+amount) {
			return nil
		}
	}
}

func (b *Book) release(v Verdict, amount int64, deduped bool) {
	if v.Status != Failed && !deduped {
		b.committed.Add(-amount)
	}
}

// settle moves what was pending and is due. The book has no timers: whoever looks sees the time's truth.
func (b *Book) settle(reference string, r *record, at time.Time) error {
	if r.rare == nil || len(r.rare.pending) == 0 {
		return nil
	}
	now := at.UnixNano()
	next, changed, failed, back := *r, false, int64(0), int64(0)
	extra := *r.rare
	extra.pending = nil
	for _, p := range r.rare.pending {
		if p.At == 0 || p.At > now {
			extra.pending = append(extra.pending, p)
			continue
		}
		changed = true
		next.apply(p.To, p.Amount, p.Fee)
		if p.To == Failed {
			failed, back = failed+1, back+p.cost()
		}
	}
	if !changed {
		return nil
	}
	next.rare = &extra
	if err := b.write(reference, &next); err != nil {
		return err
	}
	b.committed.Add(-back)
	b.returning.Add(-failed)
	*r = next
	return nil
}

func (b *Book) write(reference string, r *record) error {
	if b.journal == nil {
		return nil
	}
	return b.journal.append(b.provider, reference, r)
}

func newRecord(p Payment, at time.Time) record {
	return record{
		peer: p.Peer, amount: p.Amount, fee: p.Fee, first: at.UnixNano(),
		currency: unique.Make(p.Currency), account: unique.Make(p.Account),
	}
}

func (r *record) decide(v Verdict, p Payment) {
	if v.Text != "" || v.Message != "" || !v.BlindUntil.IsZero() || v.Status == Pending {
		extra := rare{}
		if r.rare != nil {
			extra = *r.rare
		}
		extra.text, extra.message = v.Text, v.Message
		if !v.BlindUntil.IsZero() {
			extra.blind = v.BlindUntil.UnixNano()
		}
		if v.Status == Pending {
			extra.pending = append(append([]settlement(nil), extra.pending...), settlement{nanos(v.SettleAt), p.Amount, p.Fee, v.Settles})
		}
		r.rare = &extra
	}
	r.apply(v.Status, p.Amount, p.Fee)
}

func (r *record) reversed() bool { return r.rare != nil && r.rare.reversed != 0 }

func (r *record) apply(s Status, amount, fee int64) {
	if s == Success {
		r.moved++
		r.movedMinor += amount
		r.movedFee += fee
	}
	if r.moved > 0 {
		s = Success
	}
	r.status = s
}

func (r *record) entry(reference string) Entry {
	e := Entry{
		Payment: Payment{Reference: reference, Peer: r.peer, Amount: r.amount, Currency: r.currency.Value(), Account: r.account.Value(), Fee: r.fee},
		Status:  r.status, Moved: int(r.moved), MovedMinor: r.movedMinor, Requests: int(r.requests),
		FirstAt: instant(r.first), LastAt: instant(r.last),
	}
	if r.rare != nil {
		e.BlindUntil, e.ReversedAt = instant(r.rare.blind), instant(r.rare.reversed)
		e.Refunded, e.RefundedAt = r.rare.refund.Minor, instant(r.rare.refund.At)
		switch r.status {
		case Pending:
			e.Text = r.rare.text
		case Failed:
			e.Message = r.rare.message
		case Success:
		}
	}
	return e
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func instant(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
