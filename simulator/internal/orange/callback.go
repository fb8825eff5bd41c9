package orange

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/agogopay/agogo/simulator/internal/book"
	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

const (
	answerWithin   = 5 * time.Second // what the platform grants a callback's receiver
	maxOutstanding = 10_000          // callbacks that wait or are under way; more are lost, as redelivery is promised nowhere
	atOnce         = 32
)

// callbacks posts final states to the address that was set at provisioning.
type callbacks struct {
	count  wire.Count
	clock  wire.Clock
	logger *slog.Logger
	client *http.Client
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	slots  chan struct{}
	places chan struct{}

	mu     sync.Mutex
	closed bool
	cfg    Callback
}

// delivery is one POST.
type delivery struct {
	url, authorization string
	kind               string // for the counts
	wait               time.Duration
	body               func() []byte
}

func newCallbacks(cfg Callback, deps Deps) *callbacks {
	// Callbacks outlive the requests that cause them; close ends them.
	ctx, cancel := context.WithCancel(context.Background())
	return &callbacks{
		count: deps.Count, clock: deps.Clock, logger: deps.Logger, cfg: cfg, ctx: ctx, cancel: cancel,
		client: &http.Client{Timeout: answerWithin, Transport: &http.Transport{MaxIdleConnsPerHost: atOnce}},
		slots:  make(chan struct{}, atOnce), places: make(chan struct{}, maxOutstanding),
	}
}

func (c *callbacks) set(cfg Callback) error {
	if err := fault.CheckCallback(cfg.Mode); err != nil {
		return err
	}
	if u, err := url.Parse(cfg.URL); err != nil || cfg.URL != "" && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return fmt.Errorf("%q is no http or https address", cfg.URL)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cfg = cfg
	return nil
}

func (c *callbacks) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
	c.client.CloseIdleConnections()
}

// callbacksFor says what will be posted about a payment: before the answer, and after it.
func (s *Server) callbacksFor(e book.Entry, settles time.Time, rule fault.Rule) (before, after []delivery) {
	s.callbacks.mu.Lock()
	cfg := s.callbacks.cfg
	s.callbacks.mu.Unlock()
	mode := or(rule.Callback, cfg.Mode)
	if cfg.URL == "" || mode == "never" {
		return nil, nil
	}
	real := delivery{url: cfg.URL, authorization: cfg.Authorization, kind: "delivered", body: func() []byte { return s.now(e) }}
	if mode == "forged" {
		after = append(after, s.forgery(e, cfg))
	}
	if e.Status == book.Pending {
		if settles.IsZero() {
			return nil, after
		}
		real.wait = lateness(settles, s.Clock.Now())
	}
	switch {
	case mode == "early" && e.Status != book.Pending:
		return []delivery{real}, after
	case mode == "duplicated":
		after = append(after, real, real)
	case mode == "late":
		real.wait += or(cfg.Delay, 2*time.Second)
		after = append(after, real)
	default:
		after = append(after, real)
	}
	return nil, after
}

// now is the payment as it is when the callback leaves.
func (s *Server) now(e book.Entry) []byte {
	if current, ok, err := s.Book.Lookup(e.Reference, s.Clock.Now()); err == nil && ok {
		e = current
	}
	return s.transaction(e, false)
}

// forgery is what anybody can send who learnt the address: the opposite of the truth, without the agreed header.
func (s *Server) forgery(e book.Entry, cfg Callback) delivery {
	lie := e
	lie.Text, lie.Message = "", ""
	if e.Status == book.Success {
		lie.Status, lie.Message = book.Failed, messageFailed
	} else {
		lie.Status = book.Success
	}
	return delivery{url: cfg.URL, authorization: "Basic Zm9yZ2VyOmZvcmdlZA==", kind: "forged", body: func() []byte { return s.transaction(lie, false) }}
}

// start posts in the background, in no order.
func (c *callbacks) start(all []delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range all {
		select {
		case c.places <- struct{}{}:
		default:
			c.count("callback", "lost")
			continue
		}
		if c.closed {
			<-c.places
			return
		}
		c.wg.Go(func() {
			defer func() { <-c.places }()
			if c.clock.Sleep(c.ctx, d.wait) != nil {
				return
			}
			c.slots <- struct{}{}
			defer func() { <-c.slots }()
			c.deliver(c.ctx, d)
		})
	}
}

func (c *callbacks) deliver(ctx context.Context, d delivery) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	outcome := d.kind
	if err := c.post(ctx, d); err != nil {
		outcome += "_refused"
		c.logger.DebugContext(ctx, "simulator: callback not taken", "error", err)
	}
	c.count("callback", outcome)
}

func (c *callbacks) post(ctx context.Context, d delivery) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(d.body()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", d.authorization)
	answer, err := c.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("status %d", answer.StatusCode)
	}
	return nil
}
