// Package auth says who calls and what they may do, and keeps the audit trail: hash-chained rows per tenant, written in
// the transaction of the change they tell and published to the AUDIT stream.
package auth

import (
	"context"
	"crypto/sha256"
	"embed"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the audit trail and the table of idempotent requests.
var Migrations = pg.Set{Name: "auth", FS: sub(migrations)}

func sub(f embed.FS) fs.FS {
	s, err := fs.Sub(f, "migrations")
	if err != nil {
		panic(err) // the folder is embedded: only a broken build can get here
	}
	return s
}

// Role orders what callers may do.
type Role int

// The roles, each including those before it except that an approver is no operator and an operator no approver.
const (
	None Role = iota
	Viewer
	Operator
	Approver
	Admin
)

// Actor is an authenticated caller.
type Actor struct {
	Name    string // "user:ada", "service:payouts"
	Role    Role
	Tenants []string // "*": all
}

// May reports whether the actor has the role on the tenant.
func (a Actor) May(r Role, tenant string) bool { panic("contract") }

// WithActor and ActorFrom carry the caller through a context.
func WithActor(ctx context.Context, a Actor) context.Context { panic("contract") }

// ActorFrom returns the caller; ok is false outside an authenticated call.
func ActorFrom(ctx context.Context) (a Actor, ok bool) { panic("contract") }

// Require returns the caller if it has the role on the tenant, else a PermissionDenied or Unauthenticated status.
func Require(ctx context.Context, r Role, tenant string) (Actor, error) { panic("contract") }

// Authenticator turns a bearer token into an actor.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (Actor, error)
}

// Static authenticates by the hashes of configured tokens.
type Static struct{ byHash map[[sha256.Size]byte]Actor }

// NewStatic makes an authenticator of the tokens file's list.
func NewStatic(tokens []config.Token) (*Static, error) { panic("contract") }

// Authenticate compares hashes.
func (s *Static) Authenticate(ctx context.Context, token string) (Actor, error) { panic("contract") }

// Policy maps a full gRPC method to the role it needs. A method that is not in it is denied.
type Policy map[string]Role

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

// Record appends an entry for the context's actor in the caller's transaction, chained to the tenant's previous one, and
// its message to AUDIT. It fails without an actor.
func Record(ctx context.Context, tx pgx.Tx, ob *outbox.Outbox, e Entry) error { panic("contract") }

// Once makes a mutation idempotent by (tenant, method, request id): the first call runs fn and stores its result in tx,
// later calls get that result. An empty request id always runs fn.
func Once(ctx context.Context, tx pgx.Tx, tenant, method, requestID string, fn func() ([]byte, error)) ([]byte, error) {
	panic("contract")
}
