// Package fcmtest is a push service for tests: FCM's documented wire over HTTP, with answers on demand and a book of what
// every device received.
package fcmtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// Push is what a device received.
type Push struct {
	Token          string
	NotificationID string
	Title, Body    string
	Data           map[string]string
	CollapseKey    string
	APNSCollapseID string
}

// Answer is a refusal: an HTTP status, FCM's error code and how long to wait. With Taken the device has received the push
// all the same, as when an answer is lost on its way.
type Answer struct {
	Status     int
	Code       string // "": no FCM detail, as from a proxy
	RetryAfter string
	Body       string // sent instead of an error body
	Taken      bool
}

// Server is the service.
type Server struct {
	URL string // ends in /v1, as the SDK wants it

	http    *httptest.Server
	mu      sync.Mutex
	pushes  []Push
	calls   int
	byToken map[string][]Answer
	all     *Answer
	before  func(p Push)
}

// New starts a server.
func New() *Server {
	s := &Server{byToken: map[string][]Answer{}}
	s.http = httptest.NewServer(http.HandlerFunc(s.send))
	s.URL = s.http.URL + "/v1"
	return s
}

// Close stops it.
func (s *Server) Close() { s.http.Close() }

// Script answers the next sends to a token with these, one each, and then with success.
func (s *Server) Script(token string, answers ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byToken[token] = append(s.byToken[token], answers...)
}

// Break answers everything with a, until it is given nil.
func (s *Server) Break(a *Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = a
}

// Before calls f for every push before it is answered.
func (s *Server) Before(f func(p Push)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// Pushes lists what devices received, in order.
func (s *Server) Pushes() []Push {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Push(nil), s.pushes...)
}

// Calls counts requests, whatever their answer.
func (s *Server) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

type request struct {
	Message struct {
		Token        string            `json:"token"`
		Data         map[string]string `json:"data"`
		Notification struct{ Title, Body string }
		Android      struct {
			CollapseKey string `json:"collapse_key"`
		} `json:"android"`
		APNS struct {
			Headers map[string]string `json:"headers"`
		} `json:"apns"`
	} `json:"message"`
}

func (s *Server) send(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, "/v1/projects/") || !strings.HasSuffix(r.URL.Path, "/messages:send") {
		http.NotFound(w, r)
		return
	}
	var req request
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.Message.Token == "" {
		refuse(w, Answer{Status: http.StatusBadRequest, Code: "INVALID_ARGUMENT"})
		return
	}
	p := Push{
		Token: req.Message.Token, NotificationID: req.Message.Data["notification_id"], Data: req.Message.Data,
		Title: req.Message.Notification.Title, Body: req.Message.Notification.Body,
		CollapseKey: req.Message.Android.CollapseKey, APNSCollapseID: req.Message.APNS.Headers["apns-collapse-id"],
	}
	a, n := s.answer(p)
	if a != nil {
		refuse(w, *a)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"name":"projects/demo/messages/%d"}`, n)
}

func (s *Server) answer(p Push) (*Answer, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.before != nil {
		s.before(p)
	}
	a := s.all
	if next := s.byToken[p.Token]; a == nil && len(next) > 0 {
		a, s.byToken[p.Token] = &next[0], next[1:]
	}
	if a == nil || a.Taken {
		s.pushes = append(s.pushes, p)
	}
	return a, s.calls
}

func refuse(w http.ResponseWriter, a Answer) {
	if a.RetryAfter != "" {
		w.Header().Set("Retry-After", a.RetryAfter)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.Status)
	if a.Body != "" {
		_, _ = io.WriteString(w, a.Body)
		return
	}
	body := map[string]any{"code": a.Status, "status": statusOf(a.Status), "message": "refused"}
	if a.Code != "" {
		body["details"] = []map[string]string{{
			"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": a.Code,
		}}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"error": body})
}

func statusOf(code int) string {
	switch code {
	case http.StatusBadRequest:
		return "INVALID_ARGUMENT"
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	case http.StatusInternalServerError:
		return "INTERNAL"
	default:
		return "UNKNOWN"
	}
}
