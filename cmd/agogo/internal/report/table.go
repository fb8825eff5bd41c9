package report

import (
	"io"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// row is a line of a table: a sign, a text, an amount or count that is aligned to the right, and a note.
type row struct{ sign, text, value, note string }

// page writes lines and remembers the first error.
type page struct {
	to  io.Writer
	err error
}

func (p *page) line(parts ...string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.to, strings.TrimRight(strings.Join(parts, " "), " ")+"\n")
	}
}

// table writes rows whose values end in one column, wherever terminals count columns as Unicode does.
func (p *page) table(rows []row) {
	text, value := 0, 0
	for _, r := range rows {
		text, value = max(text, columns(r.text)), max(value, columns(r.value))
	}
	for _, r := range rows {
		gap := strings.Repeat(" ", text-columns(r.text)+value-columns(r.value))
		p.line(r.sign, r.text+gap, r.value, r.note)
	}
}

// columns is how many columns a terminal gives a text: none to combining marks, two to wide characters and emoji.
func columns(s string) int {
	n := 0
	for _, c := range s {
		switch {
		case unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf):
		case width.LookupRune(c).Kind() == width.EastAsianWide || width.LookupRune(c).Kind() == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}
