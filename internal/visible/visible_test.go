package visible_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/agogopay/agogo/internal/visible"
)

func TestTextShowsWhatATerminalWouldObey(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "Awa Ndèye, 24 000 F": "Awa Ndèye, 24 000 F", "كلمة 👩‍🌾": "كلمة 👩‍🌾",
		"\x1b[2J\r\n0 exceptions": "␛[2J␍␊0 exceptions", "a\x00b\tc\x7f": "a␀b␉c␡",
		"a\u009b2Jb": "a\ufffd2Jb", "a\u202eb\u2028c\u2029d": "a\ufffdb\ufffdc\ufffdd", "a\xffb": "a\ufffdb",
	} {
		if got := visible.Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("\x1b[2J\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		got := visible.Text(s)
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Bidi_Control) }) || !utf8.ValidString(got) {
			t.Errorf("%q became %q", s, got)
		}
		if again := visible.Text(got); again != got {
			t.Errorf("%q became %q, and that %q", s, got, again)
		}
	})
}
