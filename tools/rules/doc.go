// Package rules holds the tests of deploy/prometheus: every alert fires when it should, and not before.
package rules
