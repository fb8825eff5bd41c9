package pgserver

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fake installs programs that know their version and nothing else.
func fake(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s (Debian %s-1)'\n", version, version)
	for _, name := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCandidatesInTheirOrder(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	onPath := fake(t, filepath.Join(root, "my", "bin"), "16.1")
	old := fake(t, filepath.Join(root, "usr/lib/postgresql/9/bin"), "9.6")
	middle := fake(t, filepath.Join(root, "usr/lib/postgresql/15/bin"), "15.18")
	newest := fake(t, filepath.Join(root, "usr/lib/postgresql/17/bin"), "17.2")
	brew := fake(t, filepath.Join(root, "opt/homebrew/opt/postgresql@16/bin"), "16.4")
	if err := os.MkdirAll(filepath.Join(root, "usr/lib/postgresql/18/bin"), 0o755); err != nil { // client only
		t.Fatal(err)
	}
	path := strings.Join([]string{"", filepath.Join(root, "empty"), onPath}, string(os.PathListSeparator))
	want := []string{onPath, newest, middle, old, brew}
	if diff := cmp.Diff(want, candidates(path, root)); diff != "" {
		t.Error(diff)
	}
}

func TestSearchTakesTheFirstThatWillDo(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	ancient := fake(t, filepath.Join(root, "9"), "9.6.24")
	v15 := fake(t, filepath.Join(root, "15"), "15.18")
	v17 := fake(t, filepath.Join(root, "17"), "17beta1")
	broken := filepath.Join(root, "broken")
	if err := os.Mkdir(broken, 0o755); err != nil {
		t.Fatal(err)
	}
	all := []string{broken, ancient, v15, v17}
	for major, want := range map[int]string{0: v15, 15: v15, 17: v17} {
		if got, err := search(t.Context(), all, major); err != nil || got != want {
			t.Errorf("major %d: %s, %v; want %s", major, got, err, want)
		}
	}
	_, err := search(t.Context(), all, 16)
	if !errors.Is(err, errNotFound) || !strings.Contains(err.Error(), "made by Postgres 16") {
		t.Errorf("error %v", err)
	}
}

func TestNamedFolderIsTheOnlyOneTried(t *testing.T) {
	t.Setenv(BinVariable, filepath.Join(t.TempDir(), "nothing"))
	_, err := Find(t.Context(), 0)
	if err == nil || errors.Is(err, errNotFound) || !strings.Contains(err.Error(), BinVariable) {
		t.Errorf("error %v, want one that names %s and leads to no download", err, BinVariable)
	}
	dir := fake(t, t.TempDir(), "16.2")
	t.Setenv(BinVariable, dir)
	if got, err := Find(t.Context(), 0); got != dir || err != nil {
		t.Errorf("%s, %v; want %s", got, err, dir)
	}
}

func TestWhatIsInstalledCanBePassedOver(t *testing.T) {
	t.Setenv("PATH", fake(t, t.TempDir(), "15.18"))
	t.Setenv(BinVariable, "download")
	if got, err := Find(t.Context(), 0); !errors.Is(err, errNotFound) {
		t.Errorf("found %q, %v: want nothing, so that it is downloaded", got, err)
	}
}

func TestHintNamesThePackage(t *testing.T) {
	t.Parallel()
	for goos, want := range map[string]string{"linux": "apt-get install postgresql", "darwin": "brew install postgresql"} {
		if got := installHint(goos); !strings.Contains(got, want) || !strings.Contains(got, BinVariable) {
			t.Errorf("%s: %s", goos, got)
		}
	}
}

func TestReachable(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	if err := os.Chmod(filepath.Dir(top), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, "a", "b")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stranger := &syscall.Credential{Uid: 54321, Gid: 54321}
	if !reachable(dir, stranger) {
		t.Error("an open folder counts as closed")
	}
	if err := os.Chmod(filepath.Join(top, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if reachable(dir, stranger) {
		t.Error("a folder below one of mode 0700 counts as open")
	}
	if me := (&syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}); !reachable(dir, me) {
		t.Error("the owner's own folder counts as closed")
	}
}
