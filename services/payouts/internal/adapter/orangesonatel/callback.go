package orangesonatel

import (
	"fmt"
	"net/http"

	"github.com/agogopay/agogo/internal/provider"
)

// separator stands between the time and the body in what is signed.
const separator = ","

// Verify checks both credentials of a callback: the key that we registered with its address, and the signature over the raw body.
// Whoever has registered neither lets nobody in.
//
// What is refused does not come again: the platform takes a 4xx for our last word. Nothing is lost by it, since lookups
// ask about every payment that is open, callback or not.
func (a *Adapter) Verify(h http.Header, body []byte) ([]string, error) {
	keyed := a.cfg.CallbackKey != "" && provider.SameSecret(h.Get("Authorization"), "Basic "+a.cfg.CallbackKey)
	err := provider.Signed(h.Get("X-Sonatel-Signature"), a.cfg.CallbackSecret, separator, body, a.clock.Now())
	if !keyed {
		return nil, provider.ErrForged
	}
	if err != nil {
		return nil, err
	}
	tx, err := parseTransaction(body)
	if err != nil || tx.Reference == "" {
		return nil, fmt.Errorf("%w: no reference", provider.ErrUnreadable)
	}
	return []string{tx.Reference}, nil
}

// Read is what a callback says of its transaction, when it says all of it.
func (a *Adapter) Read(body []byte) map[string]provider.Found {
	tx, err := parseTransaction(body)
	if err != nil || tx.Reference == "" || tx.Customer.ID == "" || tx.Status == "" {
		return nil
	}
	said := a.found(tx)
	if said.Amount == nil {
		return nil
	}
	return map[string]provider.Found{tx.Reference: said}
}
