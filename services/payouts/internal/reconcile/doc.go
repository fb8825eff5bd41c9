// Package reconcile finds out what became of attempts whose outcome is outstanding: it takes over those whose sender died,
// asks the providers about all that are due, without end, and applies what their answers prove.
package reconcile
