// Package imports reads files of push tokens, row by row and in constant memory: what a row says, or what is wrong with it.
package imports

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/agogopay/agogo/services/notifier/internal/store"
)

// maxLine is the longest line that is read; the rest of a longer one is skipped.
const maxLine = 16 << 10

// RowError says why a row is not taken, without repeating a token.
type RowError struct {
	Line    int64
	Field   string // "": the row as a whole
	Message string
}

// Error is the refusal in one line.
func (r *RowError) Error() string {
	if r.Field == "" {
		return fmt.Sprintf("line %d: %s", r.Line, r.Message)
	}
	return fmt.Sprintf("line %d: %s: %s", r.Line, r.Field, r.Message)
}

// parser turns a line into named fields.
type parser interface {
	parse(line []byte, into *fields) *RowError
}

// fields are the columns of a row by position in [columns].
type fields [4]string

var columns = [4]string{"user_id", "token", "platform", "locale"}

// Reader reads registrations.
type Reader struct {
	in     *bufio.Reader
	parser parser
	line   int64
}

// New makes a reader of "csv" (with a header line) or "jsonl".
func New(format string, r io.Reader) (*Reader, error) {
	reader := &Reader{in: bufio.NewReaderSize(r, maxLine)}
	if bom, err := reader.in.Peek(3); err == nil && string(bom) == "\ufeff" {
		_, _ = reader.in.Discard(3) // cannot fail: they were just seen
	}
	switch format {
	case "csv":
		reader.parser = &csvParser{}
	case "jsonl":
		reader.parser = jsonParser{}
	default:
		return nil, fmt.Errorf("format %q is neither csv nor jsonl", format)
	}
	return reader, nil
}

// Next returns a row, a [*RowError] for one that is not taken (the next one may be), a [*HeaderError] where nothing can be
// read for want of a header, io.EOF at the end, or the error of the source.
func (r *Reader) Next() (store.Registration, error) {
	for {
		header, ok := r.parser.(*csvParser)
		first := ok && header.order == nil
		line, err := r.read()
		if long := (*RowError)(nil); first && errors.As(err, &long) {
			return store.Registration{}, &HeaderError{long}
		}
		if err != nil {
			return store.Registration{}, err
		}
		if first {
			if refusal := header.header(line, r.line); refusal != nil {
				return store.Registration{}, &HeaderError{refusal}
			}
			continue
		}
		var f fields
		if refusal := r.parser.parse(line, &f); refusal != nil {
			refusal.Line = r.line
			return store.Registration{}, refusal
		}
		reg, refusal := check(f)
		if refusal != nil {
			refusal.Line = r.line
			return store.Registration{}, refusal
		}
		return reg, nil
	}
}

// HeaderError is a refusal that ends the file.
type HeaderError struct{ Row *RowError }

func (e *HeaderError) Error() string { return e.Row.Error() }

// read returns the next line that is not empty, without its line break.
func (r *Reader) read() ([]byte, error) {
	for {
		line, err := r.in.ReadSlice('\n')
		if len(line) > 0 {
			r.line++
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			if err := r.skip(); err != nil {
				return nil, err
			}
			return nil, &RowError{Line: r.line, Message: fmt.Sprintf("longer than %d bytes: is a quote or a line break missing?", maxLine)}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.TrimSpace(line)) > 0 {
			return line, nil
		}
		if err != nil {
			return nil, r.end()
		}
	}
}

func (r *Reader) skip() error {
	for {
		_, err := r.in.ReadSlice('\n')
		switch {
		case err == nil, errors.Is(err, io.EOF):
			return nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// end is io.EOF, unless a csv file ends before its header.
func (r *Reader) end() error {
	if p, ok := r.parser.(*csvParser); ok && p.order == nil {
		return &HeaderError{&RowError{Line: 1, Message: "the file is empty; its first line must be " + strings.Join(columns[:], ",")}}
	}
	return io.EOF
}

const (
	maxUser  = 128
	maxToken = 1024
)

// check refuses what could never be pushed to.
func check(f fields) (store.Registration, *RowError) {
	reg := store.Registration{UserID: f[0], Token: f[1], Platform: f[2], Locale: f[3]}
	switch {
	case reg.UserID == "":
		return reg, &RowError{Field: "user_id", Message: "missing"}
	case len(reg.UserID) > maxUser || !printable(reg.UserID) || strings.TrimSpace(reg.UserID) != reg.UserID:
		return reg, &RowError{Field: "user_id", Message: fmt.Sprintf("must be at most %d printable characters without spaces around them", maxUser)}
	case reg.Token == "":
		return reg, &RowError{Field: "token", Message: "missing"}
	case len(reg.Token) > maxToken || strings.ContainsFunc(reg.Token, func(c rune) bool { return c <= ' ' || c > '~' }):
		return reg, &RowError{Field: "token", Message: fmt.Sprintf("must be at most %d ASCII characters without spaces; this one has %d bytes", maxToken, len(reg.Token))}
	case reg.Platform != "android" && reg.Platform != "ios" && reg.Platform != "web":
		return reg, &RowError{Field: "platform", Message: "must be android, ios or web"}
	}
	if reg.Locale != "" {
		tag, err := language.Parse(reg.Locale)
		if err != nil {
			return reg, &RowError{Field: "locale", Message: "must be a language tag such as fr-CI, or empty for the tenant's"}
		}
		reg.Locale = tag.String() // one spelling: fr_ci is fr-CI
	}
	return reg, nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}
