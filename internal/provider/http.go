package provider

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// Agogo's words for what went wrong below the provider's own protocol.
const (
	CodeDNS            = "dns_failed"
	CodeRefused        = "connection_refused"
	CodeConnect        = "connect_failed"
	CodeTLS            = "tls_failed"
	CodeExpired        = "expired_before_send"
	CodeRequest        = "request_not_built"
	CodeTimeout        = "timeout"
	CodeConnectionLost = "connection_lost"
	CodeUnreadable     = "unreadable_answer"
	CodeRateLimited    = "rate_limited"
	CodeServerError    = "server_error"
	CodeUnrecognised   = "unrecognised_answer"
)

// CallerConfig tunes a Caller; zero values are its defaults.
type CallerConfig struct {
	Timeout   time.Duration // of one call, from dialling to the last byte of the answer; 30 s
	MaxAnswer int64         // longest answer that is read; 1 MiB
	TLS       *tls.Config   // for private roots and client certificates
	Conns     int           // kept open for reuse; 64
	UserAgent string        // "agogo"
}

// Caller makes HTTP calls, each of them exactly once, and knows of each whether a byte of it may have left the process.
type Caller struct {
	client  *http.Client
	timeout time.Duration
	max     int64
	agent   string
}

// NewCaller makes a Caller. It speaks HTTP/1.1, follows no redirect and never repeats a request by itself.
func NewCaller(c CallerConfig) *Caller {
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.MaxAnswer <= 0 {
		c.MaxAnswer = 1 << 20
	}
	if c.Conns <= 0 {
		c.Conns = 64
	}
	if c.UserAgent == "" {
		c.UserAgent = "agogo"
	}
	dialer := &net.Dialer{Timeout: min(c.Timeout, 10*time.Second), KeepAlive: 30 * time.Second}
	return &Caller{
		timeout: c.Timeout, max: c.MaxAnswer, agent: c.UserAgent,
		client: &http.Client{
			// A redirected POST would be sent twice; the answer itself is handed back and is not recognised.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         dialPlain(dialer),
				DialTLSContext:      dialTLS(dialer, c.TLS, min(c.Timeout, 10*time.Second)),
				TLSClientConfig:     c.TLS, // behind a proxy net/http does the handshake itself
				MaxIdleConnsPerHost: c.Conns,
				// Shorter than what servers use, so that we close idle connections and rarely write into a dead one:
				// such a write cannot be told from a lost answer.
				IdleConnTimeout: 15 * time.Second,
			},
		},
	}
}

// Request is one call.
type Request struct {
	Method string
	URL    string
	Header http.Header
	Body   []byte // nil: none
}

// Reply is what came back, or what is known when nothing did.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
	// Sent is false when it is proven that no byte of the request was written, and that none will be.
	Sent bool
	// Err is why there is no complete answer. Status may be set: the head came and the body did not.
	Err error
	// CalledOff is set when the caller's own context had ended: the failure says nothing about the provider.
	CalledOff bool
}

// Do makes the call. It returns when the answer is complete, the call failed or its time is over.
func (c *Caller) Do(parent context.Context, r Request) Reply {
	ctx, cancel := context.WithTimeout(parent, c.timeout)
	defer cancel()
	g := newGate(ctx)
	var ungated atomic.Bool // a connection of net/http's own making, behind a proxy: nothing can be proven about it
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if conn, ok := i.Conn.(*gatedConn); ok {
			conn.gate.Store(g)
			return
		}
		ungated.Store(true)
	}})
	req, err := c.build(ctx, r)
	if err != nil {
		return Reply{Err: err}
	}
	if err := parent.Err(); err != nil {
		return Reply{Err: err, CalledOff: true}
	}
	resp, err := c.client.Do(req)
	if err != nil {
		unsent := g.seal() && !ungated.Load()
		return Reply{Sent: !unsent, Err: err, CalledOff: parent.Err() != nil || errors.Is(err, errSealed)}
	}
	defer resp.Body.Close() // the answer was read or is lost already; closing adds nothing
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.max+1))
	if err == nil && int64(len(body)) > c.max {
		err = fmt.Errorf("the answer is longer than %d bytes", c.max)
	}
	return Reply{Status: resp.StatusCode, Header: resp.Header, Body: body, Sent: true, Err: err}
}

