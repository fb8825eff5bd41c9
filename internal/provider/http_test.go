package provider

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// newCaller makes a Caller that leaves no connection behind for the servers of the test to wait for.
func newCaller(t *testing.T, c CallerConfig) *Caller {
	caller := NewCaller(c)
	t.Cleanup(caller.client.CloseIdleConnections)
	return caller
}

func post(url string) Request {
	return Request{Method: http.MethodPost, URL: url, Header: http.Header{"Idempotency-Key": {"k"}}, Body: []byte(`{"amount":1}`)}
}

// listen serves raw connections and counts the requests whose head arrived.
func listen(t *testing.T, serve func(n int, conn net.Conn, r *bufio.Reader)) (url string, requests *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests = new(atomic.Int64)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					if _, err := io.Copy(io.Discard, req.Body); err != nil {
						return
					}
					n := requests.Add(1)
					serve(int(n), conn, r)
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return "http://" + l.Addr().String(), requests
}

func respond(conn net.Conn, head, body string) {
	_, _ = io.WriteString(conn, head+"\r\n\r\n"+body)
}

func TestReplyClassification(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		serve func(conn net.Conn)
		class Class
		code  string
		after time.Duration
	}{
		"closed without an answer":  {func(c net.Conn) { _ = c.Close() }, Ambiguous, CodeConnectionLost, 0},
		"reset without an answer":   {func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }, Ambiguous, CodeConnectionLost, 0},
		"silent until the time-out": {func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, Ambiguous, CodeTimeout, 0},
		"body cut off":              {func(c net.Conn) { respond(c, "HTTP/1.1 200 OK\r\nContent-Length: 100", "{"); _ = c.Close() }, Ambiguous, CodeConnectionLost, 0},
		"garbage":                   {func(c net.Conn) { _, _ = io.WriteString(c, "no http at all\r\n\r\n"); _ = c.Close() }, Ambiguous, CodeConnectionLost, 0},
		"408":                       {func(c net.Conn) { respond(c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0", "") }, Ambiguous, CodeServerError, 0},
		"500":                       {func(c net.Conn) { respond(c, "HTTP/1.1 500 Oops\r\nContent-Length: 0", "") }, Ambiguous, CodeServerError, 0},
		"503 with Retry-After":      {func(c net.Conn) { respond(c, "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0", "") }, Ambiguous, CodeServerError, 7 * time.Second},
		"429 with Retry-After":      {func(c net.Conn) { respond(c, "HTTP/1.1 429 Slow\r\nRetry-After: 3\r\nContent-Length: 0", "") }, NotSent, CodeRateLimited, 3 * time.Second},
		"429 with a date": {func(c net.Conn) {
			respond(c, "HTTP/1.1 429 Slow\r\nRetry-After: Fri, 24 Jan 2025 23:59:30 GMT\r\nContent-Length: 0", "")
		}, NotSent, CodeRateLimited, 30 * time.Second},
		"307 is not followed": {func(c net.Conn) { respond(c, "HTTP/1.1 307 There\r\nLocation: /elsewhere\r\nContent-Length: 0", "") }, Ambiguous, CodeUnrecognised, 0},
		"418":                 {func(c net.Conn) { respond(c, "HTTP/1.1 418 Teapot\r\nContent-Length: 0", "") }, Ambiguous, CodeUnrecognised, 0},
	}
	now := time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, requests := listen(t, func(_ int, conn net.Conn, _ *bufio.Reader) { c.serve(conn) })
			caller := newCaller(t, CallerConfig{Timeout: 300 * time.Millisecond})
			res, ok := caller.Do(t.Context(), post(url)).Unanswered(now)
			if !ok || res.Class != c.class || res.Code != c.code || res.RetryAfter != c.after {
				t.Errorf("got %+v, %v; want %s %s after %s", res, ok, c.class, c.code, c.after)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("the request arrived %d times", n)
			}
		})
	}
}

func TestNothingSentIsProven(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := "http://" + closed.Addr().String()
	_ = closed.Close()
	untrusted := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the request came through") }))
	t.Cleanup(untrusted.Close)
	untrusted.Config.ErrorLog = nil

	expired, cancel := context.WithCancel(t.Context())
	cancel()
	cases := map[string]struct {
		ctx   context.Context
		url   string
		code  string
		scope Scope
	}{
		"connection refused":  {t.Context(), refused, CodeRefused, ScopeProvider},
		"no such host":        {t.Context(), "http://agogo.invalid", CodeDNS, ScopeProvider},
		"certificate unknown": {t.Context(), untrusted.URL, CodeTLS, ScopeProvider},
		"address is nonsense": {t.Context(), "http://bad host/", CodeRequest, ScopeProvider},
		"time was over":       {expired, refused, CodeExpired, ScopeNone},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reply := newCaller(t, CallerConfig{Timeout: 5 * time.Second}).Do(c.ctx, post(c.url))
			res, _ := reply.Unanswered(time.Time{})
			if reply.Sent || res.Class != NotSent || res.Code != c.code || res.Scope != c.scope {
				t.Errorf("got %+v sent=%v (%v), want NOT_SENT %s scope %q", res, reply.Sent, reply.Err, c.code, c.scope)
			}
		})
	}
}

