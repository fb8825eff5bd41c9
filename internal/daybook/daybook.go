// Package daybook is the form in which a day's close leaves Agogo: a report with one canonical form in bytes, the digest of it,
// a signature over the digest, and the chain of reports that each is a link of. It knows no database: who has a file and the
// public key can verify it.
package daybook

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
)

// Head is what a report says of its day. Amounts are minor units of Currency; an empty text is a figure that nobody tells.
type Head struct {
	Tenant, Provider string
	Date             string // YYYY-MM-DD in Timezone
	Timezone         string
	From, To         string // RFC 3339: the day, To excluded
	Revision         int64  // 1, and one more each time the day is reconciled again
	Sequence         int64  // the report's place in the chain of its tenant and provider, from 1
	Currency         string
	JudgedAt         string

	// The books: Opening + Late + TopUps - Paid - Fees + Reversed + Corrections = Closing.
	Opening     int64
	Late        int64 // dated before the day, committed after the day before was closed
	TopUps      int64
	Paid        int64
	Fees        int64
	Reversed    int64 // came back, with its fees
	Corrections int64 // into suspense or out of it, for differences found earlier
	Closing     int64

	// The provider. Source says where its closing is from.
	Statement       string // read; none, where the provider has none; not_compared, where two people had the day closed without it
	WaivedBy        string // those two
	WaivedBecause   string
	Lines           int64
	Repeated        int64 // lines that stood in it more than once
	Matched         int64
	MatchedSum      int64
	LinesSum        int64 // what the lines did to the float
	ProviderOpening Maybe
	ProviderClosing Maybe
	Source          string // balance, statement, balance_less_books, or none

	// Difference = ProviderClosing - Closing = Carried - Late - Corrections + the flows of all items.
	Carried    int64
	Difference Maybe

	Suspense int64 // what is in suspense for the connector after the report, debits positive
	Items    int64
	Previous string // digest of the report before, "" for the first
}

// Maybe is an amount that may be absent.
type Maybe struct {
	Minor int64
	Known bool
}

// Known is an amount that is there.
func Known(minor int64) Maybe { return Maybe{minor, true} }

// String is the number, or "".
func (m Maybe) String() string {
	if !m.Known {
		return ""
	}
	return strconv.FormatInt(m.Minor, 10)
}

// Item is what does not simply agree: an exception, or an amount that belongs to two days.
type Item struct {
	Kind       string
	Code       string
	Reference  string // ours
	ProviderID string // of the statement's line
	Subject    string // the payout
	Attempt    int64
	Expected   string // what the books say
	Found      string // what the provider says
	Difference int64  // what the provider moved more than the books; negative: less
	Flow       int64  // the part of it in this day's change of the float, from the provider's side
	Currency   string
	At         string
}

// Seal closes a report.
type Seal struct {
	Digest    string // SHA-256 of the canonical form, in hexadecimal
	Key       string // names the key, see [KeyID]
	Signature string // Ed25519, base64
}

// Report is a whole one.
type Report struct {
	Head  Head
	Items []Item
	Seal  Seal
}

// field is a named cell of a head or an item.
type field struct {
	name string
	get  func() string
	set  func(string) error
}

func text(name string, p *string) field {
	return field{name, func() string { return *p }, func(s string) error { *p = s; return nil }}
}

func number(name string, p *int64) field {
	return field{name, func() string { return strconv.FormatInt(*p, 10) }, func(s string) (err error) {
		if *p, err = strconv.ParseInt(s, 10, 64); err != nil {
			return fmt.Errorf("%s: %q is no number", name, s)
		}
		return nil
	}}
}

func maybe(name string, p *Maybe) field {
	return field{name, func() string { return p.String() }, func(s string) error {
		if *p = (Maybe{}); s == "" {
			return nil
		}
		minor, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %q is no number", name, s)
		}
		*p = Known(minor)
		return nil
	}}
}

// fields are the head's, in the order of every form.
func (h *Head) fields() []field {
	return []field{
		text("tenant", &h.Tenant), text("provider", &h.Provider), text("date", &h.Date), text("timezone", &h.Timezone),
		text("from", &h.From), text("to", &h.To), number("revision", &h.Revision), number("sequence", &h.Sequence),
		text("currency", &h.Currency), text("judged_at", &h.JudgedAt),
		number("opening", &h.Opening), number("late", &h.Late), number("top_ups", &h.TopUps), number("paid", &h.Paid),
		number("fees", &h.Fees), number("reversed", &h.Reversed), number("corrections", &h.Corrections), number("closing", &h.Closing),
		text("statement", &h.Statement), text("waived_by", &h.WaivedBy), text("waived_because", &h.WaivedBecause),
		number("lines", &h.Lines), number("repeated", &h.Repeated), number("matched", &h.Matched),
		number("matched_sum", &h.MatchedSum), number("lines_sum", &h.LinesSum), maybe("provider_opening", &h.ProviderOpening),
		maybe("provider_closing", &h.ProviderClosing), text("provider_closing_source", &h.Source),
		number("carried", &h.Carried), maybe("difference", &h.Difference), number("suspense", &h.Suspense), number("items", &h.Items), text("previous", &h.Previous),
	}
}

// fields are the item's, in the order of every form.
func (i *Item) fields() []field {
	return []field{
		text("kind", &i.Kind), text("code", &i.Code), text("reference", &i.Reference), text("provider_id", &i.ProviderID),
		text("subject_id", &i.Subject), number("attempt", &i.Attempt), text("expected", &i.Expected), text("found", &i.Found),
		number("difference", &i.Difference), number("flow", &i.Flow), text("currency", &i.Currency), text("at", &i.At),
	}
}

func (s *Seal) fields() []field {
	return []field{text("digest", &s.Digest), text("key", &s.Key), text("signature", &s.Signature)}
}

// Form writes a report: its head, each item, its seal.
type Form interface {
	Head(h Head) error
	Item(i Item) error
	Seal(s Seal) error
}

// Digest is a Form that keeps nothing but the digest of the canonical form.
type Digest struct {
	sum  hash.Hash
	form *CSV
}

// NewDigest begins one.
func NewDigest() *Digest {
	sum := sha256.New()
	return &Digest{sum: sum, form: NewCSV(sum)}
}

// Head adds the head.
func (d *Digest) Head(h Head) error { return d.form.Head(h) }

// Item adds an item.
func (d *Digest) Item(i Item) error { return d.form.Item(i) }

// Sum is the digest of what was added, in hexadecimal.
func (d *Digest) Sum() (string, error) {
	if err := d.form.flush(); err != nil {
		return "", err
	}
	return hex.EncodeToString(d.sum.Sum(nil)), nil
}

// DigestOf is the digest of a report.
func DigestOf(r Report) (string, error) {
	d := NewDigest()
	if err := d.Head(r.Head); err != nil {
		return "", err
	}
	for _, i := range r.Items {
		if err := d.Item(i); err != nil {
			return "", err
		}
	}
	return d.Sum()
}
