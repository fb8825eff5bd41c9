package e2e_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/test/harness"
)

const paymentsHeader = "payment_id,payee_id,payee_name,phone,amount,currency,method,status,completed_at\n"

// good is a row that any import takes.
func good(id string) string {
	return id + ",payee-" + id + ",Awa,+2250700000801,1000,XOF,orange_money,completed,2025-03-01T12:00:00Z\n"
}

func goodJSON(id string) string {
	return `{"payment_id":"` + id + `","payee_id":"payee-` + id + `","payee_name":"Awa","phone":"+2250700000801","amount":"1000","currency":"XOF","method":"orange_money","status":"completed","completed_at":"2025-03-01T12:00:00Z"}` + "\n"
}

// imported is an import to be refused in part. A %s in text is an id of its own for the row, of which nothing may be stored.
type imported struct {
	name   string
	format string // csv unless set
	text   string
	says   string // a line of what is told
	stored int    // rows that are
}

func TestBadImports(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Tenant = lebenis
	in.Dev(t)
	row := func(cells string) string { return paymentsHeader + good("a-%[1]s") + cells + "\n" + good("z-%[1]s") }
	in.CLI(t, "payments", "import", harness.WriteFile(t, "known.csv", paymentsHeader+good("known")+
		"half,p-half,Awa,+2250700000802,1000,XOF,orange_money,processing,\n"))
	for i, c := range []imported{
		{"unknown currency", "", row("%[1]s,p-%[1]s,Awa,+2250700000801,1000,XXF,orange_money,completed,2025-03-01T12:00:00Z"), "line 3: currency: ", 2},
		{"another currency", "", row("%[1]s,p-%[1]s,Awa,+2250700000801,1000,EUR,orange_money,completed,2025-03-01T12:00:00Z"), "line 3: currency: EUR, but the tenant's currency is XOF", 2},
		{"negative", "", row("%[1]s,p-%[1]s,Awa,+2250700000801,-1000,XOF,orange_money,completed,2025-03-01T12:00:00Z"), "line 3: amount: ", 2},
		{"zero", "", row("%[1]s,p-%[1]s,Awa,+2250700000801,0,XOF,orange_money,completed,2025-03-01T12:00:00Z"), "line 3: amount: zero", 2},
		{"fraction of a franc", "", row("%[1]s,p-%[1]s,Awa,+2250700000801,1000.5,XOF,orange_money,completed,2025-03-01T12:00:00Z"), "line 3: amount: ", 2},
		{"too much for any account", "", row("%[1]s,p-%[1]s,Awa,+2250700000801,99999999999999999999,XOF,orange_money,completed,2025-03-01T12:00:00Z"), "line 3: amount: ", 2},
		{"no phone number", "", row("%[1]s,p-%[1]s,Awa,12,1000,XOF,orange_money,completed,2025-03-01T12:00:00Z"), "line 3: phone: ", 2},
		{"unknown status", "", row("%[1]s,p-%[1]s,Awa,+2250700000801,1000,XOF,orange_money,paid,2025-03-01T12:00:00Z"), "line 3: status: ", 2},
		{"no time of completion", "", row("%[1]s,p-%[1]s,Awa,+2250700000801,1000,XOF,orange_money,completed,"), "line 3: completed_at: missing", 2},
		{"before accept_from", "", row("%[1]s,p-%[1]s,Awa,+2250700000801,1000,XOF,orange_money,completed,2024-12-31T23:59:59Z"), "line 3: completed_at: before accept_from (2025-01-01)", 2},
		{"no id", "", row(",p-%[1]s,Awa,+2250700000801,1000,XOF,orange_money,completed,2025-03-01T12:00:00Z"), "line 3: payment_id: missing", 2},
		{"a field too few", "", row("%[1]s,p-%[1]s,Awa,+2250700000801,1000,XOF,orange_money,completed"), "line 3: 8 fields, the header has 9", 2},
		{"invalid UTF-8", "", row("%[1]s,p-%[1]s,Aw\xff,+2250700000801,1000,XOF,orange_money,completed,2025-03-01T12:00:00Z"), "line 3: payee_name: not UTF-8", 2},
		{"changed amount", "", row("known,payee-known,Awa,+2250700000801,2000,XOF,orange_money,completed,2025-03-01T12:00:00Z"), "line 3: amount: payment known is known with 1000 XOF, given is 2000 XOF", 2},
		{"another payee", "", row("known,p-%[1]s,Awa,+2250700000801,1000,XOF,orange_money,completed,2025-03-01T12:00:00Z"), "line 3: payee_id: ", 2},
		{"status going back", "", row("known,payee-known,Awa,+2250700000801,1000,XOF,orange_money,pending,"), "line 3: status: ", 2},
		{"from completed to failed", "", row("known,payee-known,Awa,+2250700000801,1000,XOF,orange_money,failed,"), "line 3: status: ", 2},
		{"missing column", "", strings.Replace(paymentsHeader, ",currency", "", 1) + "%[1]s,p-%[1]s,Awa,+2250700000801,1000,orange_money,completed,2025-03-01T12:00:00Z\n", "line 1: currency: the column is missing", 0},
		{"unknown column", "", strings.Replace(paymentsHeader, "currency", "curency", 1) + "%[1]s,p-%[1]s,Awa,,1000,XOF,orange_money,completed,2025-03-01T12:00:00Z\n", "line 1: \"curency\": unknown column; the columns are payment_id, ", 0},
		{"three bytes", "", "a,b", "line 1: ", 0},
		{"three bytes that are no text", "", "\xff\xfe\x00", "line 1: ", 0},
		{"empty file", "", "", "line 1: the file is empty; its first line must name the columns", 0},
		{"an open quote", "", row(`%[1]s,p-%[1]s,"Awa,+2250700000801,1000,XOF,orange_money,completed,2025-03-01T12:00:00Z`), "line 3: ", 1},
		{"JSON: fraction", "jsonl", goodJSON("a-%[1]s") + strings.Replace(goodJSON("%[1]s"), `"1000"`, "1000.5", 1) + goodJSON("z-%[1]s"), "line 2: amount: ", 2},
		{"JSON: negative", "jsonl", goodJSON("a-%[1]s") + strings.Replace(goodJSON("%[1]s"), `"1000"`, "-1", 1) + goodJSON("z-%[1]s"), "line 2: amount: ", 2},
		{"JSON: exponent", "jsonl", goodJSON("a-%[1]s") + strings.Replace(goodJSON("%[1]s"), `"1000"`, "1e3", 1) + goodJSON("z-%[1]s"), "line 2: amount: ", 2},
		{"JSON: unknown currency", "jsonl", goodJSON("a-%[1]s") + strings.Replace(goodJSON("%[1]s"), "XOF", "QQQ", 1) + goodJSON("z-%[1]s"), "line 2: currency: ", 2},
		{"JSON: field missing", "jsonl", goodJSON("a-%[1]s") + `{"payment_id":"%[1]s"}` + "\n" + goodJSON("z-%[1]s"), "line 2: payee_id: missing", 2},
		{"JSON: no object", "jsonl", goodJSON("a-%[1]s") + "three\n" + goodJSON("z-%[1]s"), "line 2: not a JSON object", 2},
		{"JSON: three bytes", "jsonl", "{a:", "line 1: ", 0},
		{"JSON: invalid UTF-8", "jsonl", goodJSON("a-%[1]s") + strings.Replace(goodJSON("%[1]s"), "Awa", "Aw\xff", 1) + goodJSON("z-%[1]s"), "line 2: not UTF-8", 2},
		{"JSON: changed amount", "jsonl", strings.Replace(goodJSON("known"), "1000", "3000", 1) + goodJSON("z-%[1]s"), "line 1: amount: payment known is known with 1000 XOF, given is 3000 XOF", 1},
	} {
		t.Run(c.name, func(t *testing.T) { checkImport(t, in, fmt.Sprintf("row%02d", i), c) })
	}
	t.Run("going on is taken", func(t *testing.T) {
		out := in.CLI(t, "payments", "import", harness.WriteFile(t, "on.csv", paymentsHeader+"half,p-half,Awa,+2250700000802,1000,XOF,orange_money,completed,2025-03-01T13:00:00Z\n"))
		if !strings.Contains(out, "0 new, 1 changed, 0 known already, 0 refused") {
			t.Errorf("%s", out)
		}
	})
	in.CLI(t, "ledger", "verify")
}

