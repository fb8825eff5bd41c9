package fault

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Plan is what will go wrong.
type Plan struct {
	Seed  int64  `json:"seed"`
	Rules []Rule `json:"rules"`
}

// Catalogue lists the faults that a provider knows, by operation.
type Catalogue map[string]map[string][]Kind

// Call is what a rule can match.
type Call struct {
	Provider, Operation    string
	Peer, Reference, Token string
	Amount                 int64
}

// Set is the plan in force. Any number of goroutines may ask it; replacing it does not stop them.
type Set struct {
	catalogue Catalogue

	mu      sync.Mutex // taken by those who change the plan
	current atomic.Pointer[armed]
	ordinal atomic.Uint64
}

type armed struct {
	seed  int64
	rules []*armedRule
	by    map[operation][]*armedRule
}

type operation struct{ provider, name string }

type armedRule struct {
	Rule
	index   int
	applied atomic.Int64
}

// Applied is a rule with the number of calls that it decided.
type Applied struct {
	Rule
	Applied int64
}

// MarshalJSON adds the count to the rule's own words.
func (a Applied) MarshalJSON() ([]byte, error) {
	rule, err := json.Marshal(a.Rule)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(rule[:len(rule)-1], `,"applied":%d}`, a.Applied), nil
}

// NewSet makes an empty plan that accepts what the catalogue lists.
func NewSet(c Catalogue) *Set {
	s := &Set{catalogue: c}
	s.current.Store(&armed{})
	return s
}

