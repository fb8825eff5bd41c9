// Package callback posts what providers tell those who provisioned an address: in the background, in no order, and once.
package callback

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

const (
	answerWithin   = 5 * time.Second // what providers grant a callback's receiver
	maxOutstanding = 10_000          // callbacks that wait or are under way; more are lost, as redelivery is promised nowhere
	atOnce         = 32
)

// Delivery is one call with JSON.
type Delivery struct {
	Method string // POST if ""
	URL    string
	Header http.Header
	Kind   string // for the counts
	Wait   time.Duration
	Body   func() []byte // asked when the callback leaves
	// Sign adds what depends on the body and the moment; nil adds nothing.
	Sign func(h http.Header, body []byte)
	// Repeats is how often it is posted again when nobody answers or with a server error: any other answer is the last word.
	Repeats     int
	RepeatAfter time.Duration
}

// Poster posts for one provider. Close it to end what is under way.
type Poster struct {
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
}

// New makes a poster.
func New(count wire.Count, clock wire.Clock, logger *slog.Logger) *Poster {
	// Callbacks outlive the requests that cause them; Close ends them.
	ctx, cancel := context.WithCancel(context.Background())
	return &Poster{
		count: count, clock: clock, logger: logger, ctx: ctx, cancel: cancel,
		client: &http.Client{Timeout: answerWithin, Transport: &http.Transport{MaxIdleConnsPerHost: atOnce}},
		slots:  make(chan struct{}, atOnce), places: make(chan struct{}, maxOutstanding),
	}
}

// Check says what is wrong with an address and a mode; an empty address is none.
func Check(address, mode string) error {
	if err := fault.CheckCallback(mode); err != nil {
		return err
	}
	if u, err := url.Parse(address); err != nil || address != "" && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return fmt.Errorf("%q is no http or https address", address)
	}
	return nil
}

// Close ends callbacks that are under way and waits for them.
func (p *Poster) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.wg.Wait()
	p.client.CloseIdleConnections()
}

// Start posts in the background.
func (p *Poster) Start(all []Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range all {
		select {
		case p.places <- struct{}{}:
		default:
			p.count("callback", "lost")
			continue
		}
		if p.closed {
			<-p.places
			return
		}
		p.wg.Go(func() {
			defer func() { <-p.places }()
			if p.clock.Sleep(p.ctx, d.Wait) != nil {
				return
			}
			for p.attempt(d) && d.Repeats > 0 && p.clock.Sleep(p.ctx, d.RepeatAfter) == nil {
				d.Repeats--
			}
		})
	}
}

// attempt posts when a slot is free, and reports whether there was no answer that ends it.
func (p *Poster) attempt(d Delivery) (again bool) {
	p.slots <- struct{}{}
	defer func() { <-p.slots }()
	return p.Deliver(p.ctx, d)
}

// Deliver posts now and waits for the answer. It reports whether there was none, or that of a server in trouble.
func (p *Poster) Deliver(ctx context.Context, d Delivery) (unanswered bool) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	outcome := d.Kind
	if err := p.post(ctx, d); err != nil {
		var status refusal
		unanswered = !errors.As(err, &status) || status >= http.StatusInternalServerError
		outcome += "_refused"
		p.logger.DebugContext(ctx, "simulator: callback not taken", "error", err)
	}
	p.count("callback", outcome)
	return unanswered
}

func (p *Poster) post(ctx context.Context, d Delivery) error {
	body := d.Body()
	r, err := http.NewRequestWithContext(ctx, cmp.Or(d.Method, http.MethodPost), d.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header = d.Header.Clone()
	r.Header.Set("Content-Type", "application/json")
	if d.Sign != nil {
		d.Sign(r.Header, body)
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode/100 != 2 {
		return refusal(answer.StatusCode)
	}
	return nil
}

// refusal is an answer that does not take a callback.
type refusal int

func (r refusal) Error() string { return fmt.Sprintf("status %d", int(r)) }
