package rows

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// all reads everything that a reader gives, as text.
func all(t testing.TB, r Reader) []string {
	t.Helper()
	var got []string
	for {
		rec, err := r.Next()
		var ref *Error
		switch {
		case errors.Is(err, io.EOF):
			return got
		case errors.As(err, &ref):
			got = append(got, "refused "+ref.Error())
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, fmt.Sprintf("%d %s", rec.Line, strings.Join(rec.Values, "|")))
		}
		if len(got) > 1000 {
			t.Fatal("a reader that does not end")
		}
	}
}

func columnsOf(required int, names ...string) Columns {
	return Columns{Required: required, Names: names}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	c := columnsOf(2, "id", "name", "ref")
	long := strings.Repeat("x", 3*maxRecord)
	tests := []struct {
		name, in string
		want     []string
	}{
		{"plain", "id,name\na,b\n", []string{"2 a|b|"}},
		{"any order, optional column", "ref,name,id\nr,n,i\n", []string{"2 i|n|r"}},
		{"byte order mark", "\uFEFFid,name\na,b\n", []string{"2 a|b|"}},
		{"CRLF", "id,name\r\na,b\r\nc,d\r\n", []string{"2 a|b|", "3 c|d|"}},
		{"no newline at the end", "id,name\na,b", []string{"2 a|b|"}},
		{"empty lines", "id,name\n\n\na,b\n\n", []string{"4 a|b|"}},
		{"quotes", "id,name\n\"a,1\",\"say \"\"hi\"\"\"\n", []string{`2 a,1|say "hi"|`}},
		{"newline in quotes", "id,name\na,\"b\nb\"\nc,d\n", []string{"2 a|b\nb|", "4 c|d|"}},
		{"blanks around column names", " id , name\na,b\n", []string{"2 a|b|"}},
		{"empty", "", []string{`refused line 1: the file is empty; its first line must name the columns`}},
		{"only a byte order mark", "\uFEFF", []string{`refused line 1: the file is empty; its first line must name the columns`}},
		{"three bytes", "a,b", []string{`refused line 1: "a": unknown column; the columns are id, name, ref`}},
		{"header only", "id,name\n", nil},
		{"missing column", "id,ref\na,b\n", []string{"refused line 1: name: the column is missing; the first line must name the columns id,name"}},
		{"duplicate column", "id,name,id\na,b,c\n", []string{"refused line 1: id: the column is there twice"}},
		{"UTF-16", "\xff\xfei\x00d\x00,\x00", []string{`refused line 1: "�i\x00d\x00": unknown column; the columns are id, name, ref`}},
		{"too few fields", "id,name\na\nb,c\n", []string{
			"refused line 2: 1 fields, the header has 2; quote fields that contain commas", "3 b|c|",
		}},
		{"invalid UTF-8", "id,name\na,b\xff\nc,d\n", []string{"refused line 2: name: not UTF-8; save the file as UTF-8", "3 c|d|"}},
		{"bare quote", "id,name\na,b\"c\nd,e\n", []string{
			`refused line 2: bare " in non-quoted-field; write a quote inside a quoted field twice`, "3 d|e|",
		}},
		{"quote left open", "id,name\na,\"b\nc,d\n", []string{
			`refused line 2: extraneous or missing " in quoted-field; write a quote inside a quoted field twice`,
		}},
		{"quote left open in a long file", "id,name\na,b\nc,\"" + long, []string{
			"2 a|b|", "refused line 3: longer than 65536 bytes: is a quote left open? Nothing from here on was read",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, all(t, newCSV(strings.NewReader(tt.in), c))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// The same bytes one at a time: chunks of a stream may end anywhere.
			if diff := cmp.Diff(tt.want, all(t, newCSV(oneByte{strings.NewReader(tt.in)}, c))); diff != "" {
				t.Errorf("byte by byte (-want +got):\n%s", diff)
			}
		})
	}
}

type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

