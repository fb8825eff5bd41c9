// Package command names the payouts service in the subjects of its commands and events.
package command

// Service is the third token of the subjects.
const Service = "payouts"
