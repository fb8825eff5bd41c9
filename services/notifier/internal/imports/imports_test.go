package imports

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/services/notifier/internal/store"
)

const head = "user_id,token,platform,locale\n"

// read is the whole file as lines: "user token platform locale", or the refusal.
func read(t *testing.T, format, file string) []string {
	t.Helper()
	r, err := New(format, strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for {
		reg, err := r.Next()
		var final *HeaderError
		switch {
		case errors.Is(err, io.EOF):
			return lines
		case errors.As(err, &final):
			return append(lines, "FINAL "+err.Error())
		case err != nil:
			lines = append(lines, err.Error())
		default:
			lines = append(lines, strings.Join([]string{reg.UserID, reg.Token, reg.Platform, reg.Locale}, " "))
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, format, file string
		want               []string
	}{
		{"csv", "csv", head + "D001,tok:1,android,fr-CI\nD002,tok2,ios,\n", []string{"D001 tok:1 android fr-CI", "D002 tok2 ios "}},
		{"byte order mark, CRLF, empty lines, no last break", "csv", "\ufeffuser_id,token,platform,locale\r\n\r\nD001,t,web,pt_br\r\n\nD2,u,ios,fr", []string{"D001 t web pt-BR", "D2 u ios fr"}},
		{"other order, quotes", "csv", "locale,platform,token,user_id\nfr,ios,\"t\",\"a,\"\"b\"\"\"\n", []string{`a,"b" t ios fr`}},
		{"jsonl", "jsonl", `{"user_id":"D001","token":"t","platform":"ios","locale":"fr-CI"}` + "\n" + `{"user_id":"D002","token":"u","platform":"web"}`, []string{"D001 t ios fr-CI", "D002 u web "}},
		{"a bad row stands alone", "csv", head + "D001,t,fax,fr\nD002,u,ios,fr\n", []string{"line 2: platform: must be android, ios or web", "D002 u ios fr"}},
		{"no user", "csv", head + ",t,ios,fr\n", []string{"line 2: user_id: missing"}},
		{"long user", "csv", head + strings.Repeat("u", 129) + ",t,ios,fr\n", []string{"line 2: user_id: must be at most 128 printable characters without spaces around them"}},
		{"user with a space before it", "csv", head + " D001,t,ios,fr\n", []string{"line 2: user_id: must be at most 128 printable characters without spaces around them"}},
		{"no token", "csv", head + "D001,,ios,fr\n", []string{"line 2: token: missing"}},
		{"token with a space", "csv", head + "D001,a b,ios,fr\n", []string{"line 2: token: must be at most 1024 ASCII characters without spaces; this one has 3 bytes"}},
		{"no language", "csv", head + "D001,t,ios,français\n", []string{"line 2: locale: must be a language tag such as fr-CI, or empty for the tenant's"}},
		{"too few fields", "csv", head + "D001,t\n", []string{"line 2: must have as many fields as the header; quote fields that contain commas"}},
		{"open quote", "csv", head + "\"D001,t,ios,fr\nD002,u,ios,fr\n", []string{"line 2: a quote is not closed on this line", "D002 u ios fr"}},
		{"quote inside", "csv", head + "D\"1,t,ios,fr\n", []string{"line 2: a quote stands inside a field that does not begin with one"}},
		{"text after quote", "csv", head + "\"D\"1,t,ios,fr\n", []string{"line 2: text stands between a closing quote and the next comma"}},
		{"not UTF-8", "csv", head + "D\xff,t,ios,fr\n", []string{"line 2: not UTF-8; save the file as UTF-8"}},
		{"long line", "csv", head + strings.Repeat("x", 3*maxLine) + "\nD002,u,ios,fr\n", []string{"line 2: longer than 16384 bytes: is a quote or a line break missing?", "D002 u ios fr"}},
		{"empty file", "csv", "", []string{"FINAL line 1: the file is empty; its first line must be user_id,token,platform,locale"}},
		{"three bytes", "csv", "abc", []string{"FINAL line 1: a column is not known; the columns are user_id,token,platform,locale"}},
		{"endless first line", "csv", strings.Repeat("x", 3*maxLine) + "\n" + head + "D002,u,ios,fr\n", []string{"FINAL line 1: longer than 16384 bytes: is a quote or a line break missing?"}},
		{"missing column", "csv", "user_id,token,platform\nD001,t,ios\n", []string{"FINAL line 1: locale: the column is missing; the first line must be user_id,token,platform,locale"}},
		{"column twice", "csv", "user_id,token,token,locale\n", []string{"FINAL line 1: token: the column is there twice"}},
		{"empty jsonl", "jsonl", "", nil},
		{"unknown field", "jsonl", `{"user_id":"D001","tokn":"t"}`, []string{"line 1: a field is not known; the fields are user_id, token, platform, locale"}},
		{"wrong type", "jsonl", `{"user_id":1}`, []string{"line 1: user_id: must be a string, not a number"}},
		{"no object", "jsonl", "D001", []string{"line 1: not a JSON object on one line"}},
		{"two on a line", "jsonl", `{} {}`, []string{"line 1: more than one value on the line; write one object per line"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, read(t, c.format, c.file)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := New("xlsx", strings.NewReader("")); err == nil {
		t.Error("an unknown format was accepted")
	}
}

// TestRefusalsTellNoToken: what is wrong with a token is said without it.
func TestRefusalsTellNoToken(t *testing.T) {
	t.Parallel()
	const secret = "s3cret-t0ken"
	for _, file := range []string{
		head + "," + secret + ",ios,fr\n", head + "D001," + secret + " x,ios,fr\n", head + "D001," + secret + ",fax,fr\n",
		head + "D001,\"" + secret + ",ios,fr\n", head + "D001," + secret + "\n", secret + "\n",
	} {
		for _, line := range read(t, "csv", file) {
			if strings.Contains(line, secret) {
				t.Errorf("told: %s", line)
			}
		}
	}
	for _, line := range read(t, "jsonl", `{"user_id":"D001","token":"`+secret+`","`+secret+`":1}`+"\n"+`{"token":"`+secret+` "}`) {
		if strings.Contains(line, secret) {
			t.Errorf("told: %s", line)
		}
	}
}

// rows makes a file of n rows without holding it.
type rows struct {
	n, i int
	rest string
}

func (r *rows) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.i == r.n {
			return 0, io.EOF
		}
		if r.rest = fmt.Sprintf("D%07d,token-%07d,android,fr-CI\n", r.i, r.i); r.i == 0 {
			r.rest = head + r.rest
		}
		r.i++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// TestConstantMemory: a million rows take no more memory than a thousand.
func TestConstantMemory(t *testing.T) {
	r, err := New("csv", &rows{n: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	n := 0
	var last store.Registration
	for ; ; n++ {
		reg, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if last = reg; n == 1000 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n != 1_000_000 || last.UserID != "D0999999" {
		t.Errorf("%d rows, the last of %s", n, last.UserID)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// FuzzCSV compares with encoding/csv wherever that takes the line, and never fails otherwise.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{`a,b,c,d`, `"a","b""c",,`, `"`, `a"b`, `"a"b,c`, `,,,`, "\xff,\x00,\r,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\r\n") || line == "" {
			return // Reader.read cuts these off
		}
		var p csvParser
		refusal := p.split(line)
		std := csv.NewReader(strings.NewReader(line))
		want, err := std.Read()
		if (err == nil) != (refusal == nil) {
			t.Fatalf("%q: encoding/csv says %v, we say %v", line, err, refusal)
		}
		if err == nil {
			if diff := cmp.Diff(want, p.cells); diff != "" {
				t.Errorf("%q (-want +got):\n%s", line, diff)
			}
		}
	})
}

// FuzzRead: whatever comes, rows that are taken are whole.
func FuzzRead(f *testing.F) {
	f.Add("csv", head+"D001,t,ios,fr-CI\n\"x")
	f.Add("jsonl", `{"user_id":"D001","token":"t","platform":"ios","locale":"fr"}`+"\n{")
	f.Fuzz(func(t *testing.T, format, file string) {
		r, err := New(format, strings.NewReader(file))
		if err != nil {
			return
		}
		for range len(file) + 2 {
			reg, err := r.Next()
			var refusal *RowError
			var final *HeaderError
			switch {
			case errors.Is(err, io.EOF), errors.As(err, &final):
				return
			case errors.As(err, &refusal):
				if refusal.Line < 1 || refusal.Message == "" {
					t.Fatalf("refusal %+v", refusal)
				}
			case err != nil:
				t.Fatal(err)
			case reg.UserID == "" || reg.Token == "" || reg.Platform == "":
				t.Fatalf("taken: %+v", reg)
			}
		}
		t.Fatal("it does not end")
	})
}