// Replace puts a plan in force; its rules begin with nothing used up. A plan with a wrong rule changes nothing.
func (s *Set) Replace(p Plan) error {
	next := &armed{seed: p.Seed}
	for i, r := range p.Rules {
		if err := s.check(r); err != nil {
			return fmt.Errorf("rule %d: %w", i, err)
		}
		next.rules = append(next.rules, &armedRule{Rule: normal(r), index: i})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next.by = byOperation(next.rules)
	s.current.Store(next)
	return nil
}

// Add appends a rule to the plan in force, whose other rules keep their counts.
func (s *Set) Add(r Rule) error {
	if err := s.check(r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current.Load()
	rules := append(slices.Clone(old.rules), &armedRule{Rule: normal(r), index: len(old.rules)})
	s.current.Store(&armed{seed: old.seed, rules: rules, by: byOperation(rules)})
	return nil
}

// Current is the plan in force, with what each rule has decided so far.
func (s *Set) Current() (seed int64, rules []Applied) {
	now := s.current.Load()
	rules = make([]Applied, len(now.rules))
	for i, r := range now.rules {
		rules[i] = Applied{r.Rule, r.applied.Load()}
	}
	return now.seed, rules
}

// Decide finds the rule for a call. ok is false when nothing is meant to go wrong.
func (s *Set) Decide(c Call) (rule Rule, ok bool) {
	plan := s.current.Load()
	candidates := plan.by[operation{c.Provider, c.Operation}]
	if len(candidates) == 0 {
		return Rule{}, false
	}
	key := s.key(c)
	for _, r := range candidates {
		if r.Match.fits(c) && r.chosen(plan.seed, key) && r.take() {
			return r.Rule, true
		}
	}
	return Rule{}, false
}

// key is what probability is decided by: the same payment meets the same fate in whatever order calls come. Calls that
// name nothing (token, services, forms) are numbered.
func (s *Set) key(c Call) string {
	switch {
	case c.Reference != "":
		return c.Reference
	case c.Token != "":
		return c.Token
	}
	return string(binary.AppendUvarint(nil, s.ordinal.Add(1)))
}

func (m Match) fits(c Call) bool {
	return same(m.Peer, c.Peer) && same(m.Reference, c.Reference) && same(m.Token, c.Token) &&
		(m.Amount == 0 || m.Amount == c.Amount)
}

func same(pattern, value string) bool {
	if prefix, any := strings.CutSuffix(pattern, "*"); any {
		return strings.HasPrefix(value, prefix)
	}
	return pattern == "" || pattern == value
}

func (r *armedRule) chosen(seed int64, key string) bool {
	p := r.Match.Probability
	if p == 0 || p == 1 {
		return true
	}
	return Fraction(seed, r.index, key) < p
}

func (r *armedRule) take() bool {
	for {
		n := r.applied.Load()
		if r.Times != 0 && n >= int64(r.Times) {
			return false
		}
		if r.applied.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Fraction is a number in [0, 1) that follows from seed, rule and key alone.
func Fraction(seed int64, rule int, key string) float64 {
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(seed))
	binary.LittleEndian.PutUint64(b[8:], uint64(rule))
	h.Write(b[:])
	h.Write([]byte(key))
	// FNV leaves the high bits of short inputs alike: the finisher of splitmix64 spreads them.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return float64(x>>11) / (1 << 53)
}

func (s *Set) check(r Rule) error {
	operations, ok := s.catalogue[r.Provider]
	if !ok {
		return fmt.Errorf("provider %q is not simulated; it is one of %s", r.Provider, keys(s.catalogue))
	}
	kinds, ok := operations[r.Operation]
	if !ok {
		return fmt.Errorf("%s has no operation %q; it is one of %s", r.Provider, r.Operation, keys(operations))
	}
	if r.Fault != None && !slices.Contains(kinds, r.Fault) {
		return fmt.Errorf("%s %s cannot fail with %q; it is one of %s", r.Provider, r.Operation, r.Fault, list(kinds))
	}
	switch {
	case r.Match.Probability < 0 || r.Match.Probability > 1:
		return fmt.Errorf("probability %v is not between 0 and 1", r.Match.Probability)
	case r.Times < 0:
		return errors.New("times is negative")
	case r.Delay < 0 || r.Duration < 0 || r.Blind < 0 || r.RetryAfter < 0:
		return errors.New("a duration is negative")
	case r.Status != 0 && (r.Status < 400 || r.Status > 599):
		return fmt.Errorf("status %d is no error status", r.Status)
	}
	return CheckCallback(r.Callback)
}

// CheckCallback accepts the ways in which a provider can call back; "" is its usual one.
func CheckCallback(mode string) error {
	modes := []string{"", "normal", "duplicated", "late", "early", "forged", "stale", "never"}
	if !slices.Contains(modes, mode) {
		return fmt.Errorf("callback %q is unknown; it is one of %s", mode, strings.Join(modes[1:], ", "))
	}
	return nil
}

// normal makes 401_once and key_revoked once: without a number of times every call would lose its token or its key, and no
// client could ever go on.
func normal(r Rule) Rule {
	if (r.Fault == Unauthorized || r.Fault == KeyRevoked) && r.Times == 0 {
		r.Times = 1
	}
	return r
}

func byOperation(rules []*armedRule) map[operation][]*armedRule {
	by := map[operation][]*armedRule{}
	for _, r := range rules {
		o := operation{r.Provider, r.Operation}
		by[o] = append(by[o], r)
	}
	return by
}

func keys[V any](m map[string]V) string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func list(kinds []Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Strict decodes one JSON value and nothing after it, and refuses fields that are not there: a misspelt one would do nothing,
// in silence.
func Strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// ParsePlan reads a plan in its JSON form.
func ParsePlan(b []byte) (Plan, error) {
	var p Plan
	if err := Strict(b, &p); err != nil {
		return Plan{}, fmt.Errorf("this is not a plan: %w", err)
	}
	return p, nil
}

// ParseRule reads one rule in its JSON form.
func ParseRule(b []byte) (Rule, error) {
	var r Rule
	if err := Strict(b, &r); err != nil {
		return Rule{}, fmt.Errorf("this is not a rule: %w", err)
	}
	return r, nil
}
