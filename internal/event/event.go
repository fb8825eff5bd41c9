// Package event is the one list of what Agogo publishes: the types of events, the state tables whose transitions they
// tell, their identity, subjects and CloudEvents headers. It does no I/O; outbox carries what it describes.
package event

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Type is "<aggregate>.<event>", such as "payout.created".
type Type string

// Aggregate is the part before the dot.
func (t Type) Aggregate() string { a, _, _ := strings.Cut(string(t), "."); return a }

// Name is the part after the dot.
func (t Type) Name() string { _, n, _ := strings.Cut(string(t), "."); return n }

// CloudEvent is the ce-type: "com.agogo.payout.created.v1".
func (t Type) CloudEvent() string { return "com.agogo." + string(t) + ".v1" }

// ParseCloudEvent undoes [Type.CloudEvent].
func ParseCloudEvent(s string) (Type, error) {
	t, ok := strings.CutPrefix(s, "com.agogo.")
	if ok {
		t, ok = strings.CutSuffix(t, ".v1")
	}
	if !ok || strings.Count(t, ".") != 1 {
		return "", fmt.Errorf("ce-type %q is not com.agogo.<aggregate>.<event>.v1", s)
	}
	return Type(t), nil
}

// Partitions is how many partition tokens (p00 to p63) subjects carry.
const Partitions = 64

// Partition spreads ids over [Partitions], stably: fnv-1a of the id.
func Partition(id string) int {
	h := fnv.New32a()
	h.Write([]byte(id))
	return int(h.Sum32() % Partitions)
}

// PartitionToken is the subject token of id's partition.
func PartitionToken(id string) string { return fmt.Sprintf("p%02d", Partition(id)) }

// Cause travels in a context: who did it and what led to it. Everything published on behalf of that context carries it.
type Cause struct {
	Actor         string // "user:<name>" or "service:<name>"
	CorrelationID string // the tick id or request id at the beginning of the chain
	CausationID   string // the message or request that directly led here
}

type causeKey struct{}

// WithCause returns a context that carries c.
func WithCause(ctx context.Context, c Cause) context.Context {
	return context.WithValue(ctx, causeKey{}, c)
}

// CauseFrom returns the context's cause, or the zero Cause.
func CauseFrom(ctx context.Context) Cause { c, _ := ctx.Value(causeKey{}).(Cause); return c }

// Envelope is the CloudEvents 1.0 context of one event (binary mode: these are headers, the body is protojson).
type Envelope struct {
	ID      string
	Type    Type
	Service string // becomes ce-source "/<service>"
	Tenant  string
	Subject string // the aggregate's id
	Time    time.Time
	Version int64 // contiguous per aggregate and epoch, from 1
	Epoch   int   // rises after a restore
	Cause
	Traceparent string
}

var idSpace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://agogopay.github.io/event"))

// UUID is the UUIDv5 of length-prefixed fields, so that no two different lists of fields share one.
func UUID(fields ...string) uuid.UUID {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(strconv.Itoa(len(f)))
		b.WriteByte(':')
		b.WriteString(f)
	}
	return uuid.NewSHA1(idSpace, []byte(b.String()))
}

// New fills an envelope; its id follows from aggregate, version and epoch alone, so emitting twice gives one id.
func New(ctx context.Context, service, tenant string, t Type, aggregateID string, version int64, epoch int, at time.Time) Envelope {
	return Envelope{
		ID:   UUID(tenant, service, t.Aggregate(), aggregateID, strconv.FormatInt(version, 10), strconv.Itoa(epoch)).String(),
		Type: t, Service: service, Tenant: tenant, Subject: aggregateID, Time: at.UTC(),
		Version: version, Epoch: epoch, Cause: CauseFrom(ctx),
	}
}

// StreamSubject is where the event is published: agogo.evt.<tenant>.<service>.<aggregate>.<event>.<pNN>.
func (e Envelope) StreamSubject() string {
	return strings.Join([]string{"agogo.evt", e.Tenant, e.Service, e.Type.Aggregate(), e.Type.Name(), PartitionToken(e.Subject)}, ".")
}

