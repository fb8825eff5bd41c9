// Package bare is the least that pays people out: a loop of HTTP calls that remembers nothing. What Agogo adds to it (rows,
// books, events, proofs) is what a benchmark of Agogo has to be held against.
package bare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what to call and how often.
type Config struct {
	URL         string // of a simulator: "http://127.0.0.1:9900"
	Country     string // "ci"
	Calls       int
	Concurrency int
	// Run makes the references of one run differ from those of another: a repeated one would pay again.
	Run string
}

// Result is what came of it.
type Result struct {
	Paid     int
	Elapsed  time.Duration
	P50, P99 time.Duration // of one call
}

// PerSecond is the rate of payments.
func (r Result) PerSecond() float64 { return float64(r.Paid) / r.Elapsed.Seconds() }

func (r Result) String() string {
	return fmt.Sprintf("%d payments in %.2fs: %.0f/s, a call p50 %s p99 %s", r.Paid, r.Elapsed.Seconds(), r.PerSecond(), r.P50.Round(time.Microsecond), r.P99.Round(time.Microsecond))
}

// Loop pays as often as it is told. Any answer but SUCCESS ends it: a benchmark of failures would measure nothing.
func Loop(ctx context.Context, cfg Config) (Result, error) {
	if cfg.Calls < 1 || cfg.Concurrency < 1 {
		return Result{}, errors.New("calls and concurrency have to be at least 1")
	}
	c, err := Open(ctx, cfg)
	if err != nil {
		return Result{}, err
	}
	defer c.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]time.Duration, cfg.Calls)
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range cfg.Concurrency {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < cfg.Calls && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				start := time.Now()
				if err := c.Pay(ctx, i); err != nil {
					cancel(fmt.Errorf("call %d: %w", i, err))
				}
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	if err := context.Cause(ctx); err != nil {
		return Result{}, err
	}
	slices.Sort(took)
	return Result{Paid: cfg.Calls, Elapsed: elapsed, P50: took[len(took)/2], P99: took[len(took)*99/100]}, nil
}

// Client makes the loop's calls.
type Client struct {
	cfg    Config
	base   string
	http   *http.Client
	header http.Header
}

// Open fetches what every call needs.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: cfg.Concurrency}
	c := &Client{cfg: cfg, base: cfg.URL + "/orange-money-b2b/v1/" + cfg.Country, http: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
	if err := c.prepare(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the connections that were kept.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// prepare fetches what every call needs: a token, the services, the form.
func (c *Client) prepare(ctx context.Context) error {
	var token struct {
		AccessToken string `json:"access_token"`
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL+"/oauth/v3/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		return err
	}
	r.SetBasicAuth("bench", "bench")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	if err := c.do(r, &token); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	c.header = http.Header{"Authorization": {"Bearer " + token.AccessToken}, "Accept": {"application/json"}}
	var services, form struct {
		Version string
		Token   struct{ Value string }
	}
	if err := c.get(ctx, "/services", &services); err != nil {
		return fmt.Errorf("services: %w", err)
	}
	c.header.Set("X-Omr-Services-Token", services.Token.Value)
	if err := c.get(ctx, "/forms/cashin", &form); err != nil {
		return fmt.Errorf("forms: %w", err)
	}
	c.header.Set("X-Omr-Forms-Token", form.Token.Value)
	c.header.Set("X-Omr-Forms-Version", form.Version)
	c.header.Set("Content-Type", "application/json")
	return nil
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	r.Header = c.header.Clone()
	return c.do(r, into)
}

// Pay makes the i-th payment of the run.
func (c *Client) Pay(ctx context.Context, i int) error {
	body, err := json.Marshal(map[string]any{
		"peerId": fmt.Sprintf("07%08d", i%100_000_000), "peerIdType": "msisdn", "amount": 1000 + i%9000, "currency": "XOF", "posId": "bench",
		"transactionId": fmt.Sprintf("%s-%d", c.cfg.Run, i),
	})
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/transactions/cashin", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header = c.header.Clone()
	var answer struct{ Status string }
	if err := c.do(r, &answer); err != nil {
		return err
	}
	if answer.Status != "SUCCESS" {
		return fmt.Errorf("status %q", answer.Status)
	}
	return nil
}

func (c *Client) do(r *http.Request, into any) error {
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", answer.Status, body)
	}
	return json.Unmarshal(body, into)
}
