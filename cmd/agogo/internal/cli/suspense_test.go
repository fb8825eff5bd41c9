package cli

import "testing"

// TestAPartIsNotNothing: 0 means all that is left to the server, which nobody means who writes it.
func TestAPartIsNotNothing(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"": 0, "240": 240, "-240": -240} {
		if got, err := signedMinor(text, "XOF"); err != nil || got != want {
			t.Errorf("--amount %q: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "-0", "--1", "x"} {
		if got, err := signedMinor(text, "XOF"); err == nil {
			t.Errorf("--amount %q is taken for %d", text, got)
		}
	}
}
