package rpc

import (
	"encoding/base64"
	"encoding/json"
)

const (
	defaultPage = 100
	largestPage = 1000
	maxToken    = 4096
)

// PageSize bounds a requested page size (0: 100).
func PageSize(requested int32) int {
	if requested <= 0 {
		return defaultPage
	}
	return min(int(requested), largestPage)
}

// CutPage cuts the row that was only read to learn whether there is a next page.
func CutPage[T any](rows []T, size int) (cut []T, more bool) {
	if len(rows) > size {
		return rows[:size], true
	}
	return rows, false
}

// PageToken and ParsePageToken carry an opaque keyset cursor of strings.
func PageToken(key ...string) string {
	if key == nil {
		key = []string{}
	}
	b, err := json.Marshal(key)
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParsePageKey is ParsePageToken of a list that goes on behind one key; "" is its beginning.
func ParsePageKey(token string) (string, error) {
	key, err := ParsePageToken(token, 1)
	if err != nil || key == nil {
		return "", err
	}
	return key[0], nil
}

// ParsePageToken returns nil for "", else the key; a token that is not ours is an Invalid error.
func ParsePageToken(token string, fields int) ([]string, error) {
	if token == "" {
		return nil, nil
	}
	bad := Invalid("page_token", "is not one that this list gave: begin again without it")
	if len(token) > maxToken {
		return nil, bad
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, bad
	}
	var key []string
	if err := json.Unmarshal(b, &key); err != nil || len(key) != fields {
		return nil, bad
	}
	return key, nil
}