// A provider that accepts connections and then does not shake hands is a fault of the provider, and still nothing is sent.
func TestStalledHandshakeIsNotSent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	reply := newCaller(t, CallerConfig{Timeout: 200 * time.Millisecond}).Do(t.Context(), post("https://"+l.Addr().String()))
	res, _ := reply.Unanswered(time.Time{})
	if reply.Sent || res.Class != NotSent || !res.Fault() {
		t.Errorf("got %+v sent=%v (%v), want NOT_SENT counted as a fault", res, reply.Sent, reply.Err)
	}
}

func TestTLSAnswersAreReadAndGated(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("spoke %s: one request at a time needs HTTP/1.1", r.Proto)
		}
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	caller := newCaller(t, CallerConfig{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	for range 3 { // the later ones on the kept connection
		reply := caller.Do(t.Context(), post(srv.URL))
		if reply.Err != nil || string(reply.Body) != `{"amount":1}` || !reply.Sent {
			t.Fatalf("got %q sent=%v (%v)", reply.Body, reply.Sent, reply.Err)
		}
	}
}

// net/http repeats a request on a fresh connection when a kept one turns out dead. For us that would be a second payment.
func TestDeadKeptConnectionNeverRepeatsThePost(t *testing.T) {
	t.Parallel()
	for name, body := range map[string][]byte{"with a body": []byte("{}"), "without a body": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, requests := listen(t, func(n int, conn net.Conn, _ *bufio.Reader) {
				if n == 1 {
					respond(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2", "{}")
					return
				}
				_ = conn.Close() // the second request arrives on the kept connection and is never answered
			})
			caller := newCaller(t, CallerConfig{Timeout: 5 * time.Second})
			req := post(url)
			req.Body = body
			if reply := caller.Do(t.Context(), req); reply.Err != nil {
				t.Fatal(reply.Err)
			}
			reply := caller.Do(t.Context(), req)
			res, _ := reply.Unanswered(time.Time{})
			if res.Class != Ambiguous || !reply.Sent {
				t.Errorf("got %+v, want AMBIGUOUS", res)
			}
			if n := requests.Load(); n != 2 {
				t.Errorf("two calls, %d requests", n)
			}
		})
	}
}

func TestLongAnswerIsAmbiguous(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 2000))
	}))
	t.Cleanup(srv.Close)
	res, ok := newCaller(t, CallerConfig{MaxAnswer: 1000}).Do(t.Context(), post(srv.URL)).Unanswered(time.Time{})
	if !ok || res.Class != Ambiguous {
		t.Errorf("got %+v %v", res, ok)
	}
}

// The caller may be told that a cancelled request was never sent while net/http's writer has yet to run: from that moment
// on the gate must hold.
func TestGateHoldsAfterTheCallerWasTold(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
	go io.Copy(io.Discard, server)
	conn := &gatedConn{Conn: client}
	g := newGate(t.Context())
	conn.gate.Store(g)
	if !g.seal() {
		t.Fatal("an untouched gate was not sealed")
	}
	if n, err := conn.Write([]byte("POST")); err == nil || n != 0 {
		t.Errorf("wrote %d bytes through a sealed gate (%v)", n, err)
	}
	g = newGate(t.Context())
	if err := g.pass(); err != nil {
		t.Fatal(err)
	}
	if g.seal() {
		t.Error("a gate that was passed claims that nothing was written")
	}
}

// A process that was stopped past its deadline must not send when it goes on, even before its timers have fired.
func TestGateLooksAtTheDeadlineItself(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithDeadline(lateTimers{t.Context()}, time.Now().Add(-time.Millisecond))
	defer cancel()
	g := &gate{ctx: lateTimers{t.Context()}}
	g.deadline, _ = ctx.Deadline()
	if err := g.pass(); err == nil {
		t.Error("a byte passed after the deadline")
	}
}

// lateTimers is a context that has not noticed its end.
type lateTimers struct{ context.Context }

func (lateTimers) Err() error { return nil }

// Requests cancelled at any moment are either proven unsent, and then the server never sees them, or ambiguous.
func TestCancelledRequestsAreNeverMisreported(t *testing.T) {
	t.Parallel()
	var seen sync.Map
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen.Store(r.URL.Path, true)
	}))
	caller := newCaller(t, CallerConfig{Timeout: 5 * time.Second})
	unsent := map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*5*time.Microsecond)
			defer cancel()
			path := "/" + strings.Repeat("x", i+1)
			if reply := caller.Do(ctx, post(srv.URL+path)); !reply.Sent {
				mu.Lock()
				unsent[path] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	caller.client.CloseIdleConnections()
	srv.Close() // waits for handlers
	if len(unsent) == 0 {
		t.Fatal("no request was cancelled before it was sent: the test tests nothing")
	}
	for path := range unsent {
		if _, ok := seen.Load(path); ok {
			t.Errorf("a request reported as never sent arrived (length %d)", len(path))
		}
	}
}