func TestJSONL(t *testing.T) {
	t.Parallel()
	c := columnsOf(2, "id", "name", "ref")
	tests := []struct {
		name, in string
		want     []string
	}{
		{"plain", `{"id":"a","name":"b"}` + "\n", []string{"1 a|b|"}},
		{"numbers as written", `{"id":1e3,"name":0.10,"ref":24000}`, []string{"1 1e3|0.10|24000"}},
		{"null is absent", `{"id":"a","name":null}`, []string{"1 a||"}},
		{"byte order mark, CRLF, blank lines", "\uFEFF{\"id\":\"a\",\"name\":\"b\"}\r\n\r\n  {\"id\":\"c\",\"name\":\"d\"}  \r\n", []string{"1 a|b|", "3 c|d|"}},
		{"missing field", `{"id":"a"}`, []string{"refused line 1: name: missing"}},
		{"unknown field", `{"id":"a","name":"b","x":1}`, []string{`refused line 1: "x": unknown field; the fields are id, name, ref`}},
		{"duplicate field", `{"id":"a","id":"b","name":"c"}`, []string{"refused line 1: id: the field is there twice"}},
		{"nested", `{"id":"a","name":{"first":"b"}}`, []string{"refused line 1: name: neither a string nor a number"}},
		{"boolean", `{"id":true,"name":"b"}`, []string{"refused line 1: id: neither a string nor a number"}},
		{"list", `["a"]`, []string{"refused line 1: not a JSON object; write one object per line"}},
		{"three bytes", `abc`, []string{"refused line 1: not a JSON object; write one object per line"}},
		{"not closed", `{"id":"a","name":"b"`, []string{"refused line 1: the JSON object is not closed"}},
		{"two on a line", `{"id":"a","name":"b"}{}`, []string{"refused line 1: something follows the JSON object; write one object per line"}},
		{"invalid UTF-8", "{\"id\":\"\xff\",\"name\":\"b\"}\n{\"id\":\"a\",\"name\":\"b\"}", []string{
			"refused line 1: not UTF-8; save the file as UTF-8", "2 a|b|",
		}},
		{"too long", `{"id":"` + strings.Repeat("x", maxRecord) + "\"}\n" + `{"id":"a","name":"b"}`, []string{
			"refused line 1: longer than 65536 bytes", "2 a|b|",
		}},
		{"empty", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, all(t, newJSONL(strings.NewReader(tt.in), c))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// fuzzRead checks what holds of any bytes: the reader ends, lines never go back, and what it gives is UTF-8 of one record.
func fuzzRead(t *testing.T, r Reader, columns int) {
	last := int64(0)
	for n := 0; ; n++ {
		rec, err := r.Next()
		var ref *Error
		switch {
		case errors.Is(err, io.EOF):
			return
		case errors.As(err, &ref):
			rec.Line = ref.Line
		case err != nil:
			t.Fatalf("neither a record nor a refusal: %v", err)
		case len(rec.Values) != columns:
			t.Fatalf("%d values of %d columns", len(rec.Values), columns)
		}
		for _, v := range rec.Values {
			if !utf8.ValidString(v) {
				t.Fatalf("line %d: %q is not UTF-8", rec.Line, v)
			}
		}
		if rec.Line < last || rec.Line < 1 || n > 1<<20 {
			t.Fatalf("line %d after %d, row %d", rec.Line, last, n)
		}
		last = rec.Line
	}
}

// brittle breaks at its end. It says so once, as a stream of messages may do.
type brittle struct {
	rest   string
	broken error
}

func (b *brittle) Read(p []byte) (n int, err error) {
	if b.rest == "" {
		if err, b.broken = b.broken, nil; err == nil {
			err = io.EOF
		}
		return 0, err
	}
	n = copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// TestAFileThatBreaksIsNoEnd wherever it breaks: what could not be read must not look as if there were nothing more.
func TestAFileThatBreaksIsNoEnd(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection lost")
	c := columnsOf(2, "id", "name", "ref")
	for format, file := range map[string]string{"csv": "id,name\na,b\nc,d\n", "jsonl": `{"id":"a","name":"b"}` + "\n" + `{"id":"c","name":"d"}` + "\n"} {
		for at := range len(file) {
			r, err := NewReader(format, &brittle{rest: file[:at], broken: broken}, c)
			if err != nil {
				t.Fatal(err)
			}
			var ref *Error
			for err = nil; err == nil || errors.As(err, &ref); {
				_, err = r.Next()
			}
			if !errors.Is(err, broken) {
				t.Errorf("%s broken after %d bytes: %v", format, at, err)
			}
		}
	}
}

var fuzzed = Columns{Required: 2, Names: []string{"id", "name", "ref"}}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"id,name\nd,N\n", "\uFEFFa,b", "\"", "id,\"name\n", "\r\r\n,", "id,ref,name\n\"a\nb\",c,\"d\"\"\"\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzRead(t, newCSV(bytes.NewReader(data), fuzzed), len(fuzzed.Names)) })
}

func FuzzJSONL(f *testing.F) {
	for _, s := range []string{`{"id":"d","name":"N","ref":null}`, "{", "{}\n[]", `{"id":1e999,"name":0.1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzRead(t, newJSONL(bytes.NewReader(data), fuzzed), len(fuzzed.Names))
	})
}
