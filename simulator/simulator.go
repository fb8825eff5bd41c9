// Package simulator plays the companies that Agogo talks to: their documented HTTP, a book of the money that really moved,
// and faults on demand. It shares no code with the services, so that a mistake of theirs cannot repeat itself in here.
package simulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/calls"
	"github.com/agogopay/agogo/simulator/internal/cielo"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/fcm"
	"github.com/agogopay/agogo/simulator/internal/mtn"
	"github.com/agogopay/agogo/simulator/internal/orange"
	"github.com/agogopay/agogo/simulator/internal/sonatel"
	"github.com/agogopay/agogo/simulator/internal/wave"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// The providers, as they are named in rules, books and counts.
const (
	Orange  = orange.Provider
	Sonatel = sonatel.Provider
	MTN     = mtn.Provider
	Cielo   = cielo.Provider
	FCM     = fcm.Provider
	Wave    = wave.Provider
)

// Config sets the simulator up. The zero value is the strictest reading of each provider's documentation, in memory.
type Config struct {
	// Seed signs tokens: a simulator that is started again with the same seed accepts those it gave out before.
	Seed int64
	// Logger hears of what the simulator itself cannot do; nil is silence. Single calls are counted, not logged.
	Logger *slog.Logger
	// Clock is the simulated companies' time; nil is the machine's.
	Clock Clock
	// BookPath keeps the book in an append-only file, so that the truth survives the process; "" keeps it in memory.
	BookPath string
	Orange   OrangeConfig
	MTN      MTNConfig
	Sonatel  SonatelConfig
	Cielo    CieloConfig
	FCM      FCMConfig
	Wave     WaveConfig
}

// Clock is the simulated companies' time.
type Clock = wire.Clock

// OrangeConfig is what was agreed with Orange Money B2B.
type OrangeConfig = orange.Config

// Callback is where a provider posts final states to, and how.
type Callback = orange.Callback

// MTNConfig is what was agreed with MTN MoMo.
type MTNConfig = mtn.Config

// MTNCallback is how MTN's callbacks go out; where to is said with each transfer.
type MTNCallback = mtn.Callback

// SonatelConfig is what was agreed with Sonatel, and the account that pays there.
type SonatelConfig = sonatel.Config

// SonatelCallback is where Sonatel posts final states to, and by what it is known there.
type SonatelCallback = sonatel.Callback

// CieloConfig is what was agreed with the card gateway.
type CieloConfig = cielo.Config

// Webhook is where the card gateway posts notifications to, and with which static header.
type Webhook = cielo.Webhook

// FCMConfig is what the Firebase project has set up.
type FCMConfig = fcm.Config

// WaveConfig is what was agreed with Wave.
type WaveConfig = wave.Config

// Simulator is an http.Handler for all providers and for its own control API under /_control/.
type Simulator struct {
	mux       *http.ServeMux
	clock     Clock
	faults    *fault.Set
	latencies *fault.Latencies
	counter   *calls.Counter
	books     map[string]*book.Book
	journal   *book.Journal
	orange    *orange.Server
	mtn       *mtn.Server
	sonatel   *sonatel.Server
	cielo     *cielo.Server
	fcm       *fcm.Server
	wave      *wave.Server
}

