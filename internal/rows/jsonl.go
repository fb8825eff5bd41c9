package rows

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// jsonlReader reads one flat JSON object per line. Values are strings, or numbers where an amount or a day is meant; they
// are taken as they are written, never through floating point. null is as good as absent.
type jsonlReader struct {
	in      *bufio.Reader
	columns Columns
	values  []string
	seen    []bool
	line    int64
}

func newJSONL(r io.Reader, c Columns) *jsonlReader {
	return &jsonlReader{
		in: bufio.NewReaderSize(withoutBOM(r), maxRecord), columns: c, values: make([]string, len(c.Names)), seen: make([]bool, len(c.Names)),
	}
}

func (j *jsonlReader) Next() (Record, error) {
	for {
		line, err := j.readLine()
		if err != nil {
			return Record{}, err
		}
		if len(line) == 0 {
			continue
		}
		if !utf8.Valid(line) {
			return Record{}, &Error{j.line, "", "not UTF-8; save the file as UTF-8"}
		}
		if ref := j.object(line); ref != nil {
			ref.Line = j.line
			return Record{}, ref
		}
		return Record{Line: j.line, Values: j.values}, nil
	}
}

// readLine returns the next line without its end and surrounding blanks. One that is too long is skipped and refused.
func (j *jsonlReader) readLine() ([]byte, error) {
	line, err := j.in.ReadSlice('\n')
	j.line++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = j.in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read file: %w", err)
		}
		return nil, &Error{j.line, "", fmt.Sprintf("longer than %d bytes", maxRecord)}
	case errors.Is(err, io.EOF) && len(line) > 0, err == nil:
		return bytes.TrimSpace(line), nil
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	default:
		return nil, fmt.Errorf("read file: %w", err)
	}
}

// object reads one line. It goes by tokens, since a key that is there twice would otherwise be taken at its last word.
func (j *jsonlReader) object(line []byte) *Error {
	clear(j.values)
	clear(j.seen)
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return &Error{Message: "not a JSON object; write one object per line"}
	}
	for d.More() {
		if ref := j.member(d); ref != nil {
			return ref
		}
	}
	if _, err := d.Token(); err != nil {
		return &Error{Message: "the JSON object is not closed"}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &Error{Message: "something follows the JSON object; write one object per line"}
	}
	for i, name := range j.columns.Names[:j.columns.Required] {
		if !j.seen[i] {
			return &Error{Field: name, Message: "missing"}
		}
	}
	return nil
}

func (j *jsonlReader) member(d *json.Decoder) *Error {
	key, err := d.Token()
	name, ok := key.(string)
	if err != nil || !ok {
		return &Error{Message: "not valid JSON"}
	}
	i := j.columns.Index(name)
	switch {
	case i < 0:
		return &Error{Field: j.columns.shape(name), Message: "unknown field; the fields are " + strings.Join(j.columns.Names, ", ")}
	case j.seen[i]:
		return &Error{Field: name, Message: "the field is there twice"}
	}
	j.seen[i] = true
	value, err := d.Token()
	if err != nil {
		return &Error{Field: name, Message: "not valid JSON"}
	}
	switch v := value.(type) {
	case string:
		j.values[i] = v
	case json.Number:
		j.values[i] = v.String()
	case nil:
	default:
		return &Error{Field: name, Message: "neither a string nor a number"}
	}
	return nil
}
