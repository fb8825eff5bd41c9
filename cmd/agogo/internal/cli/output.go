package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/visible"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

var jsonOutput = protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}

// column is one column of a table of T.
type column[T any] struct {
	title string
	right bool // numbers align right
	cell  func(T) string
	lines func(T) []string // instead of cell, where a single resource has several lines
}

func col[T any](title string, cell func(T) string) column[T] {
	return column[T]{title: title, cell: cell}
}

func num[T any](title string, cell func(T) string) column[T] {
	return column[T]{title: title, cell: cell, right: true}
}

func many[T any](title string, lines func(T) []string) column[T] {
	return column[T]{title: title, lines: lines}
}

// text is what a column shows, in lines. What a stranger wrote must neither move the cursor nor begin a line.
func (c column[T]) text(item T) []string {
	if c.lines == nil {
		return []string{visible.Text(c.cell(item))}
	}
	lines := slices.Clone(c.lines(item))
	for i, l := range lines {
		lines[i] = visible.Text(l)
	}
	return lines
}

// all prints every page of a list.
func all[T proto.Message](a *app, page func(token string) ([]T, string, error), columns ...column[T]) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	list := listing[T]{app: a, columns: columns, encode: func(m T) ([]byte, error) { return jsonOutput.Marshal(m) }}
	var token string
	for first := true; first || token != ""; first = false {
		items, next, err := page(token)
		if err != nil {
			return err
		}
		for _, item := range items {
			if err := list.add(item); err != nil {
				return err
			}
		}
		token = next
	}
	return list.end()
}

// listing prints a list while it is read, however long it is: as {"items":[…]} for programs, as aligned tables of
// tableRows rows for people.
type listing[T any] struct {
	app     *app
	columns []column[T]
	encode  func(T) ([]byte, error)
	rows    []T
	widths  []int
	printed int
}

const tableRows = 1000

func (l *listing[T]) add(item T) error {
	if l.app.output != "json" {
		if l.rows = append(l.rows, item); len(l.rows) == tableRows {
			l.table()
		}
		return nil
	}
	raw, err := l.encode(item)
	if err != nil {
		return err
	}
	lead := ",\n"
	if l.printed == 0 {
		lead = `{"items":[`
	}
	l.printed++
	_, err = fmt.Fprint(l.app.Out, lead, string(raw))
	return err
}

func (l *listing[T]) end() error {
	switch {
	case l.app.output != "json" && (len(l.rows) > 0 || l.printed == 0):
		l.table()
	case l.app.output == "json" && l.printed == 0:
		_, err := fmt.Fprintln(l.app.Out, `{"items":[]}`)
		return err
	case l.app.output == "json":
		_, err := fmt.Fprintln(l.app.Out, "]}")
		return err
	}
	return nil
}

func (l *listing[T]) table() {
	l.widths = tablePage(l.app.Out, l.rows, l.columns, l.widths)
	l.printed += len(l.rows)
	l.rows = l.rows[:0]
}

// one prints a single resource: JSON, or its fields under each other.
func one[T proto.Message](a *app, m T, columns ...column[T]) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	if a.output == "json" {
		return a.json(m)
	}
	width := 0
	for _, c := range columns {
		width = max(width, len([]rune(c.title)))
	}
	for _, c := range columns {
		below := "\n" + strings.Repeat(" ", width+2)
		if v := strings.Join(c.text(m), below); v != "" {
			fmt.Fprintf(a.Out, "%s%s  %s\n", c.title, strings.Repeat(" ", width-len([]rune(c.title))), v)
		}
	}
	return nil
}

func (a *app) json(m proto.Message) error {
	raw, err := jsonOutput.Marshal(m)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.Out, string(raw))
	return err
}

// summary prints what a check came to: a line for people, the same numbers as strings for programs, as protojson has them.
func (a *app) summary(line string, numbers map[string]int) error {
	if a.output != "json" {
		_, err := fmt.Fprintln(a.Out, line)
		return err
	}
	texts := make(map[string]string, len(numbers))
	for k, n := range numbers {
		texts[k] = strconv.Itoa(n)
	}
	return json.NewEncoder(a.Out).Encode(texts)
}