// checkImport imports a file with a bad row: it is named with its line, nothing of it is stored, and the others are.
func checkImport(t *testing.T, in *harness.Install, id string, c imported) {
	t.Helper()
	format, text := "csv", strings.ReplaceAll(c.text, "%[1]s", id)
	if c.format != "" {
		format = c.format
	}
	r := in.TryWith(t, nil, strings.NewReader(text), "payments", "import", "-", "--format", format)
	if r.Code != 1 || !hasLine(r.Err, c.says) || !strings.Contains(r.Out, "1 refused") {
		t.Errorf("exit %d, want 1, %q and 1 refused in\n%s", r.Code, c.says, r)
	}
	if strings.Contains(r.Err, "Awa") || strings.Contains(r.Err, "0700000801") {
		t.Errorf("the message repeats a name or a phone number:\n%s", r.Err)
	}
	stored := 0
	for _, p := range harness.Items[payoutsv1.Payment](t, in, "payments", "list") {
		switch p.Id {
		case id:
			t.Errorf("the bad row is stored: %v", p)
		case "a-" + id, "z-" + id:
			stored++
		case "known":
			if p.Gross.Minor != 1000 || p.Status != "completed" || p.PayeeId != "payee-known" {
				t.Errorf("the known payment has become %v", p)
			}
		}
	}
	if stored != c.stored {
		t.Errorf("%d of the good rows are stored, want %d", stored, c.stored)
	}
	for _, p := range harness.Items[payoutsv1.Payee](t, in, "payees", "list") {
		if p.Id == "p-"+id {
			t.Errorf("the bad row's payee is stored: %v", p)
		}
	}
}

