// Package outcome applies what became of attempts to their payouts and to the books: sends that were answered, lookups,
// takeovers, and people's decisions all end here, so that one attempt state always means one payout state and one set of
// postings.
package outcome
