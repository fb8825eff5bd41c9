package agogo_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/agogopay/agogo"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	Deps       []string
	Standard   bool
}

func list(t *testing.T, args ...string) []pkg {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Imports,Deps,Standard"}, args...)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var pkgs []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// boundary forbids what packages may reach, and says why.
type boundary struct {
	name   string
	of     func(path string) bool
	forbid func(of, imported string) bool
	direct bool // only direct imports
	why    string
}

func under(prefixes ...string) func(string) bool {
	return func(path string) bool {
		for _, p := range prefixes {
			if path == module+"/"+p || strings.HasPrefix(path, module+"/"+p+"/") {
				return true
			}
		}
		return false
	}
}

// service is the name of the service that a path belongs to, or "".
func service(path string) string {
	rest, ok := strings.CutPrefix(path, module+"/services/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// outside says that a package is not of the standard library.
func outside(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".")
}

func doesIO(path string) bool {
	return path == "os" || path == "net" || strings.HasPrefix(path, "net/") || path == "database/sql"
}

var domains = under(
	"services/scheduler/internal/schedule",
	"services/payouts/internal/payout",
	"services/recurrences/internal/recurrence",
	"services/recurrences/internal/charge",
	"services/notifier/internal/notice",
)

var boundaries = []boundary{
	{
		name: "services do not import each other", of: func(p string) bool { return service(p) != "" },
		forbid: func(of, imported string) bool { s := service(imported); return s != "" && s != service(of) },
		why:    "they share mechanism and protos, never tables or domain types: each is deployed alone",
	},
	{
		name: "shared mechanism imports no service", of: under("internal", "proto"),
		forbid: func(_, imported string) bool { return service(imported) != "" || under("cmd", "simulator")(imported) },
		why:    "a package enters internal/ because several services need it; it cannot know any of them",
	},
	{
		name: "the simulator imports nothing of ours", of: under("simulator"),
		forbid: func(_, imported string) bool {
			return strings.HasPrefix(imported, module) && !under("simulator")(imported)
		},
		why: "it is the judge of what the services did; code shared with them would share their mistakes",
	},
	{
		name: "the oracle imports nothing of ours", of: under("cmd/agogo/internal/oracle", "cmd/agogo/internal/evening", "cmd/agogo/internal/week"),
		forbid: func(_, imported string) bool {
			return strings.HasPrefix(imported, module) && !under("cmd/agogo/internal/oracle", "cmd/agogo/internal/evening", "cmd/agogo/internal/week", "simulator")(imported)
		},
		why: "it says what should have happened; code shared with the services would share their mistakes",
	},
	{
		name: "domain packages do no I/O", of: domains, direct: true,
		forbid: func(_, imported string) bool {
			if under("internal/money", "internal/event", "internal/cron")(imported) || domains(imported) {
				return false
			}
			return doesIO(imported) || outside(imported) && imported != "github.com/google/uuid"
		},
		why: "rules about money and time are read and tested without a database: stdlib, money, event, cron (and the uuid type) only",
	},
	{
		name: "cron is pure", of: under("internal/cron"), direct: true,
		forbid: func(_, imported string) bool { return doesIO(imported) || outside(imported) },
		why:    "domain packages may import it because it is nothing but rules about time: stdlib without I/O (docs/adr/0002)",
	},
	{
		name: "service binaries stay light", of: func(p string) bool { return service(p) != "" && strings.Contains(p, "/cmd/") },
		forbid: func(of, imported string) bool {
			firebase := strings.HasPrefix(imported, "firebase.google.com/") && service(of) != "notifier"
			return imported == "testing" || strings.HasPrefix(imported, "github.com/nats-io/nats-server") || firebase
		},
		why: "production binaries carry neither test code nor an embedded broker, and only the notifier speaks to Firebase",
	},
	{
		name: "money knows nothing", of: under("internal/money"),
		forbid: func(_, imported string) bool {
			return strings.HasPrefix(imported, module) && !under("internal/money")(imported)
		},
		why: "everything stands on it",
	},
}

func TestBoundaries(t *testing.T) {
	t.Parallel()
	pkgs := list(t, "./...")
	for _, b := range boundaries {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			applied := 0
			for _, p := range pkgs {
				if !b.of(p.ImportPath) {
					continue
				}
				applied++
				reached := p.Deps
				if b.direct {
					reached = p.Imports
				}
				for _, imported := range reached {
					if b.forbid(p.ImportPath, imported) {
						t.Errorf("%s reaches %s: %s", p.ImportPath, imported, b.why)
					}
				}
			}
			if applied == 0 {
				t.Error("the rule applies to no package: it was written for a layout that is gone")
			}
		})
	}
}

