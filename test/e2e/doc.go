// Package e2e uses a built agogo as a new user would: everything goes through the command line, gRPC, the event streams,
// webhooks and the simulator's control API. `go test ./test/e2e/` from the root builds the binary first.
package e2e
