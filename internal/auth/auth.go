// Package auth says who calls and what they may do, and keeps the audit trail: hash-chained rows per tenant, written in
// the transaction of the change they tell and published to the AUDIT stream.
package auth

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

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

var roleNames = []string{None: "none", Viewer: "viewer", Operator: "operator", Approver: "approver", Admin: "admin"}

// String is the role's name in configuration.
func (r Role) String() string {
	if r < None || r > Admin {
		return fmt.Sprintf("role(%d)", int(r))
	}
	return roleNames[r]
}

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	if i := slices.Index(roleNames, s); i > int(None) {
		return Role(i), nil
	}
	return None, fmt.Errorf("role %q is not viewer, operator, approver or admin", s)
}

// covers reports whether a holder of r may do what needs want.
func (r Role) covers(want Role) bool {
	switch {
	case want < Viewer || want > Admin:
		return false // a policy that names no role gives nothing away
	case r == Admin, r == want:
		return true
	default:
		return want == Viewer && (r == Operator || r == Approver)
	}
}

// Actor is an authenticated caller.
type Actor struct {
	Name    string // "user:ada", "service:payouts"
	Role    Role
	Tenants []string // "*": all
}

// May reports whether the actor has the role on the tenant. No tenant means all of them.
func (a Actor) May(r Role, tenant string) bool {
	return a.Has(r) && (slices.Contains(a.Tenants, "*") || tenant != "" && slices.Contains(a.Tenants, tenant))
}

// Has reports whether the actor has the role on any tenant. It opens the door to calls that name no tenant; what they
// show must still be asked about with [Actor.May].
func (a Actor) Has(r Role) bool {
	return a.Name != "" && len(a.Tenants) > 0 && a.Role.covers(r)
}

type actorKey struct{}

// WithActor and ActorFrom carry the caller through a context.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorFrom returns the caller; ok is false outside an authenticated call.
func ActorFrom(ctx context.Context) (a Actor, ok bool) {
	a, ok = ctx.Value(actorKey{}).(Actor)
	return a, ok && a.Name != ""
}

// Require returns the caller if it has the role on the tenant, else a PermissionDenied or Unauthenticated status.
func Require(ctx context.Context, r Role, tenant string) (Actor, error) {
	a, ok := ActorFrom(ctx)
	if !ok {
		return Actor{}, status.Error(codes.Unauthenticated, "no caller: send a bearer token")
	}
	if !a.May(r, tenant) {
		return Actor{}, denied(a, r, tenant)
	}
	return a, nil
}

func denied(a Actor, r Role, tenant string) error {
	if tenant == "" {
		return status.Errorf(codes.PermissionDenied, "%s needs the role %s on all tenants: name a tenant, or ask an administrator", a.Name, r)
	}
	return status.Errorf(codes.PermissionDenied, "%s needs the role %s on tenant %q: ask an administrator", a.Name, r, tenant)
}

// Policy maps a full gRPC method to the role it needs. A method that is not in it is denied.
type Policy map[string]Role
