package rows

import (
	"strings"
	"testing"
)

// TestRefusalsDoNotRepeatCardNumbers wherever one stands: a file without a header has its first row for one.
func TestRefusalsDoNotRepeatCardNumbers(t *testing.T) {
	t.Parallel()
	const card = "4111111111111111"
	c := columnsOf(2, "id", "name", "ref")
	for what, r := range map[string]Reader{
		"column":  newCSV(strings.NewReader("id,"+card+"\na,b\n"), c),
		"field":   newJSONL(strings.NewReader(`{"id":"a","name":"b","`+card+`":"c"}`), c),
		"grouped": newCSV(strings.NewReader("4111 1111-1111 1111,name\n"), c),
	} {
		got := strings.Join(all(t, r), "\n")
		if !strings.Contains(got, "refused line 1: (a number like a card's)") || strings.Contains(got, "1111") {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// TestNamesAreNotShownWhereRowsHoldSecrets: a file without a header has its first row for one.
func TestNamesAreNotShownWhereRowsHoldSecrets(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	c := Columns{Names: []string{"user", "token"}, Required: 2, Secret: true}
	for what, r := range map[string]Reader{
		"column": newCSV(strings.NewReader(secret+",ana\n"), c), "field": newJSONL(strings.NewReader(`{"user":"ana","`+secret+`":"c"}`), c),
	} {
		got := strings.Join(all(t, r), "\n")
		if !strings.Contains(got, "refused line 1: unknown") || strings.Contains(got, secret) {
			t.Errorf("%s: %s", what, got)
		}
	}
}

func TestShape(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"paid":                    `"paid"`,
		"a\nb":                    `"a\nb"`,
		"\xff":                    `"` + "\uFFFD" + `"`,
		strings.Repeat("é", 40):   `"` + strings.Repeat("é", 40) + `"`,
		strings.Repeat("é", 41):   `"` + strings.Repeat("é", 40) + `"… (41 characters)`,
		"5555 5555 5555 4444":     "(a number like a card's)",
		"payout 5555555555554444": "(a number like a card's)",
	} {
		if got := Shape(in); got != want {
			t.Errorf("Shape(%q) = %s, want %s", in, got, want)
		}
	}
}
