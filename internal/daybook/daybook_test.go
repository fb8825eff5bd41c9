package daybook_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/agogopay/agogo/internal/daybook"
)

func key(t testing.TB) *daybook.Key {
	t.Helper()
	k, text, err := daybook.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for _, form := range []string{string(text), lines[1]} { // a secret may be the one line that matters
		again, err := daybook.ParseKey([]byte(form))
		if err != nil || !again.Equal(k) {
			t.Fatalf("%q read back: %v", form, err)
		}
	}
	return k
}

// day is a report of one of three days that follow each other.
func day(n int64) daybook.Report {
	r := daybook.Report{Head: daybook.Head{
		Tenant: "lebenis", Provider: "wave", Date: "2025-01-2" + string(rune('3'+n)), Timezone: "Africa/Abidjan",
		From: "2025-01-2" + string(rune('3'+n)) + "T00:00:00Z", To: "2025-01-2" + string(rune('4'+n)) + "T00:00:00Z", Revision: 1, Sequence: n, Currency: "XOF",
		JudgedAt: "2025-01-25T00:30:00Z", Opening: 1000 - 100*(n-1), Paid: 90, Fees: 10, Closing: 1000 - 100*n, Statement: "read", Lines: 1,
		ProviderOpening: daybook.Known(1000), ProviderClosing: daybook.Known(1000 - 100*n - 7), Source: "balance", Difference: daybook.Known(-7), Items: 2,
	}}
	r.Items = []daybook.Item{
		{Kind: "missing_here", Code: "no_reference", ProviderID: "T_1, \"quoted\"\nbroken", Expected: "nothing", Found: "other -7", Difference: 7, Flow: -7, Currency: "XOF"},
		{Kind: "unknown", Code: "unknown", Reference: "r", Subject: "s", Attempt: 1, Currency: "XOF"},
	}
	return r
}