// bulk is how many rows the test of memory imports. 1,000,000 take minutes and no more memory.
const bulk = 100_000

// A file of any size goes through in constant memory, on both sides.
func TestImportsTakeConstantMemory(t *testing.T) {
	t.Parallel()
	in := harness.New(t, binary)
	in.Tenant = lebenis
	dev := in.Dev(t)
	before := resident(t, dev.PID(), "VmRSS")
	path := filepath.Join(in.Dir, "bulk.csv")
	size := writeBulk(t, path)
	if out := in.CLI(t, "payments", "import", path); !strings.Contains(out, fmt.Sprintf("%d new", bulk)) {
		t.Error(out)
	}
	peak := resident(t, dev.PID(), "VmHWM")
	t.Logf("%d rows, %d MB: dev had %d MB and never more than %d MB", bulk, size>>20, before>>20, peak>>20)
	if grown := peak - before; grown > 80<<20 {
		t.Errorf("dev grew by %d MB, want less than 80", grown>>20)
	}
	if out := in.CLI(t, "payments", "import", path); !strings.Contains(out, fmt.Sprintf("0 new, 0 changed, %d known already, 0 refused", bulk)) {
		t.Error(out)
	}
}

func writeBulk(t *testing.T, path string) int64 {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprint(w, paymentsHeader)
	for i := range bulk {
		fmt.Fprintf(w, "bulk-%07d,payee-%04d,Livreur %04d,+22507%08d,%d,XOF,orange_money,completed,2025-03-01T12:00:00Z\n", i, i%4000, i%4000, i%4000, 1000+i%5000)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// resident reads a process's memory from the kernel, in bytes.
func resident(t *testing.T, pid int, what string) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == what+":" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("/proc says nothing of %s", what)
	return 0
}
