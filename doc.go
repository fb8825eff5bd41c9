// Package agogo is the root of the module. It holds no code: the services are in services/, what they share in internal/,
// the command line in cmd/agogo. Its tests keep the rules of the repository (see ARCHITECTURE.md).
package agogo