// New makes a simulator; Close it to end its callbacks and its file. It fails only over the file at BookPath and over a
// callback that cannot be.
func New(cfg Config) (*Simulator, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = machine{}
	}
	s := &Simulator{
		mux: http.NewServeMux(), clock: cfg.Clock, latencies: &fault.Latencies{}, counter: &calls.Counter{},
		faults: fault.NewSet(fault.Catalogue{
			Orange: orange.Operations(), Sonatel: sonatel.Operations(), MTN: mtn.Operations(), Cielo: cielo.Operations(), FCM: fcm.Operations(),
			Wave: wave.Operations(),
		}),
		books: map[string]*book.Book{},
	}
	for _, name := range []string{Orange, Sonatel, MTN, Cielo, Wave} {
		s.books[name] = book.New(name)
	}
	if cfg.BookPath != "" {
		journal, err := book.Persist(cfg.BookPath, slices.Collect(maps.Values(s.books))...)
		if err != nil {
			return nil, err
		}
		s.journal = journal
	}
	s.orange = orange.New(cfg.Orange, orange.Deps{
		Book: s.books[Orange], Faults: s.faults, Latencies: s.latencies, Count: s.count(Orange), Clock: cfg.Clock,
		Logger: cfg.Logger, Seed: cfg.Seed,
	})
	s.mtn = mtn.New(cfg.MTN, mtn.Deps{
		Book: s.books[MTN], Faults: s.faults, Latencies: s.latencies, Count: s.count(MTN), Clock: cfg.Clock, Logger: cfg.Logger, Seed: cfg.Seed,
	})
	s.sonatel = sonatel.New(cfg.Sonatel, sonatel.Deps{
		Book: s.books[Sonatel], Faults: s.faults, Latencies: s.latencies, Count: s.count(Sonatel), Clock: cfg.Clock,
		Logger: cfg.Logger, Seed: cfg.Seed,
	})
	gateway, err := cielo.New(cfg.Cielo, cielo.Deps{
		Book: s.books[Cielo], Faults: s.faults, Latencies: s.latencies, Count: s.count(Cielo), Clock: cfg.Clock, Logger: cfg.Logger,
	})
	s.cielo = gateway
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the orders of %s: %w", Cielo, err), s.Close())
	}
	if s.wave, err = wave.New(cfg.Wave, wave.Deps{
		Book: s.books[Wave], Faults: s.faults, Latencies: s.latencies, Count: s.count(Wave), Clock: cfg.Clock, Logger: cfg.Logger,
	}); err != nil {
		return nil, errors.Join(fmt.Errorf("read the payouts of %s: %w", Wave, err), s.Close())
	}
	s.fcm = fcm.New(cfg.FCM, fcm.Deps{Faults: s.faults, Latencies: s.latencies, Count: s.count(FCM), Clock: cfg.Clock})
	if err := s.orange.SetCallback(cfg.Orange.Callback); err != nil {
		return nil, errors.Join(fmt.Errorf("the callback of %s: %w", Orange, err), s.Close())
	}
	if err := s.mtn.SetCallback(cfg.MTN.Callback); err != nil {
		return nil, errors.Join(fmt.Errorf("the callback of %s: %w", MTN, err), s.Close())
	}
	if err := s.sonatel.SetCallback(cfg.Sonatel.Callback); err != nil {
		return nil, errors.Join(fmt.Errorf("the callback of %s: %w", Sonatel, err), s.Close())
	}
	if err := s.cielo.SetWebhook(cfg.Cielo.Webhook); err != nil {
		return nil, errors.Join(fmt.Errorf("the webhook of %s: %w", Cielo, err), s.Close())
	}
	s.orange.Register(s.mux)
	s.mtn.Register(s.mux)
	s.sonatel.Register(s.mux)
	s.cielo.Register(s.mux)
	s.fcm.Register(s.mux)
	s.wave.Register(s.mux)
	s.registerControl()
	return s, nil
}

// ServeHTTP plays the provider that the path belongs to.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Close ends callbacks that are under way, waits for them and closes the file of the book.
func (s *Simulator) Close() error {
	s.orange.Close()
	s.mtn.Close()
	s.sonatel.Close()
	s.cielo.Close()
	if s.journal == nil {
		return nil
	}
	return s.journal.Close()
}

func (s *Simulator) count(provider string) wire.Count {
	return func(operation, outcome string) { s.counter.Add(provider, operation, outcome) }
}

// machine is the machine's clock. The simulator has its own, as the companies that it plays have.
type machine struct{}

func (machine) Now() time.Time { return time.Now() }

func (machine) Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
