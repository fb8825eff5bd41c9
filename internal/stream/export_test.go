package stream

// Limits is tested directly, because a real server cannot be given old messages.
var Limits = limits

// Covers and RetryDelay are pure and have more cases than a server should be asked for.
var (
	Covers       = covers
	RetryDelay   = retryDelay
	LastDelivery = lastDelivery
)
