// Package webhook takes in what providers post: authenticated over the raw bytes, stored before the 200, deduplicated, and
// matched later to what it is about, even when it arrives before our own commit. What a webhook says is only a hint: it makes
// the state be read again from the provider, in every mode, sandbox included.
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
	"time"

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

// Matcher looks, in tx, for what the references are about, has its state read again from the provider soon, and returns
// the references that it knows.
type Matcher func(ctx context.Context, tx pgx.Tx, tenant, provider string, references []string) (known []string, err error)

// Deps are what the receiver needs.
type Deps struct {
	Pool     *pgxpool.Pool
	Clock    clock.Clock
	Logger   *slog.Logger
	Registry prometheus.Registerer
	Match    Matcher
	// Matched is called after a commit that matched something; it may be nil.
	Matched func()
}

// Receiver is the HTTP handler and the worker behind it.
type Receiver struct {
	Deps
	service string
	sources map[[2]string]provider.WebhookVerifier
	counted *prometheus.CounterVec
	stored  chan struct{}
}

// New makes a receiver for POST /webhooks/<service>/{tenant}/{provider}.
func New(service string, sources []Source, d Deps) *Receiver {
	r := &Receiver{
		Deps: d, service: service, sources: make(map[[2]string]provider.WebhookVerifier, len(sources)), stored: make(chan struct{}, 1),
		counted: telemetry.Shared(d.Registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agogo_webhooks_total", Help: "Incoming webhooks by what became of them.",
		}, []string{"provider", "outcome"})),
	}
	for _, s := range sources {
		r.sources[[2]string{s.Tenant, s.Provider}] = s.Verifier
	}
	return r
}

// Pattern is where the receiver belongs in a http.ServeMux.
func (r *Receiver) Pattern() string { return "/webhooks/" + r.service + "/{tenant}/{provider}" }

// ServeHTTP answers 200 only when the webhook is stored. Anything else tells the provider to try again or that it is not
// welcome; the body never says why, since the caller may be anybody.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	tenant, name := req.PathValue("tenant"), req.PathValue("provider")
	verifier, ok := r.sources[[2]string{tenant, name}]
	if !ok {
		r.refuse(w, req, "unknown", "unknown_source", http.StatusNotFound)
		return
	}
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
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
	references, err := verifier.Verify(req.Header, body)
	switch {
	case errors.Is(err, provider.ErrUnreadable):
		r.refuse(w, req, name, "unreadable", http.StatusBadRequest)
	case err != nil:
		r.refuse(w, req, name, "forged", http.StatusUnauthorized)
	default:
		r.keep(w, req, tenant, name, body, references)
	}
}

func (r *Receiver) keep(w http.ResponseWriter, req *http.Request, tenant, name string, body []byte, references []string) {
	digest := sha256.Sum256(body)
	now := r.Clock.Now()
	stored, err := db.New(r.Pool).InsertWebhook(req.Context(), db.InsertWebhookParams{
		Tenant: tenant, Provider: name, Digest: digest[:], Body: body, Refs: references, Now: now,
	})
	if err != nil {
		r.Logger.ErrorContext(req.Context(), "webhook: not stored, the provider has to send it again", "tenant", tenant, "provider", name, "error", err)
		r.refuse(w, req, name, "not_stored", http.StatusServiceUnavailable)
		return
	}
	outcome := "stored"
	if stored == 0 {
		outcome = "duplicate"
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

// Patience of the worker: a webhook may be faster than the commit it is about, but not by a day.
const (
	poll      = time.Second
	batchSize = 100
	giveUp    = 24 * time.Hour
	keepFor   = 30 * 24 * time.Hour
)

// Run matches stored webhooks until ctx ends.
func (r *Receiver) Run(ctx context.Context) error {
	for {
		more, err := r.Step(ctx)
		if err != nil && ctx.Err() == nil {
			r.Logger.ErrorContext(ctx, "webhook: matching failed, trying again", "error", err)
		}
		if more && err == nil {
			continue
		}
		if !r.wait(ctx) {
			return ctx.Err()
		}
	}
}

// wait returns true when there may be work: one was stored, or the poll interval passed.
func (r *Receiver) wait(ctx context.Context) bool {
	nap, cancel := context.WithCancel(ctx)
	defer cancel()
	slept := make(chan struct{})
	go func() {
		defer close(slept)
		_ = r.Clock.Sleep(nap, poll)
	}()
	select {
	case <-r.stored:
	case <-slept:
	}
	cancel()
	<-slept
	return ctx.Err() == nil
}

// Step matches one batch and reports whether there may be more.
func (r *Receiver) Step(ctx context.Context) (more bool, err error) {
	matched := false
	err = pg.InTx(ctx, r.Pool, func(tx pgx.Tx) error {
		matched = false
		due, err := db.New(tx).ClaimWebhooks(ctx, db.ClaimWebhooksParams{Now: r.Clock.Now(), BatchSize: batchSize})
		if err != nil {
			return err
		}
		more = len(due) == batchSize
		for source, hooks := range bySource(due) {
			hit, err := r.match(ctx, tx, source, hooks)
			if err != nil {
				return err
			}
			matched = matched || hit
		}
		return nil
	})
	if err == nil && matched && r.Matched != nil {
		r.Matched()
	}
	return more, err
}

func bySource(hooks []db.ClaimWebhooksRow) map[[2]string][]db.ClaimWebhooksRow {
	m := map[[2]string][]db.ClaimWebhooksRow{}
	for _, h := range hooks {
		k := [2]string{h.Tenant, h.Provider}
		m[k] = append(m[k], h)
	}
	return m
}

// match hands the references of one source over together and records per webhook what became of it.
func (r *Receiver) match(ctx context.Context, tx pgx.Tx, source [2]string, hooks []db.ClaimWebhooksRow) (bool, error) {
	var references []string
	for _, h := range hooks {
		references = append(references, h.Refs...)
	}
	found, err := r.Match(ctx, tx, source[0], source[1], references)
	if err != nil {
		return false, err
	}
	known := make(map[string]bool, len(found))
	for _, f := range found {
		known[f] = true
	}
	now := r.Clock.Now()
	set := db.SetWebhooksParams{}
	for _, h := range hooks {
		state, next := r.judge(ctx, h, known, now)
		set.Ids, set.States, set.NextTries = append(set.Ids, h.ID), append(set.States, state), append(set.NextTries, next)
	}
	return len(found) > 0, db.New(tx).SetWebhooks(ctx, set)
}

// judge says what becomes of a webhook: matched when all it names is known, tried again for a day, then given up aloud.
func (r *Receiver) judge(ctx context.Context, h db.ClaimWebhooksRow, known map[string]bool, now time.Time) (state string, next time.Time) {
	all := true
	for _, ref := range h.Refs {
		all = all && known[ref]
	}
	age := now.Sub(h.ReceivedAt)
	switch {
	case all:
		r.counted.WithLabelValues(h.Provider, "matched").Inc()
		return "matched", now
	case age < giveUp:
		return "received", now.Add(min(max(age, poll), time.Hour))
	default:
		r.counted.WithLabelValues(h.Provider, "unmatched").Inc()
		r.Logger.WarnContext(ctx, "webhook: nothing here has its references", "tenant", h.Tenant, "provider", h.Provider, "webhook", h.ID)
		return "unmatched", now
	}
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
