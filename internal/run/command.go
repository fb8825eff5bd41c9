package run

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

// The verbs, fourth token of agogo.cmd.<service>.<verb>.<pNN>.
const (
	VerbPlan     = "plan"
	VerbDispatch = "dispatch"
)

// Place is a page of a run.
type Place struct {
	Run  uuid.UUID
	Page int
}

// Command asks for a page of a run to be planned, or for what was planned of it to be sent. It is a wake-up, never the
// truth: its handler acts on rows, so losing one costs the sweeper's interval and repeating one costs nothing.
type Command struct {
	Verb string
	Place
	// Tenant is whose run it is, a header and nothing that the handler needs: should the command kill every process that
	// takes it, the scheduler tells of it, and cannot look up runs.
	Tenant string
}

// Message makes the outbox row of a command. Epoch and nonce only change the Nats-Msg-Id, so that a restore or a
// deliberate re-emission gets past the stream's duplicate window; ce-id stays what the command is.
func (c Command) Message(ctx context.Context, service string, epoch int, nonce string) outbox.Message {
	target := c.Run.String() + "/" + strconv.Itoa(c.Page)
	id := c.Verb + "/" + target
	payload, err := json.Marshal(body{RunID: c.Run, Page: c.Page})
	if err != nil {
		panic(err) // a UUID and an int always marshal
	}
	return outbox.Message{
		ID:      messageID(id, epoch, nonce),
		Stream:  stream.Commands,
		Subject: stream.CommandSubject(service, c.Verb, target),
		Key:     target,
		Headers: headers(ctx, id, c.Tenant),
		Payload: payload,
	}
}

// Decode reads a service's command by the verb of its subject. An error means that no repetition will help.
func Decode(service, subject string, data []byte) (Command, error) {
	tokens := strings.Split(subject, ".")
	if len(tokens) != 5 || tokens[0] != "agogo" || tokens[1] != "cmd" || tokens[2] != service {
		return Command{}, fmt.Errorf("subject %q is not agogo.cmd.%s.<verb>.<pNN>", subject, service)
	}
	verb := tokens[3]
	if verb != VerbPlan && verb != VerbDispatch {
		return Command{}, fmt.Errorf("subject %s: no handler for verb %q", subject, verb)
	}
	var b body
	if err := json.Unmarshal(data, &b); err != nil {
		return Command{}, fmt.Errorf("command on %s is not {run_id, page}: %w", subject, err)
	}
	if b.RunID == uuid.Nil || b.Page < 0 {
		return Command{}, fmt.Errorf("command on %s names no run or a negative page", subject)
	}
	return Command{Verb: verb, Place: Place{Run: b.RunID, Page: b.Page}}, nil
}

// body is what both commands say.
type body struct {
	RunID uuid.UUID `json:"run_id"`
	Page  int       `json:"page"`
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
func headers(ctx context.Context, id, tenant string) map[string]string {
	c := event.CauseFrom(ctx)
	h := map[string]string{"ce-id": id}
	for k, v := range map[string]string{
		"ce-actor": c.Actor, "ce-correlationid": c.CorrelationID, "ce-causationid": c.CausationID,
		"ce-tenantid": tenant, "traceparent": telemetry.Traceparent(ctx),
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
