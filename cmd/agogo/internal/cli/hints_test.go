package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// What refusals and next steps of the services tell people to type can be typed as it stands: it has what the command takes, and each flag that it
// requires. What follows the command in a text are words, so flags come right behind what they belong to.
func TestEveryHintHasWhatItsCommandRequires(t *testing.T) {
	t.Parallel()
	found := 0
	for _, text := range hints(t) {
		for _, line := range commandLines(text.said) {
			found++
			root := (&app{IO: IO{Getenv: func(string) string { return "" }}}).root()
			if why := typedAs(root, line); why != "" {
				t.Errorf("%s has people type %q: %s", text.where, "agogo "+line, why)
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d commands were found in hints: they are not read any more", found)
	}
}

// The check itself notices what it is for.
func TestAHintThatLacksSomethingIsNoticed(t *testing.T) {
	t.Parallel()
	for line, ok := range map[string]bool{
		"payouts release X": false, "payouts release --reason TEXT": false, "payouts release X --reason TEXT": true, "payouts release X --reason TEXT lets it go": true,
		"payouts release X says so --reason TEXT": false, "payouts get X": true, "payouts get": false, "restore list asks about nothing": true, "payees list --state paused says why": true,
		"payees confirm X --reason TEXT": false, "payees confirm X --phone-ends DIGITS --reason TEXT": true, "payouts frobnicate": false, "batches release-refused X --dry-run --reason TEXT": true,
		"payouts list --state": false, "payouts get X, or Y": true, "start --tenant X; it goes": true,
	} {
		if why := typedAs((&app{IO: IO{Getenv: func(string) string { return "" }}}).root(), line); (why == "") != ok {
			t.Errorf("%q: %q", line, why)
		}
	}
}

// hints are the texts of the services and of what they share, each put together as far as it stands in one expression. X is what is filled in. Of the command
// line itself they are those in which something is: help describes commands, and has none.
func hints(t *testing.T) []said {
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
				e, ok := n.(ast.Expr)
				if !ok {
					return true
				}
				text, ok := together(e)
				plain := filled.ReplaceAllString(text, "X")
				if ok && strings.Contains(text, "agogo ") && (dir != "cmd" || plain != text || strings.Contains(text, "X")) {
					all = append(all, said{path, plain})
				}
				return !ok
			})
		})
	}
	return all
}

var (
	filled = regexp.MustCompile(`%(\[\d\])?[a-z]`)
	quoted = regexp.MustCompile(`"[^"]*"`)
)

// together is the text of a literal, or of a sum that has one; false for any other expression.
func together(e ast.Expr) (text string, ok bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.ParenExpr:
		return together(e.X)
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		left, of := together(e.X)
		right, or := together(e.Y)
		if !of {
			left = "X"
		}
		if !or {
			right = "X"
		}
		return left + right, of || or
	default:
		return "", false
	}
}

// needs are flags that a command asks for although its parser does not.
var needs = map[string][]string{"agogo payees confirm": {"phone-ends"}}

// typedAs says why a command cannot be typed as it stands at the beginning of a line; "" when it can.
func typedAs(root *cobra.Command, line string) string {
	c, words := root, strings.Fields(quoted.ReplaceAllString(line, "Q"))
	for len(c.Commands()) > 0 {
		if len(words) == 0 {
			return c.CommandPath() + " is no whole command"
		}
		name := word.FindString(words[0])
		if strings.Contains(name, "|") || strings.HasPrefix(words[0], "X") {
			return "" // several commands are named, or a verb is filled in
		}
		next := child(c, name)
		if next == nil {
			return strconv.Quote(c.CommandPath()) + " has no " + strconv.Quote(name)
		}
		if c = next; name != words[0] { // the clause ends with it
			words = nil
		} else {
			words = words[1:]
		}
	}
	typed := untilWords(c, words)
	if err := c.ParseFlags(typed); err != nil {
		return err.Error()
	}
	if err := c.Args(c, c.Flags().Args()); err != nil {
		return err.Error()
	}
	if err := c.ValidateRequiredFlags(); err != nil {
		return err.Error()
	}
	for _, name := range needs[c.CommandPath()] {
		if !c.Flags().Changed(name) {
			return "it asks for --" + name
		}
	}
	return ""
}

// untilWords is what of a line belongs to the command: as many names as it takes, and flags with their values, up to the end of the clause.
func untilWords(c *cobra.Command, words []string) (typed []string) {
	names := strings.Count(c.Use, " ")
	for i := 0; i < len(words); i++ {
		one := strings.TrimRight(words[i], ",;:.')")
		flag := strings.HasPrefix(one, "--")
		if !flag && names == 0 {
			return typed
		}
		if !flag {
			names--
		}
		typed = append(typed, one)
		if one != words[i] {
			return typed
		}
		if flag && takesValue(c, strings.TrimPrefix(one, "--")) && i+1 < len(words) {
			i++
			single := strings.HasPrefix(words[i], "'")
			one = strings.TrimRight(words[i], ",;:.')")
			if typed = append(typed, one); one != words[i] && !single {
				return typed
			}
		}
	}
	return typed
}

func takesValue(c *cobra.Command, flag string) bool {
	f := c.Flags().Lookup(flag)
	if f == nil {
		f = c.InheritedFlags().Lookup(flag)
	}
	return f != nil && f.NoOptDefVal == ""
}
