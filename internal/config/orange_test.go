package config

import "testing"

// The country is the key's, or that of an address in the platform's form; anything else is no country.
func TestCountry(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"https://api.orange.com/orange-money-b2b/v1/ci": "ci", "https://api.orange.com/orange-money-b2b/v1/sx/": "sx", "http://127.0.0.1:9900/v2/gn": "gn",
		"https://proxy.example/om": "", "https://api.example/v1": "", "https://api.example/v1/CI": "", "": "",
	} {
		if got := Country(Provider{BaseURL: address}); got != want {
			t.Errorf("%s is in %q, want %q", address, got, want)
		}
		if got := Country(Provider{BaseURL: address, Country: "cd"}); got != "cd" {
			t.Errorf("%s with a key is in %q", address, got)
		}
	}
}
