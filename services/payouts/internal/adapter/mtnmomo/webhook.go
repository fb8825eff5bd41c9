package mtnmomo

import (
	"fmt"
	"net/http"

	"github.com/agogopay/agogo/internal/provider"
)

// Verify checks the secret of the address that the callback was sent to: MTN signs nothing and sends no header of ours. Without
// one configured nobody is let in.
func (a *Adapter) Verify(h http.Header, body []byte) ([]string, error) {
	if !provider.SameSecret(h.Get(provider.AddressKey), a.cfg.CallbackKey) {
		return nil, provider.ErrForged
	}
	t, err := parseTransfer(body)
	if err != nil || t.ExternalID == "" {
		return nil, fmt.Errorf("%w: no externalId", provider.ErrUnreadable)
	}
	return []string{string(t.ExternalID)}, nil
}

// Read is what a callback says of its transfer, when it says all of it.
func (a *Adapter) Read(body []byte) map[string]provider.Found {
	t, err := parseTransfer(body)
	if err != nil || t.ExternalID == "" || t.Status == "" {
		return nil
	}
	f := a.found(t)
	if f.Amount == nil || f.Destination == "" {
		return nil
	}
	return map[string]provider.Found{string(t.ExternalID): f}
}