// seal signs a report after another.
func seal(t testing.TB, k *daybook.Key, r daybook.Report, after string) daybook.Report {
	t.Helper()
	r.Head.Previous = after
	digest, err := daybook.DigestOf(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Seal = k.Sign(digest)
	return r
}

func written(t testing.TB, r daybook.Report) (csv, doc []byte) {
	t.Helper()
	var a, b bytes.Buffer
	if err := errors.Join(r.Write(daybook.NewCSV(&a)), r.Write(daybook.NewJSON(&b))); err != nil {
		t.Fatal(err)
	}
	return a.Bytes(), b.Bytes()
}

func TestBothFormsCarryTheSameReport(t *testing.T) {
	t.Parallel()
	k := key(t)
	want := seal(t, k, day(1), "")
	csv, doc := written(t, want)
	for name, data := range map[string][]byte{"csv": csv, "json": doc} {
		got, err := daybook.Verify(data, k.Public())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestEveryTextCanBeReadAgain: what was signed verifies in both forms, whatever line ends, quotes and control characters a text has.
func TestEveryTextCanBeReadAgain(t *testing.T) {
	t.Parallel()
	k := key(t)
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.StringOf(rapid.OneOf(rapid.SampledFrom([]rune("\r\n\",\t\x1b\\. ")), rapid.Rune()))
		r := day(1)
		r.Head.WaivedBy, r.Head.WaivedBecause = words.Draw(t, "by"), words.Draw(t, "because")
		r.Items[0].ProviderID, r.Items[0].Found = "T_1\r\n"+words.Draw(t, "id"), words.Draw(t, "found")
		var err error
		if r.Seal.Digest, err = daybook.DigestOf(r); err != nil {
			t.Fatal(err)
		}
		r.Seal = k.Sign(r.Seal.Digest)
		for _, as := range []func(io.Writer) daybook.Form{
			func(w io.Writer) daybook.Form { return daybook.NewCSV(w) }, func(w io.Writer) daybook.Form { return daybook.NewJSON(w) },
		} {
			var out bytes.Buffer
			if err := r.Write(as(&out)); err != nil {
				t.Fatal(err)
			}
			got, err := daybook.Verify(out.Bytes(), k.Public())
			if err != nil {
				t.Fatalf("%v\n%q", err, out.String())
			}
			if diff := cmp.Diff(r, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	})
}

// TestNoByteCanBeChanged changes every byte of a report in turn, and leaves every one out.
func TestNoByteCanBeChanged(t *testing.T) {
	t.Parallel()
	k := key(t)
	csv, doc := written(t, seal(t, k, day(1), ""))
	for name, data := range map[string][]byte{"csv": csv, "json": doc} {
		for i := range data {
			changed := bytes.Clone(data)
			changed[i] ^= 1
			if _, err := daybook.Verify(changed, k.Public()); err == nil {
				t.Fatalf("%s: byte %d (%q) was changed to %q, and nothing was said", name, i, data[i], changed[i])
			}
			if _, err := daybook.Verify(append(bytes.Clone(data[:i]), data[i+1:]...), k.Public()); err == nil {
				t.Fatalf("%s: byte %d (%q) was left out, and nothing was said", name, i, data[i])
			}
		}
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	t.Parallel()
	k, other := key(t), key(t)
	sealed := func(change func(r *daybook.Report)) daybook.Report {
		r := day(1)
		change(&r)
		return seal(t, k, r, "")
	}
	good := sealed(func(*daybook.Report) {})
	edited := good
	edited.Head.Paid++
	forged := good
	forged.Seal.Signature = other.Sign(good.Seal.Digest).Signature
	for name, c := range map[string]struct {
		report daybook.Report
		keys   []ed25519.PublicKey
		want   error
	}{
		"a figure":                  {edited, []ed25519.PublicKey{k.Public()}, daybook.ErrDigest},
		"another's signature":       {forged, []ed25519.PublicKey{k.Public()}, daybook.ErrSignature},
		"another's key":             {good, []ed25519.PublicKey{other.Public()}, daybook.ErrKey},
		"no key":                    {good, nil, daybook.ErrKey},
		"either key":                {good, []ed25519.PublicKey{other.Public(), k.Public()}, nil},
		"signed, and does not add":  {sealed(func(r *daybook.Report) { r.Head.Closing++ }), []ed25519.PublicKey{k.Public()}, daybook.ErrSums},
		"signed, and an item short": {sealed(func(r *daybook.Report) { r.Items = r.Items[:1] }), []ed25519.PublicKey{k.Public()}, daybook.ErrSums},
		"signed, and unexplained":   {sealed(func(r *daybook.Report) { r.Items[0].Flow++ }), []ed25519.PublicKey{k.Public()}, daybook.ErrSums},
	} {
		csv, _ := written(t, c.report)
		if _, err := daybook.Verify(csv, c.keys...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	_, doc := written(t, good)
	twice := bytes.Replace(doc, []byte(`"paid":"90"`), []byte(`"paid":"1","paid":"90"`), 1)
	if _, err := daybook.Verify(twice, k.Public()); !errors.Is(err, daybook.ErrForm) {
		t.Errorf("a name that stands twice: %v", err)
	}
}

func TestNoDayCanBeSwappedOut(t *testing.T) {
	t.Parallel()
	k := key(t)
	one := seal(t, k, day(1), "")
	two := seal(t, k, day(2), one.Seal.Digest)
	three := seal(t, k, day(3), two.Seal.Digest)
	elsewise := day(2)
	elsewise.Items[1].Found = "nothing of note"
	swapped := seal(t, k, elsewise, one.Seal.Digest)
	leap := day(2)
	leap.Head.Opening, leap.Head.Paid = 901, 91
	leaped := seal(t, k, leap, one.Seal.Digest)
	for name, c := range map[string]struct {
		reports []daybook.Report
		gaps    int
		broken  bool
	}{
		"in order":                       {[]daybook.Report{one, two, three}, 0, false},
		"in any order":                   {[]daybook.Report{three, one, two}, 0, false},
		"one given twice":                {[]daybook.Report{one, one, two}, 0, false},
		"one left out":                   {[]daybook.Report{one, three}, 1, false},
		"another in its place":           {[]daybook.Report{one, swapped, three}, 0, true},
		"both":                           {[]daybook.Report{one, two, swapped}, 0, true},
		"a first one that is none":       {[]daybook.Report{seal(t, k, day(1), "x")}, 0, true},
		"a later one without ancestor":   {[]daybook.Report{seal(t, k, day(2), "")}, 0, true},
		"a day that begins with another": {[]daybook.Report{one, leaped}, 0, true},
	} {
		gaps, err := daybook.VerifyChain(c.reports)
		if len(gaps) != c.gaps || errors.Is(err, daybook.ErrChain) != c.broken {
			t.Errorf("%s: gaps %v, error %v", name, gaps, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	k := key(f)
	csv, doc := written(f, seal(f, k, day(1), ""))
	f.Add(csv)
	f.Add(doc)
	f.Add([]byte("form,agogo-close-1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := daybook.Read(data)
		if err != nil {
			return
		}
		a, b := written(t, r)
		if !bytes.Equal(a, data) && !bytes.Equal(b, data) {
			t.Error("what was read is not what would be written")
		}
	})
}
