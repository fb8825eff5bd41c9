package imports

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// jsonlReader reads one flat JSON object per line. Values are strings, or numbers where an amount or a day is meant; they
// are taken as they are written, never through floating point. null is as good as absent.
type jsonlReader struct {
	in      *bufio.Reader
	columns columns
	values  []string
	seen    []bool
	line    int64
}

func newJSONL(r io.Reader, c columns) *jsonlReader {
	return &jsonlReader{
		in: bufio.NewReaderSize(withoutBOM(r), maxRecord), columns: c, values: make([]string, len(c.names)), seen: make([]bool, len(c.names)),
	}
}

func (j *jsonlReader) next() (record, error) {
	for {
		line, err := j.readLine()
		if err != nil {
			return record{}, err
		}
		if len(line) == 0 {
			continue
		}
		if !utf8.Valid(line) {
			return record{}, &RowError{j.line, "", "not UTF-8; save the file as UTF-8"}
		}
		if ref := j.object(line); ref != nil {
			ref.Line = j.line
			return record{}, ref
		}
		return record{line: j.line, values: j.values}, nil
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
		return nil, &RowError{j.line, "", fmt.Sprintf("longer than %d bytes", maxRecord)}
	case errors.Is(err, io.EOF) && len(line) > 0, err == nil:
		return bytes.TrimSpace(line), nil
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	default:
		return nil, fmt.Errorf("read file: %w", err)
	}
}

// object reads one line. It goes by tokens, since a key that is there twice would otherwise be taken at its last word.
func (j *jsonlReader) object(line []byte) *RowError {
	clear(j.values)
	clear(j.seen)
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return &RowError{Message: "not a JSON object; write one object per line"}
	}
	for d.More() {
		if ref := j.member(d); ref != nil {
			return ref
		}
	}
	if _, err := d.Token(); err != nil {
		return &RowError{Message: "the JSON object is not closed"}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &RowError{Message: "something follows the JSON object; write one object per line"}
	}
	for i, name := range j.columns.names[:j.columns.required] {
		if !j.seen[i] {
			return &RowError{Field: name, Message: "missing"}
		}
	}
	return nil
}

func (j *jsonlReader) member(d *json.Decoder) *RowError {
	key, err := d.Token()
	name, ok := key.(string)
	if err != nil || !ok {
		return &RowError{Message: "not valid JSON"}
	}
	i := j.columns.index(name)
	switch {
	case i < 0:
		return &RowError{Field: shape(name), Message: "unknown field"}
	case j.seen[i]:
		return &RowError{Field: name, Message: "the field is there twice"}
	}
	j.seen[i] = true
	value, err := d.Token()
	if err != nil {
		return &RowError{Field: name, Message: "not valid JSON"}
	}
	switch v := value.(type) {
	case string:
		j.values[i] = v
	case json.Number:
		j.values[i] = v.String()
	case nil:
	default:
		return &RowError{Field: name, Message: "neither a string nor a number"}
	}
	return nil
}
