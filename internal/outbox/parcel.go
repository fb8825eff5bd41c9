package outbox

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/agogopay/agogo/internal/outbox/db"
)

// parcelMost is how many messages one row holds: what one of them costs does not fall much below it, and a parcel is read
// into memory as a whole.
const parcelMost = 250

// parcels packs messages into rows: one for each stream and part, in the order of their first messages.
func parcels(msgs []Message) ([]db.AppendParcelParams, error) {
	type place struct {
		stream string
		part   int16
	}
	index := map[place]int{}
	var groups [][]Message
	for _, m := range msgs {
		if m.ID == "" || m.Stream == "" || m.Subject == "" || m.Key == "" {
			return nil, fmt.Errorf("outbox: message %q for %q on stream %q with key %q: all four must be set", m.ID, m.Subject, m.Stream, m.Key)
		}
		at := place{m.Stream, partOf(m.Key)}
		i, ok := index[at]
		if !ok || len(groups[i]) == parcelMost {
			i = len(groups)
			index[at] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], m)
	}
	rows := make([]db.AppendParcelParams, len(groups))
	for i, g := range groups {
		var err error
		if rows[i], err = pack(g); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// pack makes a row of messages of one stream and part.
func pack(msgs []Message) (db.AppendParcelParams, error) {
	n := len(msgs)
	p := db.AppendParcelParams{
		Part: partOf(msgs[0].Key), Stream: msgs[0].Stream, Messages: int32(n), Keys: make([]string, n), MsgIds: make([]string, n),
		Subjects: make([]string, n), Headers: make([]string, n), Payloads: make([][]byte, n),
	}
	common := shared(msgs)
	var err error
	if p.Common, err = lines(common, nil); err != nil {
		return p, fmt.Errorf("outbox: headers of message %s: %w", msgs[0].ID, err)
	}
	for i, m := range msgs {
		p.Keys[i], p.MsgIds[i], p.Subjects[i], p.Payloads[i] = m.Key, m.ID, m.Subject, orEmpty(m.Payload)
		if p.Headers[i], err = lines(m.Headers, common); err != nil {
			return p, fmt.Errorf("outbox: headers of message %s: %w", m.ID, err)
		}
	}
	return p, nil
}

// shared is the headers that all messages have, with the same values: most of an event's, when one transaction writes many.
func shared(msgs []Message) map[string]string {
	common := make(map[string]string, len(msgs[0].Headers))
	for k, v := range msgs[0].Headers {
		common[k] = v
	}
	for _, m := range msgs[1:] {
		for k, v := range common {
			if other, ok := m.Headers[k]; !ok || other != v {
				delete(common, k)
			}
		}
	}
	return common
}

var errHeader = errors.New("a header holds what none may")

// lines writes headers as "name:value", a line each, without those of except.
func lines(headers, except map[string]string) (string, error) {
	var b strings.Builder
	b.Grow(48 * (len(headers) - len(except)))
	for k, v := range headers {
		if _, there := except[k]; there {
			continue
		}
		if k == "" || strings.ContainsAny(k, ":\r\n") || strings.ContainsAny(v, "\r\n") {
			return "", fmt.Errorf("%w: %q", errHeader, k)
		}
		b.WriteString(k)
		b.WriteByte(':')
		b.WriteString(v)
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// header undoes lines. Room is for the two that publishing adds.
func header(texts ...string) (nats.Header, error) {
	n := 0
	for _, t := range texts {
		n += strings.Count(t, "\n")
	}
	h, values := make(nats.Header, n+2), make([]string, 0, n)
	for _, t := range texts {
		for line := range strings.Lines(t) {
			k, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
			if !ok {
				return nil, fmt.Errorf("%w: a line without a colon", errHeader)
			}
			values = append(values, v)
			h[k] = values[len(values)-1 : len(values) : len(values)] // as written: the client looks names up exactly
		}
	}
	return h, nil
}

// orEmpty keeps an absent payload from becoming NULL.
func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// partOf is the part of a key. It follows from the key's group, which is what precedes its first slash (a tenant, a run): so
// what a transaction tells of many of a tenant's aggregates travels together.
func partOf(key string) int16 {
	group, _, _ := strings.Cut(key, "/")
	h := fnv.New32a()
	h.Write([]byte(group))
	return int16(h.Sum32() % parts)
}
