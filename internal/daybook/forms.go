package daybook

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// version stands in the first record: another form is another version.
const version = "agogo-close-1"

// CSV is the canonical form: RFC 4180 records with a line feed, amounts in minor units. What the digest covers is everything
// above the seal.
type CSV struct {
	w *csv.Writer
}

// NewCSV writes to w.
func NewCSV(w io.Writer) *CSV { return &CSV{csv.NewWriter(w)} }

// Head writes a record for each figure, and the titles of the items.
func (c *CSV) Head(h Head) error {
	if err := c.w.Write([]string{"form", version}); err != nil {
		return err
	}
	for _, f := range h.fields() {
		if err := c.w.Write([]string{f.name, f.get()}); err != nil {
			return err
		}
	}
	titles := []string{"item"}
	for _, f := range (&Item{}).fields() {
		titles = append(titles, f.name)
	}
	return c.w.Write(titles)
}

// Item writes a record.
func (c *CSV) Item(i Item) error {
	record := []string{"item"}
	for _, f := range i.fields() {
		record = append(record, f.get())
	}
	return c.w.Write(record)
}

// Seal ends the report.
func (c *CSV) Seal(s Seal) error {
	for _, f := range s.fields() {
		if err := c.w.Write([]string{f.name, f.get()}); err != nil {
			return err
		}
	}
	return c.flush()
}

func (c *CSV) flush() error {
	c.w.Flush()
	return c.w.Error()
}

// JSON is the form for programs: the same texts under the same names.
type JSON struct {
	w     *bufio.Writer
	items int64
}

// NewJSON writes to w.
func NewJSON(w io.Writer) *JSON { return &JSON{w: bufio.NewWriter(w)} }

// Head writes the figures.
func (j *JSON) Head(h Head) error {
	if _, err := fmt.Fprintf(j.w, "{\"form\":%q,\n\"report\":", version); err != nil {
		return err
	}
	if err := j.object(h.fields()); err != nil {
		return err
	}
	_, err := j.w.WriteString(",\n\"lines\":[")
	return err
}

// Item writes an element.
func (j *JSON) Item(i Item) error {
	lead := ",\n"
	if j.items++; j.items == 1 {
		lead = "\n"
	}
	if _, err := j.w.WriteString(lead); err != nil {
		return err
	}
	return j.object(i.fields())
}

// Seal ends the report.
func (j *JSON) Seal(s Seal) error {
	if _, err := j.w.WriteString("],\n\"seal\":"); err != nil {
		return err
	}
	if err := j.object(s.fields()); err != nil {
		return err
	}
	if _, err := j.w.WriteString("}\n"); err != nil {
		return err
	}
	return j.w.Flush()
}

func (j *JSON) object(fields []field) error {
	for n, f := range fields {
		lead := ","
		if n == 0 {
			lead = "{"
		}
		value, err := json.Marshal(f.get())
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(j.w, "%s%q:%s", lead, f.name, value); err != nil {
			return err
		}
	}
	return j.w.WriteByte('}')
}

// Read parses a report of either form. It must be byte for byte what Agogo writes: a name that stands twice, say, could show a
// person another figure than the one that is verified.
func Read(data []byte) (Report, error) {
	var (
		r   Report
		err error
		out bytes.Buffer
		as  Form = NewCSV(&out)
	)
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		as = NewJSON(&out)
		r, err = readJSON(data)
	} else {
		r, err = readCSV(data)
	}
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if err := r.Write(as); err != nil {
		return Report{}, err
	}
	if !bytes.Equal(out.Bytes(), data) {
		return Report{}, fmt.Errorf("%w: line %d is not as Agogo writes it", ErrForm, firstDifference(out.Bytes(), data))
	}
	return r, nil
}

// Write writes a whole report in a form.
func (r Report) Write(f Form) error {
	if err := f.Head(r.Head); err != nil {
		return err
	}
	for _, i := range r.Items {
		if err := f.Item(i); err != nil {
			return err
		}
	}
	return f.Seal(r.Seal)
}

