package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// root of the repository, from here.
const repository = "../../../.."

// notCommands begin like commands and are none.
var notCommands = []string{
	"agogo daybook", // the first line of a signed report
	"agogo made;",   // of keys and certificates
	"agogo at each start,",
}

// What refusals, logs and help tell people to type exists: every command line in a text of the binaries, and in the documentation, is one of
// the command tree, down to a command that does something, with flags that it has.
func TestEveryCommandThatTextsNameExists(t *testing.T) {
	t.Parallel()
	a := &app{IO: IO{Getenv: func(string) string { return "" }}}
	root := a.root()
	found := 0
	for _, text := range append(literals(t), documents(t)...) {
		for _, line := range commandLines(text.said) {
			found++
			if why := known(root, line); why != "" {
				t.Errorf("%s tells of %q: %s", text.where, "agogo "+line, why)
			}
		}
	}
	if found < 200 {
		t.Errorf("only %d command lines were found in all texts: they are not read any more", found)
	}
}

// The check itself notices what it is for.
func TestWhatNoCommandTreeHasIsNoticed(t *testing.T) {
	t.Parallel()
	root := (&app{IO: IO{Getenv: func(string) string { return "" }}}).root()
	for text, ok := range map[string]bool{
		"when agogo restore says that it is absent": false, "agogo payees confrm P": false, "agogo payouts list --state held": true,
		"agogo payouts list --stat held": false, "agogo batches resume ID, agogo runs get": true, "agogo frobnicate": false,
		"'agogo restore mark'": true, "agogo schedules|runs|payouts": true, "agogo payees list, then agogo payees": false,
	} {
		bad := slices.IndexFunc(commandLines(text), func(l string) bool { return known(root, l) != "" }) >= 0
		if bad == ok || len(commandLines(text)) == 0 {
			t.Errorf("%q: found %q, wrong %v", text, commandLines(text), bad)
		}
	}
}

type said struct{ where, said string }

// literals are the texts of everything that is built, tests aside.
func literals(t *testing.T) []said {
	t.Helper()
	var all []said
	for _, dir := range []string{"services", "internal", "cmd"} {
		walk(t, dir, ".go", func(path string) {
			if strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/db/") {
				return
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.Contains(lit.Value, "agogo ") {
					if text, err := strconv.Unquote(lit.Value); err == nil {
						all = append(all, said{path, text})
					}
				}
				return true
			})
		})
	}
	return all
}

var typed = regexp.MustCompile("(?m)`[^`\n]*`|^(?: {4}|\\$ )?agogo .*$")

// documents are what the documentation has people type: lines of examples, and what is set as code.
func documents(t *testing.T) []said {
	t.Helper()
	var all []said
	for _, at := range []string{"docs", "README.md"} {
		walk(t, at, ".md", func(path string) {
			body, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, code := range typed.FindAllString(string(body), -1) {
				all = append(all, said{path, strings.Trim(code, "`")})
			}
		})
	}
	return all
}

func walk(t *testing.T, dir, ext string, do func(path string)) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(repository, dir), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ext) {
			do(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var commandLine = regexp.MustCompile(`(?:^|[^\w./-])agogo ([a-z][^\n]*)`)

// commandLines are what follows the name in a text, each up to the next one.
func commandLines(text string) []string {
	var lines []string
	for _, m := range commandLine.FindAllStringSubmatch(text, -1) {
		for i, part := range regexp.MustCompile(`[^\w./-]agogo `).Split(m[1], -1) {
			if i == 0 || part != "" && part[0] >= 'a' && part[0] <= 'z' {
				lines = append(lines, part)
			}
		}
	}
	return slices.DeleteFunc(lines, func(l string) bool {
		return slices.ContainsFunc(notCommands, func(n string) bool { return strings.HasPrefix("agogo "+l, n) })
	})
}

var (
	word    = regexp.MustCompile(`^[a-z][a-z|-]*`)
	flagged = regexp.MustCompile(`(?:^|\s|\[)--([a-z][a-z-]*)`)
)

// known says why a command line is none of the tree's; "" when it is.
func known(root *cobra.Command, line string) string {
	c, rest := root, line
	for len(c.Commands()) > 0 {
		w := word.FindString(rest)
		var next *cobra.Command
		for one := range strings.SplitSeq(w, "|") {
			if next = child(c, one); next == nil && (one == "" && strings.Contains(w, "|") || rest != "" && rest[0] == '%') {
				return "" // "and so on", or a verb that is filled in
			}
			if next == nil {
				return strconv.Quote(c.CommandPath()) + " has no " + strconv.Quote(one)
			}
		}
		if strings.Contains(w, "|") { // several at once name commands, and are none
			return ""
		}
		c, rest = next, strings.TrimPrefix(rest[len(w):], " ")
	}
	for _, m := range flagged.FindAllStringSubmatch(rest, -1) {
		if c.Flags().Lookup(m[1]) == nil && c.InheritedFlags().Lookup(m[1]) == nil && m[1] != "help" {
			return strconv.Quote(c.CommandPath()) + " has no flag --" + m[1]
		}
	}
	return ""
}

func child(c *cobra.Command, name string) *cobra.Command {
	for _, s := range c.Commands() {
		if s.Name() == name || s.HasAlias(name) {
			return s
		}
	}
	return nil
}
