package fcm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// request has the fields of messages:send. The API refuses names it does not know, and so does this.
type request struct {
	ValidateOnly bool    `json:"validate_only"`
	Message      message `json:"message"`
}

type message struct {
	Name         string            `json:"name"`
	Token        string            `json:"token"`
	Topic        string            `json:"topic"`
	Condition    string            `json:"condition"`
	Data         map[string]string `json:"data"`
	Notification *notification     `json:"notification"`
	Android      *android          `json:"android"`
	APNS         *apns             `json:"apns"`
	Webpush      json.RawMessage   `json:"webpush"`
	Options      json.RawMessage   `json:"fcm_options"`
}

type notification struct {
	Title string `json:"title"`
	Body  string `json:"body"`
	Image string `json:"image"`
}

type android struct {
	CollapseKey  string            `json:"collapse_key"`
	Priority     string            `json:"priority"`
	TTL          string            `json:"ttl"`
	Package      string            `json:"restricted_package_name"`
	Data         map[string]string `json:"data"`
	Notification json.RawMessage   `json:"notification"`
	Options      json.RawMessage   `json:"fcm_options"`
	DirectBootOK bool              `json:"direct_boot_ok"`
}

type apns struct {
	Headers           map[string]string `json:"headers"`
	Payload           json.RawMessage   `json:"payload"`
	Options           json.RawMessage   `json:"fcm_options"`
	LiveActivityToken string            `json:"live_activity_token"`
}

// maxPayload is what a device may be sent.
const maxPayload = 4096

var seconds = regexp.MustCompile(`^[0-9]+(\.[0-9]{1,9})?s$`)

// parse reads a request as far as it can be read and says what is wrong with it, or "".
func parse(body []byte) (m request, problem string) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Sprintf("Invalid JSON payload received. %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return m, "Invalid JSON payload received. Expected end of input"
	}
	return m, m.Message.problem()
}

func (m message) problem() string {
	targets := 0
	for _, t := range []string{m.Token, m.Topic, m.Condition} {
		if t != "" {
			targets++
		}
	}
	switch {
	case targets == 0:
		return "Recipient of the message is not set."
	case targets > 1:
		return "oneof field 'target' is already set."
	case m.size() > maxPayload:
		return fmt.Sprintf("Message too big: a payload has at most %d bytes", maxPayload)
	}
	if a := m.Android; a != nil {
		if a.Priority != "" && a.Priority != "normal" && a.Priority != "high" {
			return "Invalid value at 'message.android.priority'"
		}
		if a.TTL != "" && !seconds.MatchString(a.TTL) {
			return "Invalid value at 'message.android.ttl' (type.googleapis.com/google.protobuf.Duration)"
		}
	}
	return ""
}

func (m message) size() int {
	n := 0
	for k, v := range m.Data {
		n += len(k) + len(v)
	}
	if m.Notification != nil {
		n += len(m.Notification.Title) + len(m.Notification.Body) + len(m.Notification.Image)
	}
	return n
}
