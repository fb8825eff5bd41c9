// Package fcm plays the HTTP v1 API of Firebase Cloud Messaging: one message per call, the documented errors with the
// detail that the Firebase SDK reads, and a list of what devices received.
package fcm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/agogopay/agogo/simulator/internal/fault"
	"github.com/agogopay/agogo/simulator/internal/wire"
)

// Provider is the provider kind in rules and counts.
const Provider = "fcm"

// Config is what the project has set up.
type Config struct {
	// BearerToken is the only access token accepted; "" accepts calls without one, as local projects make them.
	BearerToken string
}

// Deps are the simulator's parts.
type Deps struct {
	Faults    *fault.Set
	Latencies *fault.Latencies
	Count     wire.Count
	Clock     wire.Clock
}

// Operations lists which faults each operation can have.
func Operations() map[string][]fault.Kind {
	return map[string][]fault.Kind{"send": {
		fault.DeadToken, fault.SenderMismatch, fault.Invalid, fault.Internal, fault.Unavailable, fault.TooMany, fault.AuthError,
		fault.LostPush, fault.ResetBefore, fault.Slow,
	}}
}

// Server is the push service.
type Server struct {
	cfg Config
	Deps
	inbox *Inbox
}

// New makes the push service.
func New(cfg Config, deps Deps) *Server { return &Server{cfg: cfg, Deps: deps, inbox: newInbox()} }

// Register adds its path.
func (s *Server) Register(mux *http.ServeMux) {
	mux.Handle("POST /fcm/v1/projects/{project}/messages:send", wire.Counted("send", s.Count, s.send))
}

// Inbox is what devices received.
func (s *Server) Inbox() *Inbox { return s.inbox }

func (s *Server) send(w http.ResponseWriter, r *http.Request) string {
	body, err := wire.Body(r, wire.MaxBody)
	if err != nil {
		return refuse(w, invalid("Request payload size exceeds the limit."))
	}
	m, problem := parse(body)
	call := fault.Call{Provider: Provider, Operation: "send", Token: m.Message.Token, Reference: m.Message.Data["notification_id"]}
	rule, _ := s.Faults.Decide(call)
	if s.Clock.Sleep(r.Context(), s.Latencies.Of(call)+rule.Delay) != nil {
		wire.Drop(w)
		return "client_gone"
	}
	switch {
	case rule.Fault == fault.ResetBefore:
		wire.Reset(w)
		return string(rule.Fault)
	case s.cfg.BearerToken != "" && r.Header.Get("Authorization") != "Bearer "+s.cfg.BearerToken:
		return refuse(w, failure{401, "UNAUTHENTICATED", "", "Request had invalid authentication credentials."})
	case problem != "":
		return refuse(w, invalid(problem))
	}
	if f, ok := failures[rule.Fault]; ok {
		wire.RetryAfter(w, rule.RetryAfter)
		if rule.Message != "" {
			f.message = rule.Message
		}
		return refuse(w, f)
	}
	name := fmt.Sprintf("projects/%s/messages/%s", r.PathValue("project"), s.deliver(m))
	if rule.Fault == fault.LostPush {
		wire.Drop(w)
		return string(rule.Fault)
	}
	answer, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return refuse(w, failures[fault.Internal])
	}
	wire.JSON(w, http.StatusOK, answer)
	return "ok"
}

// deliver puts the message into the inbox, unless it was only to be checked, and names it.
func (s *Server) deliver(m request) string {
	if m.ValidateOnly {
		return "fake_message_id"
	}
	now := s.Clock.Now()
	p := Push{
		Token: m.Message.Token, Topic: m.Message.Topic, Condition: m.Message.Condition, Data: m.Message.Data, At: now.UTC(),
	}
	if n := m.Message.Notification; n != nil {
		p.Title, p.Body = n.Title, n.Body
	}
	if a := m.Message.Android; a != nil {
		p.CollapseKey = a.CollapseKey
	}
	return fmt.Sprintf("0:%d%%%x", now.UnixMicro(), s.inbox.add(p))
}

// failure is one row of the documented table of errors.
type failure struct {
	code      int
	status    string
	errorCode string // of the FcmError detail, without which the SDK's helpers recognise nothing
	message   string
}

var failures = map[fault.Kind]failure{
	fault.DeadToken:      {404, "NOT_FOUND", "UNREGISTERED", "Requested entity was not found."},
	fault.SenderMismatch: {403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", "SenderId mismatch"},
	fault.Invalid:        invalid("The registration token is not a valid FCM registration token"),
	fault.Internal:       {500, "INTERNAL", "INTERNAL", "Internal error encountered."},
	fault.Unavailable:    {503, "UNAVAILABLE", "UNAVAILABLE", "The service is currently unavailable."},
	fault.TooMany:        {429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "Quota exceeded for quota metric."},
	fault.AuthError:      {401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "Auth error from APNS or Web Push Service"},
}

func invalid(message string) failure {
	return failure{400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", message}
}

func refuse(w http.ResponseWriter, f failure) string {
	type detail struct {
		Type      string `json:"@type"`
		ErrorCode string `json:"errorCode"`
	}
	var body struct {
		Error struct {
			Code    int      `json:"code"`
			Message string   `json:"message"`
			Status  string   `json:"status"`
			Details []detail `json:"details,omitempty"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message, body.Error.Status = f.code, f.message, f.status
	if f.errorCode != "" {
		body.Error.Details = []detail{{"type.googleapis.com/google.firebase.fcm.v1.FcmError", f.errorCode}}
	}
	b, err := json.Marshal(body)
	if err != nil {
		b = []byte(`{"error":{}}`)
	}
	wire.JSON(w, f.code, b)
	return strings.ToLower(f.status)
}
