package config

import (
	"errors"
	"fmt"
	"slices"
)

// Error is one fault of the tenants file. Its text never holds the value of a secret.
type Error struct {
	File    string
	Line    int    // 0: the file as a whole
	Path    string // "tenants[lebenis].payouts.minimum"; "" for the document
	Problem string // what is wrong and what to do
}

// Error is "file:line: path: problem".
func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s = fmt.Sprintf("%s:%d", s, e.Line)
	}
	if e.Path != "" {
		s += ": " + e.Path
	}
	return s + ": " + e.Problem
}

// joined is every fault in the order of the file, one per line, so that one look mends them all.
func joined(faults []*Error) error {
	slices.SortStableFunc(faults, func(a, b *Error) int { return a.Line - b.Line })
	all := make([]error, len(faults))
	for i, f := range faults {
		all[i] = f
	}
	return errors.Join(all...)
}
