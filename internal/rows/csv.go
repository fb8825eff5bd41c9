package rows

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// csvReader reads comma-separated values as RFC 4180 has them, with a header line, a byte order mark or CRLF if they like.
type csvReader struct {
	src     *budget
	csv     *csv.Reader
	columns Columns
	at      []int // column of ours by position in the file; nil before the header was read
	values  []string
	line    int64 // of the last record
	ended   bool
}

func newCSV(r io.Reader, c Columns) *csvReader {
	src := &budget{r: r}
	in := csv.NewReader(withoutBOM(src))
	in.ReuseRecord, in.FieldsPerRecord = true, -1
	return &csvReader{src: src, csv: in, columns: c, values: make([]string, len(c.Names))}
}

func (c *csvReader) Next() (Record, error) {
	if c.ended {
		return Record{}, io.EOF
	}
	if c.at == nil {
		if err := c.readHeader(); err != nil {
			c.ended = true
			return Record{}, err
		}
	}
	fields, line, err := c.read()
	if err != nil {
		return Record{}, err
	}
	if len(fields) != len(c.at) {
		return Record{}, &Error{line, "", fmt.Sprintf("%d fields, the header has %d; quote fields that contain commas", len(fields), len(c.at))}
	}
	clear(c.values)
	for i, v := range fields {
		if !utf8.ValidString(v) {
			return Record{}, &Error{line, c.columns.Names[c.at[i]], "not UTF-8; save the file as UTF-8"}
		}
		c.values[c.at[i]] = v
	}
	return Record{Line: line, Values: c.values}, nil
}

func (c *csvReader) readHeader() error {
	fields, line, err := c.read()
	if errors.Is(err, io.EOF) {
		return &Error{1, "", "the file is empty; its first line must name the columns"}
	}
	if err != nil {
		return err
	}
	at, ref := c.columns.header(fields)
	if ref != nil {
		ref.Line = line
		return ref
	}
	c.at = at
	return nil
}

// read reads one record of the file within the record budget.
func (c *csvReader) read() (fields []string, line int64, err error) {
	c.src.allow(c.csv.InputOffset() + maxRecord)
	fields, err = c.csv.Read()
	var bad *csv.ParseError
	switch {
	case err == nil:
		n, _ := c.csv.FieldPos(0)
		c.line = int64(n)
		return fields, c.line, nil
	case errors.Is(err, io.EOF):
		return nil, 0, io.EOF
	case errors.Is(err, errRecordTooLong):
		c.ended = true
		return nil, 0, &Error{c.line + 1, "", fmt.Sprintf("longer than %d bytes: is a quote left open? Nothing from here on was read", maxRecord)}
	case errors.As(err, &bad):
		return nil, 0, &Error{int64(bad.StartLine), "", bad.Err.Error() + "; write a quote inside a quoted field twice"}
	default:
		return nil, 0, fmt.Errorf("read file: %w", err)
	}
}

var errRecordTooLong = errors.New("record too long")

// budget lets a reader have so many bytes and then fails. The CSV reader buffers ahead, so the budget is what it consumed
// plus the longest record plus that buffer.
type budget struct {
	r    io.Reader
	read int64
	most int64
}

const readAhead = 8 << 10

func (b *budget) allow(most int64) { b.most = most + readAhead }

func (b *budget) Read(p []byte) (int, error) {
	left := b.most - b.read
	if left <= 0 {
		return 0, errRecordTooLong
	}
	n, err := b.r.Read(p[:min(int64(len(p)), left)])
	b.read += int64(n)
	return n, err
}

// withoutBOM skips a UTF-8 byte order mark.
func withoutBOM(r io.Reader) io.Reader {
	return &bomSkipper{r: r}
}

// bomSkipper looks at the first bytes only when somebody reads, since the file may arrive later.
type bomSkipper struct {
	r  io.Reader
	in *bufio.Reader
}

func (s *bomSkipper) Read(p []byte) (int, error) {
	if s.in == nil {
		s.in = bufio.NewReaderSize(s.r, 4<<10)
		head, err := s.in.Peek(3)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err // a peek takes it: the next read would not tell it again
		}
		if bytes.Equal(head, []byte("\xEF\xBB\xBF")) {
			_, _ = s.in.Discard(3) // they were just peeked
		}
	}
	return s.in.Read(p)
}