func (a *app) checkOutput() error {
	if a.output != "table" && a.output != "json" {
		return usagef("-o takes table or json, not %q", a.output)
	}
	return nil
}

// table writes rows under their titles; a column is as wide as its widest cell, counted in characters, not bytes.
func table[T any](w io.Writer, items []T, columns []column[T]) { tablePage(w, items, columns, nil) }

// tablePage prints a page of a table: the titles stand on the first one, which has no widths yet, and later ones are as wide at least.
func tablePage[T any](w io.Writer, items []T, columns []column[T], before []int) []int {
	widths := append(make([]int, 0, len(columns)), before...)
	rows := make([][]string, 0, len(items)+1)
	if before == nil {
		widths = make([]int, len(columns))
		titles := make([]string, len(columns))
		for i, c := range columns {
			titles[i] = strings.ToUpper(c.title)
		}
		rows = append(rows, titles)
	}
	for _, item := range items {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = strings.Join(c.text(item), "; ")
		}
		rows = append(rows, row)
	}
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if columns[i].right {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
			line.WriteString("  ")
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
	return widths
}

// amount shows money plainly with its currency, the same in every language: 24 000 XOF.
func amount(m *eventsv1.Money) string {
	if m == nil || m.Currency == "" {
		return ""
	}
	return (money.Amount{Minor: m.Minor, Currency: money.Currency(m.Currency)}).Decimal() + " " + m.Currency
}

func when(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}

// explain turns a status into lines: what happened, which fields, what to do next.
func explain(st *status.Status) string {
	lines := []string{st.Message()}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.FieldViolations {
				if line := v.Field + ": " + v.Description; !strings.Contains(st.Message(), line) {
					lines = append(lines, "  "+line)
				}
			}
		case *errdetails.PreconditionFailure:
			for _, v := range d.Violations {
				if v.Description != "" && v.Description != st.Message() {
					lines = append(lines, "  "+v.Description)
				}
			}
		case *errdetails.ResourceInfo:
			if list := listOf(d.ResourceType); list != "" {
				lines = append(lines, "  see which there are: "+list)
			}
		case *errdetails.Help:
			for _, l := range d.Links {
				lines = append(lines, "  "+l.Description)
			}
		case *errdetails.LocalizedMessage:
			lines = append(lines, "  "+d.Message)
		}
	}
	return strings.Join(lines, "\n")
}

// aboutTenant are the commands of a text that are about one tenant, each with what follows it up to the next one.
var aboutTenant = regexp.MustCompile(`agogo (?:batches|breaks|charges|float|gateways|ledger|payees|payments|payouts|recon|recurrences|runs) [a-z-]+`)

// ofTenant puts the tenant that was named into the commands of a text that names none: services do not know whether it has to be.
func (a *app) ofTenant(text string) string {
	if a.tenant == "" {
		return text
	}
	at := aboutTenant.FindAllStringIndex(text, -1)
	for i := len(at) - 1; i >= 0; i-- {
		rest := text[at[i][1]:]
		clause, _, _ := strings.Cut(rest, "agogo ")
		if !strings.Contains(clause, "--tenant") {
			text = text[:at[i][1]] + " --tenant " + a.tenant + rest
		}
	}
	return text
}

// listOf is the command that lists resources of a kind, "" when there is none.
func listOf(kind string) string {
	return map[string]string{
		"recurrence": "agogo recurrences list", "charge": "agogo charges list", "missed cycle": "agogo recurrences list --missed",
		"gateway": "agogo gateways list", "payout": "agogo payouts list", "batch": "agogo batches list", "run": "agogo runs list",
		"schedule": "agogo schedules list", "payee": "agogo payees list", "finding": "agogo recon list", "provider": "agogo float list",
		"report": "agogo recon closes", "dead letter": "agogo dlq list", "dispute": "agogo charges list", "tenant": "agogo tenants list",
		"tenant with payouts": "agogo tenants list", "tenant with recurrences": "agogo tenants list",
	}[kind]
}

// examples indents examples for --help.
func examples(lines ...string) string { return "  " + strings.Join(lines, "\n  ") }

func leaf(use, short string, args cobra.PositionalArgs, run func(*cobra.Command, []string) error, example ...string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: run, Example: examples(example...)}
}
