package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// BinVariable is the environment variable that names the folder of the Postgres programs. The word "download" in it passes over
// what is installed, so that the version which is downloaded can be tested on any machine.
const (
	BinVariable = "AGOGO_POSTGRES_BIN"
	downloaded  = "download"
)

// Find returns the folder of an installed Postgres: AGOGO_POSTGRES_BIN, PATH, Debian's folders, Homebrew's, newest first.
// major, unless 0, is the only version that will do: a cluster cannot be opened by another one.
func Find(ctx context.Context, major int) (string, error) {
	switch dir := os.Getenv(BinVariable); dir {
	case "":
		return search(ctx, candidates(os.Getenv("PATH"), "/"), major)
	case downloaded:
		return "", fmt.Errorf("%w, as %s=%s passes over what is installed", errNotFound, BinVariable, dir)
	default:
		if err := usable(ctx, dir, major); err != nil {
			return "", fmt.Errorf("%s=%s: %w", BinVariable, dir, err)
		}
		return dir, nil
	}
}

// errNotFound says what was missing; [Start] downloads then.
var errNotFound = errors.New("no Postgres found")

func search(ctx context.Context, dirs []string, major int) (string, error) {
	var errs []error
	for _, dir := range dirs {
		err := usable(ctx, dir, major)
		if err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(append([]error{errNotFound}, errs...)...)
}

// candidates lists folders that hold both programs, in the order of preference; root is "/" outside of tests.
func candidates(path, root string) []string {
	var dirs []string
	for _, dir := range filepath.SplitList(path) {
		// Debian's /usr/bin has wrappers of some programs, but never these two.
		if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	for _, pattern := range []string{
		"usr/lib/postgresql/*/bin",
		"usr/pgsql-*/bin", // Red Hat's packages from postgresql.org
		"opt/homebrew/opt/postgresql@*/bin",
		"usr/local/opt/postgresql@*/bin",
		"home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			continue // only a malformed pattern does that
		}
		slices.SortFunc(found, func(a, b string) int { return lastNumber(b) - lastNumber(a) })
		dirs = append(dirs, found...)
	}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		return !executable(filepath.Join(dir, "postgres")) || !executable(filepath.Join(dir, "initdb"))
	})
}

func executable(file string) bool {
	fi, err := os.Stat(file)
	return err == nil && !fi.IsDir() && fi.Mode()&0o111 != 0
}

var number = regexp.MustCompile(`\d+`)

// lastNumber is the version in a path such as /usr/lib/postgresql/15/bin; paths without one come last.
func lastNumber(path string) int {
	all := number.FindAllString(path, -1)
	if len(all) == 0 {
		return 0
	}
	n, err := strconv.Atoi(all[len(all)-1])
	if err != nil {
		return 0
	}
	return n
}

// majorOf is 15 for "15.18" and 18 for "18beta2".
func majorOf(version string) int {
	n, err := strconv.Atoi(number.FindString(version))
	if err != nil {
		return 0
	}
	return n
}

const oldestMajor = 14

// usable runs the program once: a folder that looks right may belong to another machine's architecture.
func usable(ctx context.Context, dir string, major int) error {
	v, err := version(ctx, dir)
	switch got := majorOf(v); {
	case err != nil:
		return err
	case major != 0 && got != major:
		return fmt.Errorf("%s has Postgres %s, the data directory was made by Postgres %d", dir, v, major)
	case got < oldestMajor:
		return fmt.Errorf("%s has Postgres %s, Agogo needs %d or newer", dir, v, oldestMajor)
	}
	return nil
}

// version is "15.18" for "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
func version(ctx context.Context, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s does not run: %w", filepath.Join(dir, "postgres"), err)
	}
	_, v, _ := strings.Cut(string(out), "(PostgreSQL) ")
	v, _, _ = strings.Cut(strings.TrimSpace(v), " ")
	if v == "" {
		return "", fmt.Errorf("%s answers %q instead of its version", filepath.Join(dir, "postgres"), out)
	}
	return v, nil
}
