package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds the tenants file and maxSecret a secret's file: both are read into memory as a whole.
const (
	maxFile   = 4 << 20
	maxSecret = 64 << 10
)

// Load reads and checks a tenants file; getenv resolves ${NAME}. Its error lists every fault of the file, not only the
// first.
func Load(path string, getenv func(string) string) (*File, error) {
	data, err := readBounded(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("tenants file: %w", err)
	}
	l := &loader{path: path, getenv: getenv, readFile: readSecret, kinds: providerKinds}
	return l.load(data)
}

// LoadFor is [Load] for one service: secrets of the others are neither needed nor read, and what they name is empty in the
// result. So a process can be given its own secrets and nobody else's.
func LoadFor(service, path string, getenv func(string) string) (*File, error) {
	data, err := readBounded(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("tenants file: %w", err)
	}
	l := &loader{path: path, service: service, getenv: getenv, readFile: readSecret, kinds: providerKinds}
	return l.load(data)
}

// Variables are the names of the environment variables that a service needs for the tenants file. Whatever else is wrong with
// the file is told when it is loaded.
func Variables(service, path string) ([]string, error) {
	data, err := readBounded(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("tenants file: %w", err)
	}
	asked := map[string]bool{}
	l := &loader{path: path, service: service, readFile: readSecret, kinds: providerKinds}
	l.getenv = func(name string) string { asked[name] = true; return "" }
	root, ok := l.document(data)
	if !ok {
		return nil, joined(l.faults)
	}
	l.file(root, new(File))
	return slices.Sorted(maps.Keys(asked)), nil
}

// loader walks the document's nodes, which know their lines, and collects faults. yaml/v3 serves here because its nodes
// are plain: a strict decoder into structs stops at its first fault and cannot tell an absent limit from a zero one.
type loader struct {
	path     string
	service  string // whose secrets are read; "" for everybody's
	withheld bool   // what is being read is another service's
	getenv   func(string) string
	readFile func(string) ([]byte, error)
	kinds    map[string]kind
	faults   []*Error
	// known collects the generic path of every key that objects on the way may have; documentation is checked by it.
	known map[string]bool
	// addresses are those of the tenant being read, for the check of live mode.
	addresses []address
	// keys are the provider keys of the tenant being read that say themselves whether they are for real money.
	keys []modeKey
}

func (l *loader) load(data []byte) (*File, error) {
	file := &File{Path: l.path}
	if root, ok := l.document(data); ok {
		l.file(root, file)
	}
	if len(l.faults) > 0 {
		return nil, joined(l.faults)
	}
	return file, nil
}

// document parses the text into the node of its single document.
func (l *loader) document(data []byte) (at, bool) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		l.faults = append(l.faults, &Error{File: l.path, Problem: "the file is empty: begin with \"tenants:\""})
		return at{}, false
	case err != nil:
		l.syntax(err)
		return at{}, false
	}
	switch err := decoder.Decode(new(yaml.Node)); {
	case err == nil:
		l.faults = append(l.faults, &Error{File: l.path, Problem: "the file has more than one document: remove the \"---\" between them"})
		return at{}, false
	case !errors.Is(err, io.EOF):
		l.syntax(err)
		return at{}, false
	}
	return at{node: doc.Content[0]}, true
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax turns the parser's error into one of ours.
func (l *loader) syntax(err error) {
	text := err.Error()
	fault := &Error{File: l.path}
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		fault.Line, _ = strconv.Atoi(m[1]) // no line given: 0
		text = text[len(m[0]):]
	}
	fault.Problem = "this is not YAML: " + text + ": check indentation, quotes and colons from this line on"
	l.faults = append(l.faults, fault)
}

// of reads what belongs to a service: elsewhere its secrets are passed over.
func (l *loader) of(service string, read func()) {
	l.withheld = l.service != "" && l.service != service
	read()
	l.withheld = false
}

// resolve makes a path of the file relative to the file, not to where the process happens to run.
func (l *loader) resolve(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(l.path), name)
}

func readSecret(name string) ([]byte, error) { return readBounded(name, maxSecret) }

// readBounded reads a regular file: a pipe or a device could block or never end.
func readBounded(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, most)
	}
	return data, nil
}

// at is a value and where it stands.
type at struct {
	node    *yaml.Node
	path    string // for people: tenants[lebenis].payouts
	generic string // for documentation: tenants[].payouts
}

func (a at) join(name string) string {
	if a.path == "" {
		return name
	}
	return a.path + "." + name
}

// key is the value of a key in a's mapping.
func (a at) key(name string, n *yaml.Node) at {
	generic := name
	if a.generic != "" {
		generic = a.generic + "." + name
	}
	return at{node: n, path: a.join(name), generic: generic}
}

// at is where a key of a's mapping stands, or the mapping itself when the key is absent.
func (a at) at(name string) at {
	if n := child(a.node, name); n != nil {
		return a.key(name, n)
	}
	return a.key(name, a.node)
}

// item is an element of a's list, named by its id or name where it has one.
func (a at) item(i int, n *yaml.Node) at {
	label := strconv.Itoa(i)
	for _, name := range []string{"id", "name"} {
		if c := child(n, name); c != nil && len(c.Value) <= 32 && c.Value != "" {
			label = c.Value
			break
		}
	}
	return at{node: n, path: a.path + "[" + label + "]", generic: a.generic + "[]"}
}

// child finds a scalar in a mapping without reporting anything: what is wrong with it is told when it is read.
func child(n *yaml.Node, name string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name && n.Content[i+1].Kind == yaml.ScalarNode {
			return n.Content[i+1]
		}
	}
	return nil
}

func (l *loader) fail(v at, format string, args ...any) {
	l.faults = append(l.faults, &Error{File: l.path, Line: v.node.Line, Path: v.path, Problem: fmt.Sprintf(format, args...)})
}

// shape names a value's form without its content.
func shape(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	default:
		return tagShape(n)
	}
}

func tagShape(n *yaml.Node) string {
	switch n.ShortTag() {
	case "!!null":
		return "empty"
	case "!!int":
		return "a whole number"
	case "!!float":
		return "a decimal number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	case "!!str":
		return "a text"
	}
	return "a value of type " + strings.TrimPrefix(n.ShortTag(), "!!")
}
