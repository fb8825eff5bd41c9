package imports

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxRecord is the longest row taken, in bytes. Without it one unclosed quote would read the whole file into memory.
const maxRecord = 64 << 10

// columns are the names a file may have, required ones first; the rest may be absent.
type columns struct {
	names    []string
	required int
}

func (c columns) index(name string) int { return slices.Index(c.names, name) }

// record is one row: its values in the order of columns, "" where absent.
type record struct {
	line   int64
	values []string // valid until the next record is read
}

// reader reads records. Its error is io.EOF at the end, a *RowError for a row that cannot be read (the next one may be), or
// another error when the file cannot be read on.
type reader interface {
	next() (record, error)
}

func newReader(format string, r io.Reader, c columns) (reader, error) {
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
func (c columns) header(given []string) ([]int, *RowError) {
	at := make([]int, len(given))
	seen := make([]bool, len(c.names))
	for i, name := range given {
		name = strings.TrimSpace(name)
		at[i] = c.index(name)
		switch {
		case at[i] < 0:
			return nil, &RowError{1, shape(name), "unknown column; the columns are " + strings.Join(c.names, ", ")}
		case seen[at[i]]:
			return nil, &RowError{1, name, "the column is there twice"}
		}
		seen[at[i]] = true
	}
	for i, name := range c.names[:c.required] {
		if !seen[i] {
			return nil, &RowError{1, name, "the column is missing; the first line must name the columns " + strings.Join(c.names[:c.required], ",")}
		}
	}
	return at, nil
}

// shape shows outside text in a message, bounded and printable.
func shape(s string) string {
	const most = 40
	r := []rune(strings.ToValidUTF8(s, "\uFFFD"))
	if len(r) > most {
		return fmt.Sprintf("%q… (%d characters)", string(r[:most]), len(r))
	}
	return fmt.Sprintf("%q", string(r))
}
