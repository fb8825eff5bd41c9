// Package disburse sends payouts: it claims as many as may be in doubt at once, commits what it is about to do, calls the
// provider outside any transaction, and records the answers in batches as they come.
package disburse