func firstDifference(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return 1 + bytes.Count(b[:n], []byte("\n"))
}

func readCSV(data []byte) (r Report, err error) {
	pairs := append(r.Head.fields(), r.Seal.fields()...)
	head, titles := len(r.Head.fields()), false
	for n, line := 0, 0; ; line++ {
		if len(data) == 0 && n == len(pairs) {
			return r, nil
		}
		if len(data) == 0 {
			return r, fmt.Errorf("it ends before %q", pairs[n].name)
		}
		var record []string
		if record, data, err = cut(data); err != nil {
			return r, fmt.Errorf("record %d: %w", line+1, err)
		}
		switch {
		case line == 0:
			if len(record) != 2 || record[0] != "form" || record[1] != version {
				return r, fmt.Errorf("it does not begin with form,%s", version)
			}
		case n == head && record[0] == "item":
			if !titles {
				titles = true
				continue
			}
			if err := r.item(record[1:]); err != nil {
				return r, err
			}
		case n == len(pairs) || len(record) != 2 || record[0] != pairs[n].name:
			return r, fmt.Errorf("record %d: %q does not belong there", line+1, record[0])
		default:
			if err := pairs[n].set(record[1]); err != nil {
				return r, err
			}
			n++
		}
	}
}

// cut takes the first record off a canonical form. encoding/csv's own reader makes a line feed of CR LF in a quoted field, so that a text
// that has one could never be read as it was signed. It need not be strict: what is read is compared with what would be written.
func cut(data []byte) (record []string, rest []byte, err error) {
	for {
		var value []byte
		if bytes.HasPrefix(data, []byte{'"'}) {
			if value, data, err = unquote(data[1:]); err != nil {
				return nil, nil, err
			}
		} else {
			end := bytes.IndexAny(data, ",\n")
			if end < 0 {
				return nil, nil, errors.New("it ends in the middle of a line")
			}
			value, data = data[:end], data[end:]
		}
		record = append(record, string(value))
		switch {
		case bytes.HasPrefix(data, []byte{','}):
			data = data[1:]
		case bytes.HasPrefix(data, []byte{'\n'}):
			return record, data[1:], nil
		default:
			return nil, nil, errors.New("something follows a closing quote")
		}
	}
}

// unquote takes a text up to its closing quote; two quotes are one of the text's own.
func unquote(data []byte) (value, rest []byte, err error) {
	for {
		end := bytes.IndexByte(data, '"')
		if end < 0 {
			return nil, nil, errors.New("a quote is not closed")
		}
		value = append(value, data[:end]...)
		if data = data[end+1:]; !bytes.HasPrefix(data, []byte{'"'}) {
			return value, data, nil
		}
		value, data = append(value, '"'), data[1:]
	}
}

func (r *Report) item(values []string) error {
	var i Item
	fields := i.fields()
	if len(values) != len(fields) {
		return fmt.Errorf("an item with %d values", len(values))
	}
	for n, f := range fields {
		if err := f.set(values[n]); err != nil {
			return err
		}
	}
	r.Items = append(r.Items, i)
	return nil
}

func readJSON(data []byte) (r Report, err error) {
	var doc struct {
		Form   string              `json:"form"`
		Report map[string]string   `json:"report"`
		Lines  []map[string]string `json:"lines"`
		Seal   map[string]string   `json:"seal"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return r, err
	}
	if doc.Form != version {
		return r, fmt.Errorf("its form is not %s", version)
	}
	if err := fill(r.Head.fields(), doc.Report); err != nil {
		return r, err
	}
	for _, line := range doc.Lines {
		var i Item
		if err := fill(i.fields(), line); err != nil {
			return r, err
		}
		r.Items = append(r.Items, i)
	}
	return r, fill(r.Seal.fields(), doc.Seal)
}

func fill(fields []field, from map[string]string) error {
	for _, f := range fields {
		value, ok := from[f.name]
		if !ok {
			return fmt.Errorf("%s is missing", f.name)
		}
		if err := f.set(value); err != nil {
			return err
		}
	}
	return nil
}
