package agogo_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// mostTraps is how many traps docs/traps.md answers.
const mostTraps = 43

// TestTraps keeps docs/traps.md honest: a line for every trap, and only places and tests that there are.
func TestTraps(t *testing.T) {
	page, err := os.ReadFile("docs/traps.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, quoted := testNames(t), regexp.MustCompile("`([^`]+)`")
	next := 1
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		number, err := strconv.Atoi(strings.TrimSpace(cells[0]))
		if len(cells) != 4 || err != nil {
			continue
		}
		if number != next {
			t.Errorf("trap %d stands where trap %d should", number, next)
		}
		next = number + 1
		places := 0
		for _, m := range quoted.FindAllStringSubmatch(cells[2], -1) {
			if !strings.Contains(m[1], "/") {
				continue // a word, not a place
			}
			places++
			if info, err := os.Stat(m[1]); err != nil || !info.IsDir() {
				t.Errorf("trap %d is answered in %s, which is no folder", number, m[1])
			}
		}
		named := quoted.FindAllStringSubmatch(cells[3], -1)
		if places == 0 || len(named) == 0 {
			t.Errorf("trap %d has no place or no test", number)
		}
		for _, m := range named {
			// One of several tests of a name may go without anybody noticing: the page says which package's it means.
			if in := tests[m[1]]; len(in) == 0 {
				t.Errorf("trap %d names the test %s, which there is not", number, m[1])
			} else if len(in) > 1 {
				t.Errorf("trap %d names the test %s, of which there are several: write one of %s", number, m[1], strings.Join(in, ", "))
			}
		}
	}
	if next != mostTraps+1 {
		t.Errorf("the page ends with trap %d, there are %d", next-1, mostTraps)
	}
}

// testNames are the tests of both modules, by their names alone and with as many of their package's folders before them as one likes, and all
// that each of these may mean.
func testNames(t *testing.T) map[string][]string {
	t.Helper()
	names, fn := map[string][]string{}, regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, dir := range []string{"cmd", "internal", "services", "simulator", "test"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range fn.FindAllSubmatch(text, -1) {
				name := string(m[1])
				full := filepath.ToSlash(filepath.Dir(path)) + "." + name
				names[name] = append(names[name], full)
				for rest, more := full, true; more; _, rest, more = strings.Cut(rest, "/") {
					names[rest] = append(names[rest], full)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}
