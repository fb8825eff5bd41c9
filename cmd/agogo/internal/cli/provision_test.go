package cli

import "testing"

func TestParseSize(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{
		"1KiB": 1 << 10, "512MiB": 512 << 20, "100GiB": 100 << 30, "2Ti": 2 << 40, "20Gi": 20 << 30, "1048575KiB": 1048575 << 10,
		"": 0, "GiB": 0, "100": 0, "100GB": 0, "-1GiB": 0, "1.5GiB": 0, "0MiB": 0, "1048576TiB": 0, "99999999999TiB": 0, "1GiBB": 0,
	} {
		if got, err := parseSize(s); got != want || (err == nil) != (want > 0) {
			t.Errorf("parseSize(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
}
