// Package webhook takes in what providers post: authenticated over the raw bytes, stored before the 200, deduplicated, and
// matched later to what it is about, even when it arrives before our own commit. What a webhook says is only a hint: unless it
// repeats what is proven already, it makes the state be read again from the provider, in every mode, sandbox included.
package webhook

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/retention"
	"github.com/agogopay/agogo/internal/telemetry"
	"github.com/agogopay/agogo/internal/webhook/db"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the table of webhooks.
var Migrations = pg.Set{Name: "webhook", FS: migrations, Dir: "migrations"}

// MaxBody is the largest body that is read.
const MaxBody = 64 << 10

// Source is one address that may post: a tenant's provider.
type Source struct {
	Tenant   string
	Provider string
	Verifier provider.WebhookVerifier
}

// Notice is a reference that a webhook speaks of, and what it says of it; nothing when that was not understood.
type Notice struct {
	Reference string
	Says      provider.Found
}

// Fate is what became of a notice.
type Fate int

// The fates. What is unknown may be known later, when our own commit is slower than the webhook; what is busy is being
// recorded at this moment.
const (
	Unknown Fate = iota
	Busy
	Known // and nothing new
	Asked // its state is read again from the provider soon
)

// Lost is a webhook that was given up. It stays in the table, body and all, as long as any other.
type Lost struct {
	Tenant   string
	Provider string
	ID       string // its row, and when it came
}

// Matcher looks, in tx, for what the notices are about, and has the state of what they bring news of read again. A reference
// that is missing from the result is unknown.
type Matcher func(ctx context.Context, tx pgx.Tx, tenant, provider string, notices []Notice) (map[string]Fate, error)

// Deps are what the receiver needs.
type Deps struct {
	Pool     *pgxpool.Pool
	Clock    clock.Clock
	Logger   *slog.Logger
	Registry prometheus.Registerer
	Match    Matcher
	// GivenUp tells people, in tx, of webhooks that nothing here knows the references of after a day; it may be nil.
	GivenUp func(ctx context.Context, tx pgx.Tx, lost []Lost) error
	// Matched is called after a commit that has something read again; it may be nil.
	Matched func()
}

// Receiver is the HTTP handler and the worker behind it.
type Receiver struct {
	Deps
	service string
	sources map[[2]string]provider.WebhookVerifier
	counted *prometheus.CounterVec
	stored  chan struct{}
	inserts group
}

// New makes a receiver for POST /webhooks/<service>/{tenant}/{provider}.
func New(service string, sources []Source, d Deps) *Receiver {
	r := &Receiver{
		Deps: d, service: service, sources: make(map[[2]string]provider.WebhookVerifier, len(sources)), stored: make(chan struct{}, 1),
		counted: telemetry.Shared(d.Registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_webhooks_total", Help: "Incoming webhooks by what became of them.",
		}, []string{"provider", "outcome"})),
	}
	r.inserts.flush = r.insert
	for _, s := range sources {
		r.sources[[2]string{s.Tenant, s.Provider}] = s.Verifier
		for _, outcome := range [...]string{"forged", "stale", "unreadable"} {
			r.counted.WithLabelValues(s.Provider, outcome) // a series that begins with its first refusals has not increased by them
		}
	}
	return r
}

// Pattern is where the receiver belongs in a http.ServeMux.
func (r *Receiver) Pattern() string { return "/webhooks/" + r.service + "/{tenant}/{provider}" }

// KeyedPattern is where it belongs too, for providers whose address carries a secret; see [provider.AddressKey].
func (r *Receiver) KeyedPattern() string { return r.Pattern() + "/{key}" }

// ServeHTTP answers 200 only when the webhook is stored. Anything else tells the provider to try again or that it is not
// welcome; the body never says why, since the caller may be anybody.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	tenant, name := req.PathValue("tenant"), req.PathValue("provider")
	verifier, ok := r.sources[[2]string{tenant, name}]
	if !ok {
		r.refuse(w, req, "unknown", "unknown_source", http.StatusNotFound)
		return
	}
	if req.Method != http.MethodPost && req.Method != http.MethodPut { // some providers put what others post
		w.Header().Set("Allow", "POST, PUT")
		r.refuse(w, req, name, "wrong_method", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, MaxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		r.refuse(w, req, name, "oversized", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		r.refuse(w, req, name, "broken_off", http.StatusBadRequest)
		return
	}
	req.Header.Set(provider.AddressKey, req.PathValue("key"))
	references, err := verifier.Verify(req.Header, body)
	switch {
	case errors.Is(err, provider.ErrUnreadable), err == nil && len(references) == 0: // nothing could ever be matched with it
		r.refuse(w, req, name, "unreadable", http.StatusBadRequest)
	case errors.Is(err, provider.ErrStale):
		r.refuse(w, req, name, "stale", http.StatusUnauthorized)
	case err != nil:
		r.refuse(w, req, name, "forged", http.StatusUnauthorized)
	default:
		r.keep(w, req, tenant, name, body, references)
	}
}

func (r *Receiver) keep(w http.ResponseWriter, req *http.Request, tenant, name string, body []byte, references []string) {
	outcome, err := r.inserts.add(req.Context(), &entry{tenant: tenant, provider: name, digest: sha256.Sum256(body), body: body, refs: references})
	if err != nil {
		r.Logger.ErrorContext(req.Context(), "webhook: not stored, the provider has to send it again", "tenant", tenant, "provider", name, "error", err)
		r.refuse(w, req, name, "not_stored", http.StatusServiceUnavailable)
		return
	}
	r.counted.WithLabelValues(name, outcome).Inc()
	select {
	case r.stored <- struct{}{}:
	default:
	}
	w.WriteHeader(http.StatusOK)
}

func (r *Receiver) refuse(w http.ResponseWriter, req *http.Request, name, outcome string, code int) {
	r.counted.WithLabelValues(name, outcome).Inc()
	r.Logger.WarnContext(req.Context(), "webhook: refused", "provider", name, "outcome", outcome, "status", code)
	http.Error(w, http.StatusText(code), code)
}

// Retention forgets raw bodies, which hold personal data, once they are of no use.
func (r *Receiver) Retention() retention.Rule {
	return retention.Rule{Rows: "webhooks", Delete: func(ctx context.Context, limit int32) (int64, error) {
		n, err := db.New(r.Pool).ForgetWebhooks(ctx, db.ForgetWebhooksParams{Before: r.Clock.Now().Add(-keepFor), Batch: limit})
		if err != nil {
			return n, fmt.Errorf("forget old webhooks: %w", err)
		}
		return n, nil
	}}
}
