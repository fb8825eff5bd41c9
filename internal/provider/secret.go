package provider

import (
	"crypto/sha256"
	"crypto/subtle"
)

// SameSecret compares in constant time, whatever the lengths, and an unset secret equals nothing.
func SameSecret(given, want string) bool {
	if want == "" {
		return false
	}
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
