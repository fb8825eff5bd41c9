package provider

import (
	"strings"
	"testing"
)

func TestOnlyWordsOfProvidersGoOn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "SUCCESSFUL": "SUCCESSFUL", " in-review ": "in-review", "recipient-limit-exceeded": "recipient-limit-exceeded", "B2B.1203:x_y": "B2B.1203:x_y",
		"Mariam Bamba": "…", "paid to +2250700000101": "…", "0700000101": "…", "é": "…", "<script>": "…", "a\nb": "…", "\x00": "…", "top-secret-1": "…",
		strings.Repeat("a", 40): strings.Repeat("a", 40), strings.Repeat("a", 41): "…", "someone@example.com": "…", "-x": "…",
	} {
		if got := Word(text, "top-secret"); got != want {
			t.Errorf("%q goes on as %q, want %q", text, got, want)
		}
	}
}
