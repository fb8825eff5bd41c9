// Package chaos breaks a whole installation on purpose: it kills the process at every crash point in the middle of a run,
// starts it again, and lets the provider's book judge. Its tests need the build tag "crash" and a binary built with the
// tag "crashpoints" (`make test/crash`).
package chaos
