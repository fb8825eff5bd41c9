// Package rows takes files of any size row by row, as CSV or JSON lines: read within a bound, checked one by one, stored in
// small transactions. A bad row is named with its line and stores nothing; the others are stored.
package rows

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxRecord is the longest row taken, in bytes. Without it one unclosed quote would read the whole file into memory.
const maxRecord = 64 << 10

// Columns are the names a file may have, required ones first; the rest may be absent.
type Columns struct {
	Names    []string
	Required int
	// Secret says that rows hold secrets. A name that is not known is not shown then: the first line of a file without a header
	// is a row.
	Secret bool
}

// shape shows a name that is not known.
func (c Columns) shape(name string) string {
	if c.Secret {
		return ""
	}
	return Shape(name)
}

// Index is the position of a column, or -1.
func (c Columns) Index(name string) int { return slices.Index(c.Names, name) }

// Record is one row: its values in the order of columns, "" where absent.
type Record struct {
	Line   int64
	Values []string // valid until the next record is read
}

// Error names a row that was not stored.
type Error struct {
	Line    int64
	Field   string
	Message string // without names and numbers of people: shapes, not values
}

// Error is the refusal as text.
func (r *Error) Error() string {
	if r.Field == "" {
		return fmt.Sprintf("line %d: %s", r.Line, r.Message)
	}
	return fmt.Sprintf("line %d: %s: %s", r.Line, r.Field, r.Message)
}

// Reader reads records. Its error is io.EOF at the end, an *Error for a row that cannot be read (the next one may be), or
// another error when the file cannot be read on.
type Reader interface {
	Next() (Record, error)
}

// NewReader reads a format, "csv" (with a header line) or "jsonl".
func NewReader(format string, r io.Reader, c Columns) (Reader, error) {
	switch format {
	case "csv":
		return newCSV(r, c), nil
	case "jsonl":
		return newJSONL(r, c), nil
	default:
		return nil, fmt.Errorf("format %q is neither csv nor jsonl", format)
	}
}

// header maps the columns of a file to ours, or says what is wrong with them.
func (c Columns) header(given []string) ([]int, *Error) {
	at := make([]int, len(given))
	seen := make([]bool, len(c.Names))
	for i, name := range given {
		name = strings.TrimSpace(name)
		at[i] = c.Index(name)
		switch {
		case at[i] < 0:
			return nil, &Error{1, c.shape(name), "unknown column; the columns are " + strings.Join(c.Names, ", ")}
		case seen[at[i]]:
			return nil, &Error{1, name, "the column is there twice"}
		}
		seen[at[i]] = true
	}
	for i, name := range c.Names[:c.Required] {
		if !seen[i] {
			return nil, &Error{1, name, "the column is missing; the first line must name the columns " + strings.Join(c.Names[:c.Required], ",")}
		}
	}
	return at, nil
}