// Headers are the lowercase ce-* headers. nats.Header looks names up exactly, hence never canonicalised.
func (e Envelope) Headers() map[string]string {
	h := make(map[string]string, 16) // and room for what publishing adds
	set := func(name, value string) {
		if value != "" {
			h[name] = encodeHeader(value)
		}
	}
	h["ce-specversion"], h["ce-datacontenttype"] = "1.0", "application/json"
	set("ce-id", e.ID)
	set("ce-source", "/"+e.Service)
	set("ce-type", e.Type.CloudEvent())
	set("ce-subject", e.Subject)
	set("ce-time", e.Time.Format(time.RFC3339Nano))
	set("ce-tenantid", e.Tenant)
	set("ce-aggversion", strconv.FormatInt(e.Version, 10))
	set("ce-epoch", strconv.Itoa(e.Epoch))
	set("ce-actor", e.Actor)
	set("ce-correlationid", e.CorrelationID)
	set("ce-causationid", e.CausationID)
	set("traceparent", e.Traceparent)
	return h
}

// ParseHeaders reads an envelope back; get returns the value of a header or "".
func ParseHeaders(get func(string) string) (Envelope, error) {
	field := func(k string) string { return decodeHeader(get(k)) }
	t, err := ParseCloudEvent(field("ce-type"))
	if err != nil {
		return Envelope{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, field("ce-time"))
	if err != nil {
		return Envelope{}, fmt.Errorf("ce-time: %w", err)
	}
	version, err := strconv.ParseInt(field("ce-aggversion"), 10, 64)
	if err != nil {
		return Envelope{}, fmt.Errorf("ce-aggversion: %w", err)
	}
	epoch, err := strconv.Atoi(field("ce-epoch"))
	if err != nil {
		return Envelope{}, fmt.Errorf("ce-epoch: %w", err)
	}
	e := Envelope{
		ID: field("ce-id"), Type: t, Service: strings.TrimPrefix(field("ce-source"), "/"), Tenant: field("ce-tenantid"),
		Subject: field("ce-subject"), Time: at, Version: version, Epoch: epoch, Traceparent: field("traceparent"),
		Cause: Cause{Actor: field("ce-actor"), CorrelationID: field("ce-correlationid"), CausationID: field("ce-causationid")},
	}
	if e.ID == "" || e.Tenant == "" || e.Subject == "" {
		return Envelope{}, fmt.Errorf("ce-id, ce-tenantid and ce-subject must be set")
	}
	return e, nil
}

// encodeHeader percent-encodes what the CloudEvents NATS binding forbids in header values.
func encodeHeader(v string) string {
	clean := true
	for i := range len(v) {
		clean = clean && !mustEncode(v[i])
	}
	if clean {
		return v
	}
	var b strings.Builder
	for i := range len(v) {
		if mustEncode(v[i]) {
			fmt.Fprintf(&b, "%%%02X", v[i])
		} else {
			b.WriteByte(v[i])
		}
	}
	return b.String()
}

func mustEncode(c byte) bool { return c <= ' ' || c > '~' || c == '%' || c == '"' }

func decodeHeader(v string) string {
	if strings.IndexByte(v, '%') < 0 {
		return v
	}
	if s, err := url.PathUnescape(v); err == nil {
		return s
	}
	return v
}

// Transition is one row of a state table: it names its one event.
type Transition struct {
	From, To string // From is "" for the first state
	Event    Type
	When     string // for people: what leads to it
}

// Machine is the state table of one aggregate.
type Machine struct {
	Aggregate   string
	Service     string
	Body        string // message in agogo.events.v1
	Transitions []Transition
}

// Has reports whether the table has a transition that names this event. An aggregate that stays in its state may do so for
// several reasons, each with an event of its own; those are looked for here.
func (m Machine) Has(from, to string, t Type) bool {
	return slices.ContainsFunc(m.Transitions, func(r Transition) bool { return r.From == from && r.To == to && r.Event == t })
}

// Event returns the event of the transition from one state to another; ok is false when the table does not have it. Of a
// state that may stay for several reasons it is the first row's.
func (m Machine) Event(from, to string) (Type, bool) {
	for _, t := range m.Transitions {
		if t.From == from && t.To == to {
			return t.Event, true
		}
	}
	return "", false
}

// From lists the states that may go to a state.
func (m Machine) From(to string) []string {
	var from []string
	for _, t := range m.Transitions {
		if t.To == to && t.From != "" {
			from = append(from, t.From)
		}
	}
	return from
}

// States lists every state once, in order of appearance.
func (m Machine) States() []string {
	var states []string
	for _, t := range m.Transitions {
		for _, s := range []string{t.From, t.To} {
			if s != "" && !slices.Contains(states, s) {
				states = append(states, s)
			}
		}
	}
	return states
}

// Terminal reports whether nothing leads out of a state.
func (m Machine) Terminal(state string) bool {
	return !slices.ContainsFunc(m.Transitions, func(t Transition) bool { return t.From == state })
}