func TestEveryPackageHasOnePackageDoc(t *testing.T) {
	t.Parallel()
	for _, p := range list(t, "./...") {
		if strings.Contains(p.ImportPath, "/proto/gen/") || strings.HasSuffix(p.ImportPath, "/db") {
			continue // generated
		}
		var docs []string
		files, err := filepath.Glob(filepath.Join(p.Dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if tree.Doc != nil && !strings.HasPrefix(tree.Doc.Text(), "Code generated") {
				docs = append(docs, filepath.Base(f))
			}
		}
		if len(docs) != 1 {
			t.Errorf("%s has its package doc in %v: exactly one file should say what the package is for", p.ImportPath, docs)
		}
	}
}

func TestGoModHasNoReplace(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^\s*replace\b`).Match(raw) {
		t.Error("go.mod replaces a module: `go install …/cmd/agogo@version` would fail for users")
	}
}

func TestMainsAreShort(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path) != "main.go" || !strings.Contains(path, "cmd/") {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if n := bytes.Count(raw, []byte("\n")); n > 25 {
			t.Errorf("%s has %d lines: a main only calls a Run that tests can call too", path, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestEveryCrashPointIsTried compares the points in the code with those at which test/chaos kills the process. A point of shared
// mechanism, which puts the service's name before its own, is one point of each service that agogo runs and that has it.
func TestEveryCrashPointIsTried(t *testing.T) {
	t.Parallel()
	tried := map[string]bool{}
	eachFile(t, filepath.Join("test", "chaos"), func(_ string, tree *ast.File) {
		ast.Inspect(tree, func(n ast.Node) bool {
			if text, ok := literal(n); ok && crashPoint.MatchString(text) {
				name, _, _ := strings.Cut(text, ":")
				tried[name] = true
			}
			return true
		})
	})
	there := crashPoints(t)
	for point, file := range there {
		if !tried[point] {
			t.Errorf("%s (%s) is never tried: add it to the points of test/chaos", point, file)
		}
	}
	for point := range tried {
		if there[point] == "" {
			t.Errorf("test/chaos tries %s, which the code does not have", point)
		}
	}
	if len(there) < 9 {
		t.Errorf("only %d crash points were found: %v", len(there), there)
	}
}

var crashPoint = regexp.MustCompile(`^[a-z]+\.(after|before)_[a-z_]+(:[0-9]+)?$`)

// crashPoints are the names that the code hits, with a file of each.
func crashPoints(t *testing.T) map[string]string {
	t.Helper()
	there := map[string]string{}
	users := usersOf(t)
	eachFile(t, ".", func(file string, tree *ast.File) {
		ast.Inspect(tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 || !isSelector(call.Fun, "crashpoint", "Hit") {
				return true
			}
			if name, ok := literal(call.Args[0]); ok {
				there[name] = file
				return true
			}
			sum, _ := call.Args[0].(*ast.BinaryExpr)
			if sum == nil {
				t.Errorf("%s: a crash point is a literal, or a service's name + a literal: nothing else can be compared with the tests", file)
				return true
			}
			suffix, ok := literal(sum.Y)
			if !ok || !strings.HasPrefix(suffix, ".") {
				t.Errorf("%s: a crash point that begins with its service's name ends with a literal that begins with a dot", file)
				return true
			}
			for _, s := range users[module+"/"+filepath.ToSlash(filepath.Dir(file))] {
				there[s+suffix] = file
			}
			return true
		})
	})
	return there
}

// usersOf lists, for each package, the services that agogo runs and that reach it.
func usersOf(t *testing.T) map[string][]string {
	t.Helper()
	users := map[string][]string{}
	agogo := list(t, "./cmd/agogo")[0].Deps
	for _, p := range list(t, "./services/...") {
		name := service(p.ImportPath)
		if p.ImportPath != module+"/services/"+name || !slices.Contains(agogo, p.ImportPath) {
			continue
		}
		for _, d := range p.Deps {
			users[d] = append(users[d], name)
		}
	}
	return users
}

// eachFile parses the Go files below a folder: those of tests only where the folder itself is of tests.
func eachFile(t *testing.T, root string, do func(path string, tree *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && root == "." && (path == "test" || path == "bench" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" || root == "." && strings.HasSuffix(path, "_test.go") {
			return nil
		}
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		do(path, tree)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func literal(n ast.Node) (string, bool) {
	lit, ok := n.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

func isSelector(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg
}

// What the texts call by its path is there: a package that moves takes its mentions along.
func TestTextsNameWhatExists(t *testing.T) {
	t.Parallel()
	texts, err := filepath.Glob("docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	texts = append(texts, "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/config.md", "docs/simulator.md")
	path := regexp.MustCompile("`((?:internal|services|cmd|test|proto|simulator|examples|tools|bench|docs)/[A-Za-z0-9_./-]+)`")
	for _, text := range texts {
		if strings.HasPrefix(text, "docs/adr/") { // they tell of their day
			continue
		}
		raw, err := os.ReadFile(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range path.FindAllSubmatch(raw, -1) {
			name := strings.TrimSuffix(string(m[1]), "/...")
			if _, err := os.Stat(filepath.FromSlash(name)); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s names %s, which is not there", text, m[1])
			}
		}
	}
}
