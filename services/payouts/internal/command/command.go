// Package command names the work that the payouts service gives itself over the COMMANDS stream: plan a page of a run,
// dispatch a page of a run. A command is a wake-up, never the truth: its handler acts on rows, so losing one costs the
// sweeper's interval and repeating one costs nothing.
package command

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/telemetry"
)

// The verbs, third token of agogo.cmd.payouts.<verb>.<pNN>.
const (
	VerbPlan     = "plan"
	VerbDispatch = "dispatch"
)

// Service is the second token of the subjects.
const Service = "payouts"

// Plan asks for the next page of a run to be planned.
type Plan struct {
	RunID uuid.UUID
	Page  int
}

// Dispatch asks for the approved payouts of a page to be sent.
type Dispatch struct {
	RunID uuid.UUID
	Page  int
}

// Message makes the outbox row of a command. Epoch and nonce only change the Nats-Msg-Id, so that a restore or a
// deliberate re-emission gets past the stream's duplicate window; ce-id stays what the command is.
func (p Plan) Message(ctx context.Context, epoch int, nonce string) outbox.Message {
	return message(ctx, VerbPlan, page(p), epoch, nonce)
}

// Message makes the outbox row of a command; see [Plan.Message].
func (d Dispatch) Message(ctx context.Context, epoch int, nonce string) outbox.Message {
	return message(ctx, VerbDispatch, page(d), epoch, nonce)
}

// Command is a decoded message: exactly one of its fields is set.
type Command struct {
	Plan     *Plan
	Dispatch *Dispatch
}

// RunID is the run that the command is about.
func (c Command) RunID() uuid.UUID {
	if c.Plan != nil {
		return c.Plan.RunID
	}
	return c.Dispatch.RunID
}

// Decode reads a command by the verb of its subject. An error means that no repetition will help.
func Decode(subject string, data []byte) (Command, error) {
	verb, err := Verb(subject)
	if err != nil {
		return Command{}, err
	}
	var p page
	if err := json.Unmarshal(data, &p); err != nil {
		return Command{}, fmt.Errorf("command on %s is not {run_id, page}: %w", subject, err)
	}
	if p.RunID == uuid.Nil || p.Page < 0 {
		return Command{}, fmt.Errorf("command on %s names no run or a negative page", subject)
	}
	switch verb {
	case VerbPlan:
		plan := Plan(p)
		return Command{Plan: &plan}, nil
	case VerbDispatch:
		dispatch := Dispatch(p)
		return Command{Dispatch: &dispatch}, nil
	default:
		return Command{}, fmt.Errorf("subject %s: no handler for verb %q", subject, verb)
	}
}

// Verb is the verb of a command's subject.
func Verb(subject string) (string, error) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 5 || tokens[0] != "agogo" || tokens[1] != "cmd" || tokens[2] != Service {
		return "", fmt.Errorf("subject %q is not agogo.cmd.%s.<verb>.<pNN>", subject, Service)
	}
	return tokens[3], nil
}

// page is the body of both commands.
type page struct {
	RunID uuid.UUID `json:"run_id"`
	Page  int       `json:"page"`
}

func message(ctx context.Context, verb string, p page, epoch int, nonce string) outbox.Message {
	target := p.RunID.String() + "/" + strconv.Itoa(p.Page)
	id := verb + "/" + target
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // a UUID and an int always marshal
	}
	return outbox.Message{
		ID:      messageID(id, epoch, nonce),
		Stream:  stream.Commands,
		Subject: stream.CommandSubject(Service, verb, target),
		Key:     target,
		Headers: headers(ctx, id),
		Payload: body,
	}
}

func messageID(id string, epoch int, nonce string) string {
	if nonce != "" {
		id += "#" + nonce
	}
	if epoch > 0 {
		id += "#e" + strconv.Itoa(epoch)
	}
	return id
}

// headers carry the cause on, so that what a command leads to is still told to stem from the tick or request.
func headers(ctx context.Context, id string) map[string]string {
	c := event.CauseFrom(ctx)
	h := map[string]string{"ce-id": id}
	for k, v := range map[string]string{
		"ce-actor": c.Actor, "ce-correlationid": c.CorrelationID, "ce-causationid": c.CausationID,
		"traceparent": telemetry.Traceparent(ctx),
	} {
		if v != "" {
			h[k] = encode(v)
		}
	}
	return h
}

// encode percent-encodes what the CloudEvents NATS binding forbids in a header; ids and actors rarely need it.
func encode(v string) string {
	if strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' || r == '%' || r == '"' }) {
		return url.PathEscape(v)
	}
	return v
}
