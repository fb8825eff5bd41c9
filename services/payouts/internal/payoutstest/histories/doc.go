// Package histories lives through random histories of the payouts service: faults of the provider, deaths and late returns of
// replicas, repeats, and what people do in between. After each step it holds the service's tables, books and events against
// each other and against the book of a provider of its own.
//
// A history is a list of steps, written one a line ("send 2 lost", "crash 1 2"). What fails is shrunk and printed so; put into
// testdata it is a test with a name from then on.
package histories
