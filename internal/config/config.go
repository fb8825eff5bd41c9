// Package config loads the tenants file (AGOGO_CONFIG) and the environment of a process. It is strict: an unknown key,
// kind, zone, currency, cron expression or job, or a missing secret, is an error that names file, line and remedy.
package config

import (
	"crypto/sha256"
	"time"

	"github.com/agogopay/agogo/internal/daybook"
	"github.com/agogopay/agogo/internal/money"
)

// File is the tenants file.
type File struct {
	Path     string
	Tenants  []Tenant
	Notifier Notifier
	Auth     Auth
	Reports  Reports
}

// Reports configures what leaves Agogo signed.
type Reports struct {
	// SigningKey is nil where none is given: no day can be closed then.
	SigningKey *daybook.Key
}

// Tenant is one customer of this installation.
type Tenant struct {
	ID       string
	Timezone string
	Location *time.Location
	Currency money.Currency
	Locale   string
	Mode     string // sandbox or live
	Payouts  *Payouts
	// Recurrences is nil for a tenant that charges nobody.
	Recurrences *Recurrences
	Providers   map[string]Provider
	Schedules   []Schedule
}

// Payouts are the rules of a tenant's payouts. Amounts are in minor units; an absent limit is off (zero value, or nil
// where zero means something).
type Payouts struct {
	CommissionBPS         int64
	Minimum               int64
	DefaultProvider       string
	PayableMethods        []string
	MaxPerPayout          int64
	DailyCap              int64
	PayeeDailyCap         int64
	AcceptFrom            string // local date, YYYY-MM-DD; "" accepts all
	PauseAboveFailureRate float64
	OnFailures            string // pause, hold, continue: what a batch does that fails above the rate; pause
	PausePayeeAfter       int
	MaxAttempts           int // sends per payout that count; the file's default is 3
	Approval              Approval
	// A payee's wallet that replaces another one waits for a second person, and so long from its import; 24h. 0: not.
	DestinationCoolOff time.Duration
	// ConfirmFirstDestination has a payee's first wallet confirmed, too.
	ConfirmFirstDestination bool
	// FloatCheck is how often providers' balances are compared with what the next run will need; 15m. 0: they are not read at all.
	FloatCheck time.Duration
}

// Recurrences are the rules of a tenant's recurring charges.
type Recurrences struct {
	MaxRetries       int      // after the first attempt; 3
	RetryDays        []int    // after the day of the first attempt; 1, 3, 7
	CatchUpDays      int      // a charge date this late is still charged; 7
	BusinessDay      string   // none, following, modified_following, preceding; none
	Holidays         []string // local dates beside weekends, YYYY-MM-DD
	CardFailureLimit int      // straight failures that invalidate a card; 5
	CleanupAfterDays int      // 180
	DefaultGateway   string
}

// Provider is a tenant's connector. Common keys first, then those of single kinds.
type Provider struct {
	Name         string
	Kind         string
	BaseURL      string
	TokenURL     string
	RatePerSec   int
	Concurrency  int
	Timeout      time.Duration
	QuietTime    time.Duration
	LookupAfter  []time.Duration
	ReviewAfter  time.Duration
	RetryAfter   []time.Duration
	Deduplicates bool
	// VerifyRecipients says whether the provider is asked about a wallet before anything is paid into it, and how much its answer must
	// say: one of the words Verify….
	VerifyRecipients string

	// orange_omr
	ClientID              string
	ClientSecret          string
	PosID                 string
	CallbackAuthorization string
	FormsStep             bool
	// Country is that of the wallets, if the address does not end with it (see [Country]); Currency the one that is paid there, ""
	// for the country's.
	Country             string
	Currency            string
	MSISDNFormat        string // significant (the default) or national
	SkipActivationCheck bool
	Statuses            map[string]string // words of a contract beside the documented ones: pending, succeeded or failed

	// mtn_momo
	APIUser           string
	APIKey            string // of wave, too
	SubscriptionKey   string
	TargetEnvironment string // MTN's word for the country
	// CallbackURL is our address as MTN reaches it, and CallbackKey the secret segment behind it; without them there are no callbacks.
	// orange_sonatel has both, too: its key is a header's, and without an address callbacks go where they were registered.
	CallbackURL string
	CallbackKey string
	// orange_sonatel, beside client_id and client_secret. A PIN is in no log, event or trace, encrypted or not.
	RetailerNumber string
	PIN            string
	// CallbackSecret authenticates callbacks beside CallbackKey; without them callbacks are refused.
	CallbackSecret string

	// cielo
	QueryURL    string
	MerchantID  string
	MerchantKey string
	// WebhookHeader and WebhookSecret are the static header that Cielo sends back to us; without them webhooks are refused.
	WebhookHeader  string
	WebhookSecret  string
	SoftDescriptor string

	// wave
	SigningSecret      string // "" where requests are not signed
	AggregatedMerchant string // "" for none
}

// Schedule is a cron rule of the tenants file.
type Schedule struct {
	Name          string
	Service       string // from Job
	Job           string // "payouts/daily"
	Cron          string
	CatchUp       string        // all, latest, skip; default: latest, payouts/daily: all
	CatchUpWindow time.Duration // 0: no limit
	CatchUpCap    int           // most ticks caught up at once; the file's default is 366
}

// Notifier configures pushes.
type Notifier struct {
	FCM FCM
}

// FCM is Firebase Cloud Messaging.
type FCM struct {
	ProjectID   string
	Endpoint    string
	Credentials string // path of a service account file, or "" for none (a simulator)
}

// Auth lists static bearer tokens.
type Auth struct {
	Tokens []Token
}

// TokenHash is the SHA-256 of a bearer token.
type TokenHash [sha256.Size]byte

// Token is a bearer token and what it may do.
type Token struct {
	Name    string
	Role    string   // viewer, operator, approver, admin
	Tenants []string // "*" for all
	// Hash is all that is kept of a token of the file; Secret is one that the program made itself, without a hash.
	Hash   TokenHash
	Secret string
}

// Digest is the hash that the token is known by, or the zero one.
func (t Token) Digest() TokenHash {
	if t.Hash == (TokenHash{}) && t.Secret != "" {
		return HashToken(t.Secret)
	}
	return t.Hash
}

// Tenant finds a tenant by id.
func (f *File) Tenant(id string) (Tenant, bool) {
	for _, t := range f.Tenants {
		if t.ID == id {
			return t, true
		}
	}
	return Tenant{}, false
}

// IDs lists the tenants in the file's order.
func (f *File) IDs() []string {
	ids := make([]string, len(f.Tenants))
	for i, t := range f.Tenants {
		ids[i] = t.ID
	}
	return ids
}

// Mode is the mode of a tenant, or "" of one that the file does not have. It stands in answers, so that nobody takes one for
// the other.
func (f *File) Mode(tenant string) string {
	t, _ := f.Tenant(tenant)
	return t.Mode
}
