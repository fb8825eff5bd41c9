package config

import "regexp"

// orangeSonatel is Orange Money Senegal.
func orangeSonatel() kind {
	return kind{
		service: "payouts",
		fields: func(l *loader, p *Provider) []field {
			return []field{
				required("token_url", l.httpURL(&p.TokenURL)),
				required("client_id", l.text(&p.ClientID, nil)),
				required("client_secret", l.secret(&p.ClientSecret)),
				required("retailer_number", l.text(&p.RetailerNumber, checkRetailer)),
				required("pin", l.secret(&p.PIN)),
				optional("callback_key", l.secret(&p.CallbackKey)),
				optional("callback_secret", l.secret(&p.CallbackSecret)),
				optional("callback_url", l.httpURL(&p.CallbackURL)),
			}
		},
		defaults: func(*Provider) {},
		check: func(l *loader, v at, p Provider) {
			if (p.CallbackKey == "") != (p.CallbackSecret == "") || p.CallbackURL != "" && p.CallbackKey == "" {
				l.fail(v, "has some of callback_key, callback_secret and callback_url: write the first two, with or without the third, or none to take no callbacks")
			}
		},
	}
}

var retailer = regexp.MustCompile(`^[0-9]{9}$`)

// checkRetailer never repeats what was written: it is somebody's telephone number.
func checkRetailer(s string) string {
	if retailer.MatchString(s) {
		return ""
	}
	return "is not a retailer's number: write its nine digits without country code, in quotes"
}
