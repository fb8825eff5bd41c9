//go:build !crashpoints

package crashpoint

// Hit does nothing in release builds.
func Hit(string) {}

// Enabled tells whether this binary can be armed.
const Enabled = false
