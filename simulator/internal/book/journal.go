package book

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"unique"
)

// Journal is the append-only file behind a shelf of books: one line per change, the newest line of a reference counts.
// Lines are with the kernel before the caller hears of a payment, so that the truth survives the death of the process.
type Journal struct {
	mu   sync.Mutex
	file *os.File
	buf  bytes.Buffer
	enc  *json.Encoder
}

type line struct {
	Provider   string       `json:"provider"`
	Reference  string       `json:"reference"`
	Peer       string       `json:"peer"`
	Amount     int64        `json:"amount"`
	Currency   string       `json:"currency"`
	Account    string       `json:"account,omitempty"`
	Fee        int64        `json:"fee,omitempty"`
	Status     Status       `json:"status"`
	Moved      int32        `json:"moved"`
	MovedMinor int64        `json:"moved_minor"`
	MovedFee   int64        `json:"moved_fee,omitempty"`
	Requests   int32        `json:"requests"`
	First      int64        `json:"first"`
	Last       int64        `json:"last"`
	Text       string       `json:"text,omitempty"`
	Message    string       `json:"message,omitempty"`
	Blind      int64        `json:"blind,omitempty"`
	Reversed   int64        `json:"reversed,omitempty"`
	Refund     *refund      `json:"refund,omitempty"`
	Pending    []settlement `json:"pending,omitempty"`
}

// Persist loads what the file at path knows into the books and writes every change of theirs to it from now on. It
// refuses a file that holds a provider that is not among them. The books must be empty and not in use yet.
func Persist(path string, books ...*Book) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the simulator's book: %w", err)
	}
	j := &Journal{file: file}
	j.enc = json.NewEncoder(&j.buf)
	lines, err := j.load(books)
	if err == nil {
		err = j.compact(path, lines, books)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the simulator's book %s: %w", path, err), file.Close())
	}
	for _, b := range books {
		b.journal = j
	}
	return j, nil
}

// Clear empties the file.
func (j *Journal) Clear() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file.Truncate(0)
}

// Close closes the file; payments are refused afterwards. Closing it again does nothing.
func (j *Journal) Close() error {
	if err := j.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

func (j *Journal) append(provider, reference string, r *record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.buf.Reset()
	if err := j.enc.Encode(lineOf(provider, reference, r)); err != nil {
		return err
	}
	if _, err := j.file.Write(j.buf.Bytes()); err != nil {
		return fmt.Errorf("write the simulator's book: %w", err)
	}
	return nil
}

// load reads the file. A last line without its end is what a process wrote while it was killed: nobody was told of it, so
// it is cut off.
func (j *Journal) load(books []*Book) (lines int, err error) {
	in := bufio.NewReaderSize(j.file, 1<<20)
	var whole int64
	for {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(text) > 0 {
				return lines, j.file.Truncate(whole)
			}
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		lines++
		if err := restore(text, books); err != nil {
			return lines, fmt.Errorf("line %d: %w", lines, err)
		}
		whole += int64(len(text))
	}
}

func restore(text []byte, books []*Book) error {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	if l.Status < Pending || l.Status > Failed {
		return fmt.Errorf("status %d is unknown", l.Status)
	}
	for _, p := range l.Pending {
		if p.At != 0 && p.To != Success && p.To != Failed {
			return fmt.Errorf("a payment on its way cannot become status %d", p.To)
		}
	}
	for _, b := range books {
		if b.provider == l.Provider {
			b.restore(l)
			return nil
		}
	}
	return fmt.Errorf("provider %q is not simulated", l.Provider)
}

func (b *Book) restore(l line) {
	r := &record{
		peer: l.Peer, amount: l.Amount, fee: l.Fee, movedMinor: l.MovedMinor, movedFee: l.MovedFee, first: l.First, last: l.Last,
		currency: unique.Make(l.Currency), account: unique.Make(l.Account), moved: l.Moved, requests: l.Requests, status: l.Status,
	}
	if l.Text != "" || l.Message != "" || l.Blind != 0 || l.Reversed != 0 || l.Refund != nil || len(l.Pending) > 0 {
		r.rare = &rare{text: l.Text, message: l.Message, blind: l.Blind, reversed: l.Reversed, pending: l.Pending}
		if l.Refund != nil {
			r.rare.refund = *l.Refund
		}
	}
	s := b.shard(l.Reference)
	if old, ok := s.records[l.Reference]; ok {
		b.weigh(old, -1)
	}
	b.weigh(r, 1)
	s.records[l.Reference] = r
}

// weigh puts a record on the scales of the float, or takes it off.
func (b *Book) weigh(r *record, sign int64) {
	if !r.reversed() {
		b.committed.Add(sign * (r.movedMinor + r.movedFee))
	}
	if r.rare == nil {
		return
	}
	if !r.reversed() {
		b.committed.Add(-sign * r.rare.refund.Minor)
	}
	for _, p := range r.rare.pending {
		b.committed.Add(sign * p.cost())
		if p.To == Failed {
			b.returning.Add(sign)
		}
	}
}

// compact rewrites a file in which most lines are old. The new file takes the old one's place only when it is whole.
func (j *Journal) compact(path string, lines int, books []*Book) error {
	live := 0
	for _, b := range books {
		for i := range b.shards {
			live += len(b.shards[i].records)
		}
	}
	if lines < 1000 || lines < 2*live {
		return nil
	}
	next, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err := writeAll(next, books); err != nil {
		return errors.Join(err, next.Close())
	}
	if err := os.Rename(path+".new", path); err != nil {
		return errors.Join(err, next.Close())
	}
	old := j.file
	j.file = next
	return old.Close()
}

func writeAll(to io.Writer, books []*Book) error {
	out := bufio.NewWriterSize(to, 1<<20)
	enc := json.NewEncoder(out)
	for _, b := range books {
		for i := range b.shards {
			for reference, r := range b.shards[i].records {
				if err := enc.Encode(lineOf(b.provider, reference, r)); err != nil {
					return err
				}
			}
		}
	}
	return out.Flush()
}

func lineOf(provider, reference string, r *record) line {
	l := line{
		Provider: provider, Reference: reference, Peer: r.peer, Amount: r.amount, Currency: r.currency.Value(),
		Account: r.account.Value(), Fee: r.fee, Status: r.status, Moved: r.moved, MovedMinor: r.movedMinor, MovedFee: r.movedFee,
		Requests: r.requests, First: r.first, Last: r.last,
	}
	if r.rare != nil {
		l.Text, l.Message, l.Blind, l.Reversed, l.Pending = r.rare.text, r.rare.message, r.rare.blind, r.rare.reversed, r.rare.pending
		if r.rare.refund.Minor != 0 {
			back := r.rare.refund
			l.Refund = &back
		}
	}
	return l
}
