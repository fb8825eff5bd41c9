// Package audit serves agogo.audit.v1 for a service: it verifies the audit trail in the service's tables.
package audit

import (
	"context"
	"maps"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"

	"github.com/agogopay/agogo/internal/auth"
	auditv1 "github.com/agogopay/agogo/proto/gen/go/agogo/audit/v1"
)

// WithPolicy adds to a service's policy the roles of what [Register] serves.
func WithPolicy(own auth.Policy) auth.Policy {
	all := auth.Policy{}
	maps.Copy(all, own)
	all[auditv1.AuditService_VerifyAudit_FullMethodName] = auth.Viewer
	return all
}

// Register serves the verification of the trail that pool's schema holds.
func Register(s grpc.ServiceRegistrar, pool *pgxpool.Pool) {
	auditv1.RegisterAuditServiceServer(s, &server{pool: pool})
}

type server struct {
	auditv1.UnsafeAuditServiceServer // a method that is missing does not compile
	pool                             *pgxpool.Pool
}

func (s *server) VerifyAudit(ctx context.Context, req *auditv1.VerifyAuditRequest) (*auditv1.VerifyAuditResponse, error) {
	if _, err := auth.Require(ctx, auth.Viewer, req.GetTenant()); err != nil {
		return nil, err
	}
	chains, err := auth.Verify(ctx, s.pool, req.GetTenant())
	if err != nil {
		return nil, err
	}
	resp := &auditv1.VerifyAuditResponse{Chains: make([]*auditv1.Chain, len(chains))}
	for i, c := range chains {
		resp.Chains[i] = chainProto(c)
	}
	return resp, nil
}

func chainProto(c auth.Chain) *auditv1.Chain {
	p := &auditv1.Chain{Tenant: c.Tenant, Service: c.Service, Entries: c.Entries, Hash: c.Hash}
	if c.Break != nil {
		p.Broken = &auditv1.Break{Seq: c.Break.Seq, Problem: c.Break.Problem}
	}
	return p
}
