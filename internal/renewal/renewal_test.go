package renewal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agogopay/agogo/internal/renewal"
	"github.com/agogopay/agogo/internal/renewal/renewaltest"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAPairIsTheNewestThatFits(t *testing.T) {
	t.Parallel()
	dir, authority := t.TempDir(), renewaltest.New(t)
	soon, late := time.Now().Add(time.Hour).Truncate(time.Second), time.Now().Add(9*time.Hour).Truncate(time.Second)
	cert, key := authority.Issue(t, dir, soon)
	p, err := renewal.NewPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := p.Expires(); err != nil || !at.Equal(soon) {
		t.Errorf("ends at %s, %v", at, err)
	}
	authority.Issue(t, dir, late)
	if at, err := p.Expires(); err != nil || !at.Equal(late) {
		t.Errorf("the renewed one ends at %s, %v", at, err)
	}
	write(t, key, "half a k")
	if at, err := p.Expires(); err != nil || !at.Equal(late) {
		t.Errorf("files that do not fit took the last good one away: %s, %v", at, err)
	}
	if _, err := renewal.NewPair(cert, key); err == nil {
		t.Error("a process started with files that do not fit")
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	dir, old, next := t.TempDir(), renewaltest.New(t), renewaltest.New(t)
	end := time.Unix(2_000_000_000, 0)
	cert, key := old.Issue(t, dir, end)
	p, err := renewal.NewPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(dir, "bundle")
	both, err := os.ReadFile(renewaltest.Trust(t, dir, old, next))
	if err != nil {
		t.Fatal(err)
	}
	ends, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	write(t, bundle, string(ends)+string(both))
	all := renewal.Expiry{"grpc": p.Expires, "bundle": renewal.Authorities(bundle), "absent": renewal.Authorities(filepath.Join(dir, "absent")), "key": renewal.Authorities(key)}
	want := `# HELP agogo_certificate_expires_timestamp_seconds When a certificate ends, in seconds since 1970; 0 when it cannot be read. Of a file of authorities, the last of them.
# TYPE agogo_certificate_expires_timestamp_seconds gauge
agogo_certificate_expires_timestamp_seconds{certificate="absent"} 0
agogo_certificate_expires_timestamp_seconds{certificate="bundle"} 2e+09
agogo_certificate_expires_timestamp_seconds{certificate="grpc"} 2e+09
agogo_certificate_expires_timestamp_seconds{certificate="key"} 0
`
	if err := testutil.CollectAndCompare(all, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// Kubernetes exchanges what a folder holds by turning one link.
func TestAPrintChangesWithWhatFilesHold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := filepath.Join(dir, "..first"), filepath.Join(dir, "..second")
	for _, sub := range []string{first, second} {
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(sub, "TOKEN"), filepath.Base(sub))
	}
	turn := func(to string) {
		t.Helper()
		_ = os.Remove(filepath.Join(dir, "..data"))
		if err := os.Symlink(filepath.Base(to), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	take := func(paths ...string) renewal.Print {
		t.Helper()
		p, err := renewal.Take(paths)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	turn(first)
	if err := os.Symlink("..data/TOKEN", filepath.Join(dir, "TOKEN")); err != nil {
		t.Fatal(err)
	}
	was := take(dir)
	if take(dir) != was {
		t.Error("a change where there is none")
	}
	turn(second)
	if take(dir) == was {
		t.Error("no change in the folder")
	}
	getenv := renewal.Overlay([]string{dir}, func(string) string { return "of the environment" })
	if getenv("TOKEN") != "..second" || getenv("OTHER") != "of the environment" {
		t.Errorf("got %q and %q", getenv("TOKEN"), getenv("OTHER"))
	}
	turn(first)
	if take(dir) != was {
		t.Error("what was taken back is still a change")
	}
	if err := os.Remove(filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	if _, err := renewal.Take([]string{dir}); err == nil {
		t.Error("in the middle of an exchange there is nothing to compare")
	}
}

// In a container's envFrom, of two Secrets with the same name in them the last one counts.
func TestOfTwoFoldersTheLastCounts(t *testing.T) {
	t.Parallel()
	first, last := t.TempDir(), t.TempDir()
	write(t, filepath.Join(first, "K"), "first")
	write(t, filepath.Join(last, "K"), "last")
	write(t, filepath.Join(first, "ONLY"), "first")
	getenv := renewal.Overlay([]string{first, last}, func(string) string { return "" })
	if getenv("K") != "last" || getenv("ONLY") != "first" {
		t.Errorf("got %q and %q", getenv("K"), getenv("ONLY"))
	}
}

func TestWhatMovesFromOneFileToTheNextIsAChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	prints := map[renewal.Print]bool{}
	for _, texts := range [][2]string{{"xy", ""}, {"x", "y"}, {"", "xy"}} {
		write(t, a, texts[0])
		write(t, b, texts[1])
		p, err := renewal.Take([]string{a, b})
		if err != nil {
			t.Fatal(err)
		}
		prints[p] = true
	}
	if len(prints) != 3 {
		t.Errorf("%d prints of three contents", len(prints))
	}
}
