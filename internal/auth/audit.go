package auth

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/auth/db"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/telemetry"
)

// Entry is one line of the audit trail.
type Entry struct {
	Tenant    string
	Service   string
	Action    string // the method's name
	Target    string // resource id
	Detail    string // what changed, without personal data
	RequestID string
	At        time.Time
}

// line is an entry in its chain, as it is hashed, stored and published.
//
// A chain begins with the digest of ("agogo.audit.v1", tenant, service) as prev_hash. The hash of a line is the SHA-256 of
// its fields in the order of this struct, prev_hash first, each preceded by its length as eight bytes, big endian; seq is
// decimal, at is RFC 3339 in UTC with microseconds as needed. Whoever has the messages of AUDIT can follow a chain
// without the database.
type line struct {
	PrevHash      string `json:"prev_hash"` // hexadecimal, as hash is; both are hashed as bytes
	Tenant        string `json:"tenant"`
	Service       string `json:"service"`
	Seq           int64  `json:"seq,string"`
	At            string `json:"at"`
	Actor         string `json:"actor"`
	Role          string `json:"role"`
	Action        string `json:"action"`
	Target        string `json:"target"`
	Detail        string `json:"detail"`
	RequestID     string `json:"request_id"`
	CorrelationID string `json:"correlation_id"`
	Hash          string `json:"hash"`
}

func lineOf(e db.AuditEntry) line {
	return line{
		PrevHash: hex.EncodeToString(e.PrevHash), Tenant: e.Tenant, Service: e.Service, Seq: e.Seq,
		At: e.At.UTC().Format(time.RFC3339Nano), Actor: e.Actor, Role: e.Role, Action: e.Action, Target: e.Target,
		Detail: e.Detail, RequestID: e.RequestID, CorrelationID: e.CorrelationID, Hash: hex.EncodeToString(e.Hash),
	}
}

func hashOf(e db.AuditEntry) []byte { return lineOf(e).sum(e.PrevHash) }

// sum is the hash that the line must have when prev is its PrevHash.
func (l line) sum(prev []byte) []byte {
	return digest(string(prev), l.Tenant, l.Service, strconv.FormatInt(l.Seq, 10), l.At, l.Actor, l.Role, l.Action,
		l.Target, l.Detail, l.RequestID, l.CorrelationID)
}

func genesis(tenant, service string) []byte { return digest("agogo.audit.v1", tenant, service) }

// digest hashes fields so that no two different lists of them share a hash.
func digest(fields ...string) []byte {
	h := sha256.New()
	for _, f := range fields {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(f)))
		h.Write(n[:])
		h.Write([]byte(f))
	}
	return h.Sum(nil)
}

// Record appends an entry for the context's actor in the caller's transaction, chained to the tenant's previous one, and
// its message to AUDIT. It fails without an actor. Until the transaction ends no other one can append to the chain, so
// record last, and once per transaction rather than per row.
func Record(ctx context.Context, tx pgx.Tx, ob *outbox.Outbox, e Entry) error {
	actor, ok := ActorFrom(ctx)
	if !ok {
		return fmt.Errorf("audit of %s: no authenticated actor in the context", e.Action)
	}
	if e.Tenant == "" || e.Service == "" || e.Action == "" || e.At.IsZero() {
		return errors.New("audit: tenant, service, action and time must be set")
	}
	q := db.New(tx)
	head, err := q.LockHead(ctx, db.LockHeadParams{Tenant: e.Tenant, Service: e.Service, Genesis: genesis(e.Tenant, e.Service)})
	if err != nil {
		return fmt.Errorf("audit: lock the chain of %s: %w", e.Tenant, err)
	}
	row := db.AuditEntry{
		Tenant: e.Tenant, Service: e.Service, Seq: head.Seq + 1, PrevHash: head.Hash,
		// What the database stores is what must be hashed: microseconds, and texts it accepts.
		At: e.At.UTC().Truncate(time.Microsecond), Actor: actor.Name, Role: actor.Role.String(), Action: storable(e.Action),
		Target: storable(e.Target), Detail: storable(telemetry.Mask(e.Detail)), RequestID: storable(e.RequestID),
		CorrelationID: storable(event.CauseFrom(ctx).CorrelationID),
	}
	row.Hash = hashOf(row)
	if err := q.AppendEntry(ctx, db.AppendEntryParams(row)); err != nil {
		return fmt.Errorf("audit: append to the chain of %s: %w", e.Tenant, err)
	}
	msg, err := message(ctx, row)
	if err != nil {
		return err
	}
	return ob.Append(ctx, tx, msg)
}

func message(ctx context.Context, row db.AuditEntry) (outbox.Message, error) {
	l := lineOf(row)
	payload, err := json.Marshal(l)
	if err != nil {
		return outbox.Message{}, fmt.Errorf("audit: encode: %w", err)
	}
	headers := map[string]string{"content-type": "application/json"}
	if tp := telemetry.Traceparent(ctx); tp != "" {
		headers["traceparent"] = tp
	}
	return outbox.Message{
		// The hash and not the number: after a restore another entry may have this one's number.
		ID: "audit-" + l.Hash, Stream: stream.Audit, Subject: "agogo.audit." + row.Tenant + "." + row.Service,
		Key: row.Tenant, Headers: headers, Payload: payload,
	}, nil
}

// storable makes a text that Postgres takes: valid UTF-8 without NUL.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