// errBuild marks a request that could not be made: a wrong address or method.
var errBuild = errors.New("request cannot be built")

func (c *Caller) build(ctx context.Context, r Request) (*http.Request, error) {
	var body io.Reader
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBuild, err)
	}
	if r.Header != nil {
		req.Header = r.Header.Clone()
	}
	req.Header.Set("User-Agent", c.agent)
	// Without GetBody net/http cannot rewind the body, and so never repeats the request on a fresh connection when a
	// reused one turns out to be dead; it would do so for any method as soon as an Idempotency-Key header is there.
	req.GetBody = nil
	if r.Body == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
		// A bodiless POST counts as replayable whatever GetBody is: give it an empty body that does not.
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(nil)), 0
	}
	return req, nil
}

// Unanswered classifies a reply that is no 2xx with a complete body; ok is false for one that is. An adapter asks its own
// table of error codes first: this is what holds for everything the table does not name.
func (r Reply) Unanswered(now time.Time) (res Result, ok bool) {
	switch {
	case r.Err != nil && !r.Sent:
		return r.neverSent(), true
	case r.Status == http.StatusTooManyRequests:
		return Result{Class: NotSent, Code: CodeRateLimited, ProviderCode: r.statusCode(), RetryAfter: r.RetryAfter(now), SlowDown: true}, true
	case r.Err != nil:
		return Result{Class: Ambiguous, Scope: ScopeProvider, Code: lostCode(r.Err), ProviderCode: r.statusCode()}, true
	case r.Status == http.StatusRequestTimeout || r.Status >= 500:
		return Result{Class: Ambiguous, Scope: ScopeProvider, Code: CodeServerError, ProviderCode: r.statusCode(), RetryAfter: r.RetryAfter(now)}, true
	case r.Status < 200 || r.Status > 299:
		return Result{Class: Ambiguous, Scope: ScopePayment, Code: CodeUnrecognised, ProviderCode: r.statusCode()}, true
	default:
		return Result{}, false
	}
}

func (r Reply) neverSent() Result {
	res := Result{Class: NotSent, Scope: ScopeProvider, Code: CodeConnect}
	var dns *net.DNSError
	var hs *tlsError
	switch {
	case r.CalledOff:
		res.Scope, res.Code = ScopeNone, CodeExpired
	case errors.Is(r.Err, errBuild):
		res.Code = CodeRequest
	case errors.As(r.Err, &dns):
		res.Code = CodeDNS
	case errors.As(r.Err, &hs):
		res.Code = CodeTLS
	case errors.Is(r.Err, syscall.ECONNREFUSED):
		res.Code = CodeRefused
	}
	return res
}

func lostCode(err error) string {
	var ne net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &ne) && ne.Timeout():
		return CodeTimeout
	default:
		return CodeConnectionLost
	}
}

func (r Reply) statusCode() string {
	if r.Status == 0 {
		return ""
	}
	return "http " + strconv.Itoa(r.Status)
}

// RetryAfter reads the header of that name, in seconds or as a date; 0 when it is absent or makes no sense.
func (r Reply) RetryAfter(now time.Time) time.Duration {
	const longest = time.Hour // a provider's typing error must not park a payout for a year
	v := r.Header.Get("Retry-After")
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseInt(v, 10, 64); err == nil {
		return min(time.Duration(max(0, min(s, 3600)))*time.Second, longest)
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(0, at.Sub(now)), longest)
	}
	return 0
}

// BeforeSend turns the failure of a step that comes before the transfer (a token, a form) into a result for the transfer:
// whatever became of that step, no money was asked to move.
func (r Result) BeforeSend(step string) Result {
	if r.Class == Ambiguous || r.Class == NotSent {
		r.Class = NotSent
		r.Code = step + "_" + r.Code
	}
	return r
}

// Failure is a Result on its way through an error.
type Failure struct{ Result Result } //nolint:errname // it is a result first; adapters return and unwrap it as one

// Error names class, code and the provider's code; nothing in it is personal or secret.
func (f *Failure) Error() string {
	return fmt.Sprintf("%s %s (%s)", f.Result.Class, f.Result.Code, f.Result.ProviderCode)
}
