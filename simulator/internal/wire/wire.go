// Package wire holds what every simulated API does below its own words: waiting, breaking connections, reading bodies with
// a limit and writing JSON.
package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Clock is the simulated company's own time.
type Clock interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error
}

// MaxBody is more than any documented request needs.
const MaxBody = 64 << 10

// Drop ends the connection without an answer: the client reads EOF.
func Drop(w http.ResponseWriter) { part(w, false) }

// Reset ends the connection with a TCP reset.
func Reset(w http.ResponseWriter) { part(w, true) }

// parting is a call that may end without an answer. Its connection is cut when the call has been counted, so that whoever
// sees it end finds it counted.
type parting struct {
	http.ResponseWriter
	cut func()
}

// Unwrap lets http.ResponseController through.
func (p *parting) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func part(w http.ResponseWriter, reset bool) {
	if p, ok := w.(*parting); ok {
		p.cut = func() { hangUp(p.ResponseWriter, reset) }
		return
	}
	hangUp(w, reset)
}

func hangUp(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		// Nothing to take over (HTTP/2, a recorder): the server then cuts the stream, and logs nothing about it.
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// JSON answers with a body that is JSON already.
func JSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

var jsonType = []string{"application/json"}

// Page answers as a proxy in between does: an HTML page, whatever the client accepts.
func Page(w http.ResponseWriter, status int, title string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<html><head><title>"+title+"</title></head><body><h1>"+title+"</h1><hr>gateway</body></html>\n")
}

// RetryAfter announces when to come again, in whole seconds, rounded up.
func RetryAfter(w http.ResponseWriter, d time.Duration) {
	if d > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((d+time.Second-1)/time.Second)))
	}
}

// ErrTooLarge is returned by Body.
var ErrTooLarge = errors.New("the body is too large")

// Body reads a request's body, of which the client said the length or not.
func Body(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, ErrTooLarge
	}
	if n := r.ContentLength; n >= 0 {
		b := make([]byte, n)
		_, err := io.ReadFull(r.Body, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, ErrTooLarge
	}
	return b, err
}

// Count receives what came of a call.
type Count func(operation, outcome string)

// Handler answers a call and says what came of it.
type Handler func(w http.ResponseWriter, r *http.Request) (outcome string)

// Counted makes an http.Handler that tells count what came of every call, also of one whose connection was cut.
func Counted(operation string, count Count, h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		outcome, p := "cut", &parting{ResponseWriter: w}
		defer func() {
			count(operation, outcome)
			if p.cut != nil {
				p.cut()
			}
		}()
		outcome = h(p, r)
	})
}
