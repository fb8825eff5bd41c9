package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/agogopay/agogo/test/harness"
)

// lists are all commands that list something, with a field that each item has whatever its value.
var lists = map[string]string{
	"schedules list": "pause_reason", "runs list": "reason", "payees list": "pause_reason", "payments list": "paid_reference", "batches list": "control_reason",
	"payouts list": "fee", "ledger balances": "debit", "ledger entries": "ref", "float list": "balance", "devices list": "removed_reason",
	"notifications list": "reason", "audit list": "request_id",
}

// -o json is {"items":[…]} for every list, with unpopulated fields.
func TestListsForPrograms(t *testing.T) {
	w := evening(t)
	for command, field := range lists {
		t.Run(command, func(t *testing.T) {
			var list map[string][]map[string]any
			out := w.CLI(t, append(strings.Fields(command), "-o", "json")...)
			if err := json.Unmarshal([]byte(out), &list); err != nil {
				t.Fatalf("%v in\n%s", err, out)
			}
			items, ok := list["items"]
			if !ok || len(list) != 1 || len(items) == 0 {
				t.Fatalf("want one key, items, that is not empty:\n%s", out)
			}
			for _, item := range items {
				if _, ok := item[field]; !ok {
					t.Errorf("an item without %s: %v", field, item)
				}
			}
		})
	}
	for _, empty := range []string{"dlq list --service nobody", "payouts list --payee nobody", "notifications list --recipient nobody"} {
		if out := strings.TrimSpace(w.CLI(t, append(strings.Fields(empty), "-o", "json")...)); out != `{"items":[]}` {
			t.Errorf("%s: %s", empty, out)
		}
	}
}

var gutter = regexp.MustCompile(` {2,}`)

// Tables have their columns under each other: between two titles there is a stretch that is blank in every line.
func TestTablesAlign(t *testing.T) {
	w := evening(t)
	for command := range lists {
		t.Run(command, func(t *testing.T) {
			out := strings.TrimRight(w.CLI(t, strings.Fields(command)...), "\n")
			lines := strings.Split(out, "\n")
			if len(lines) < 2 {
				t.Fatalf("no rows:\n%s", out)
			}
			titles := gutter.Split(strings.TrimSpace(lines[0]), -1)
			if lines[0] != strings.ToUpper(lines[0]) || len(titles) < 2 {
				t.Errorf("the first line has no titles: %s", lines[0])
			}
			if n := blankStretches(lines); n != len(titles)-1 {
				t.Errorf("%d blank stretches between %d columns:\n%s", n, len(titles), strings.Join(lines[:min(len(lines), 12)], "\n"))
			}
		})
	}
}

// blankStretches counts the places, two characters wide or more, that are blank in every line.
func blankStretches(lines []string) int {
	width := 0
	text := make([][]rune, len(lines))
	for i, l := range lines {
		text[i] = []rune(l)
		width = max(width, len(text[i]))
	}
	stretches, length := 0, 0
	for x := range width {
		blank := true
		for _, l := range text {
			blank = blank && (x >= len(l) || l[x] == ' ')
		}
		switch {
		case blank:
			length++
		default:
			if length >= 2 && length < x { // the margin before a first column that aligns right is none
				stretches++
			}
			length = 0
		}
	}
	return stretches
}

// Lists go over all pages: the largest page has 1,000 items.
func TestListsShowAllPages(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Tenant = lebenis
	in.Dev(t)
	const payments = 2345
	var file strings.Builder
	file.WriteString(paymentsHeader)
	for i := range payments {
		fmt.Fprintf(&file, "page-%04d,payee-%04d,,,1000,XOF,orange_money,completed,2025-03-01T12:00:00Z\n", i, i%1100)
	}
	path := filepath.Join(in.Dir, "pages.csv")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	in.CLI(t, "payments", "import", path)
	for command, want := range map[string]int{
		"payments list": payments, "payments list --unpaid": payments, "payees list": 1100, "ledger entries": 2 * payments, "ledger balances --prefix payable:": 1100,
	} {
		var list struct {
			Items []map[string]any `json:"items"`
		}
		out := in.CLI(t, append(strings.Fields(command), "-o", "json")...)
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		different := map[string]bool{}
		for _, item := range list.Items {
			different[fmt.Sprint(item["id"], item["account"])] = true
		}
		if len(list.Items) != want || len(different) != want {
			t.Errorf("%s: %d items, %d different, want %d", command, len(list.Items), len(different), want)
		}
		if lines := strings.Count(in.CLI(t, strings.Fields(command)...), "\n"); lines < want {
			t.Errorf("%s as a table: %d lines, want %d rows", command, lines, want)
		}
	}
}
