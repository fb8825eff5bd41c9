package orangeomr

import (
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/money"
)

// profile is what differs between the countries of the platform: whose wallets are paid, in which money, and how a number is
// written there. What a country's contract says otherwise is configuration.
type profile struct {
	code     int            // of the country's telephone numbers; 0: any
	currency money.Currency // "": any
	national bool           // numbers with the trunk prefix that is dialled within the country
}

// sandbox is the segment of Orange's sandbox, which is no country: the letters are Sint Maarten's elsewhere.
const sandbox = "sx"

// currencies are those of the countries that this surface was seen in or is likeliest in, where one is beyond doubt. In cd
// two are in use, and no document says which.
func currencies() map[string]money.Currency {
	return map[string]money.Currency{"ci": "XOF", "gn": "GNF"}
}

// profileOf reads a country's profile: its number's code from the telephone library, the rest from the configuration.
func profileOf(c config.Provider) profile {
	p := profile{currency: money.Currency(c.Currency), national: c.MSISDNFormat == "national"}
	country := config.Country(c)
	if country == "" || country == sandbox {
		return p
	}
	p.code = phonenumbers.GetCountryCodeForRegion(strings.ToUpper(country)) // 0 for letters that are no country's
	if p.currency == "" {
		p.currency = currencies()[country]
	}
	return p
}

// local is an E.164 number as Orange calls an msisdn: without its country code, leading zero included where it belongs to the
// number. code is why it cannot be paid here, "" if it can: a number of another country would be a stranger's, or nobody's.
func (p profile) local(e164 string) (number, code string) {
	n, err := phonenumbers.Parse(e164, "")
	switch {
	case err != nil:
		return "", "wallet_number_invalid"
	case p.code != 0 && int(n.GetCountryCode()) != p.code:
		return "", "wallet_of_another_country"
	case p.national:
		return phonenumbers.NormalizeDigitsOnly(phonenumbers.Format(n, phonenumbers.NATIONAL)), ""
	default:
		return phonenumbers.GetNationalSignificantNumber(n), ""
	}
}

// serves reports whether a currency is paid here.
func (p profile) serves(c money.Currency) bool { return p.currency == "" || p.currency == c }
