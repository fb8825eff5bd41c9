package imports

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// csvParser reads one line at a time. Unlike encoding/csv it takes no line break within quotes, which no field here can
// hold: one forgotten quote then costs one row and not the rest of the file.
type csvParser struct {
	order []int // column of ours by position in the file
	cells []string
}

// header reads the first line.
func (p *csvParser) header(line []byte, number int64) *RowError {
	refuse := func(field, message string) *RowError { return &RowError{Line: number, Field: field, Message: message} }
	if refusal := p.split(string(line)); refusal != nil {
		refusal.Line = number
		return refusal
	}
	order := make([]int, len(p.cells))
	for i, name := range p.cells {
		order[i] = slices.Index(columns[:], strings.TrimSpace(name))
		if order[i] < 0 {
			return refuse("", "a column is not known; the columns are "+strings.Join(columns[:], ","))
		}
		if slices.Contains(order[:i], order[i]) {
			return refuse(columns[order[i]], "the column is there twice")
		}
	}
	for i, name := range columns {
		if !slices.Contains(order, i) {
			return refuse(name, "the column is missing; the first line must be "+strings.Join(columns[:], ","))
		}
	}
	p.order = order
	return nil
}

func (p *csvParser) parse(line []byte, into *fields) *RowError {
	if !utf8.Valid(line) {
		return &RowError{Message: "not UTF-8; save the file as UTF-8"}
	}
	if refusal := p.split(string(line)); refusal != nil {
		return refusal
	}
	if len(p.cells) != len(p.order) {
		return &RowError{Message: "must have as many fields as the header; quote fields that contain commas"}
	}
	for i, cell := range p.cells {
		into[p.order[i]] = cell
	}
	return nil
}

// split cuts a line into cells as RFC 4180 has them.
func (p *csvParser) split(line string) *RowError {
	p.cells = p.cells[:0]
	for {
		cell, rest, more, refusal := cell(line)
		if refusal != nil {
			return refusal
		}
		if p.cells = append(p.cells, cell); !more {
			return nil
		}
		line = rest
	}
}

// cell takes the first cell off a line; more is set when a comma follows it.
func cell(line string) (value, rest string, more bool, refusal *RowError) {
	if !strings.HasPrefix(line, `"`) {
		value, rest, more = strings.Cut(line, ",")
		if strings.Contains(value, `"`) {
			return "", "", false, &RowError{Message: "a quote stands inside a field that does not begin with one"}
		}
		return value, rest, more, nil
	}
	var b strings.Builder
	for line = line[1:]; ; {
		part, after, ok := strings.Cut(line, `"`)
		if !ok {
			return "", "", false, &RowError{Message: "a quote is not closed on this line"}
		}
		b.WriteString(part)
		switch {
		case strings.HasPrefix(after, `"`): // a doubled quote is one
			b.WriteByte('"')
			line = after[1:]
		case after == "":
			return b.String(), "", false, nil
		case strings.HasPrefix(after, ","):
			return b.String(), after[1:], true, nil
		default:
			return "", "", false, &RowError{Message: "text stands between a closing quote and the next comma"}
		}
	}
}
