package admin

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/rpc"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/suspense"
)

// behind reads the place of a list that goes backwards in time.
func behind(token string) (before time.Time, after uuid.UUID, err error) {
	before = farFuture()
	key, err := rpc.ParsePageToken(token, 2)
	if err != nil || key == nil {
		return before, after, err
	}
	var bad, worse error
	before, bad = time.Parse(time.RFC3339Nano, key[0])
	after, worse = uuid.Parse(key[1])
	if bad != nil || worse != nil {
		return before, after, rpc.Invalid("page_token", "not one of ours")
	}
	return before, after, nil
}

func place(at time.Time, id uuid.UUID) string {
	return rpc.PageToken(at.UTC().Format(time.RFC3339Nano), id.String())
}

// ListFindings lists findings, newest first.
func (s *Server) ListFindings(ctx context.Context, r *payoutsv1.ListFindingsRequest) (*payoutsv1.ListFindingsResponse, error) {
	before, after, err := behind(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := rpc.PageSize(r.GetPageSize())
	found, err := reconcile.List(ctx, s.Pool, r.GetTenant(), r.GetProvider(), before, after, size+1)
	if err != nil {
		return nil, err
	}
	found, more := rpc.CutPage(found, size)
	resp := &payoutsv1.ListFindingsResponse{Items: make([]*payoutsv1.Finding, len(found))}
	for i, f := range found {
		resp.Items[i] = &payoutsv1.Finding{
			Id: f.ID.String(), Provider: f.Provider, Source: f.Source, Code: f.Code, SubjectId: f.Subject.String(), Attempt: int32(f.Attempt),
			Reference: f.Reference, Expected: f.Expected, Found: f.Found, Difference: amount(f.Difference.Minor, string(f.Difference.Currency)),
			FoundAt: timestamppb.New(f.FoundAt),
		}
	}
	if more {
		last := found[len(found)-1]
		resp.NextPageToken = place(last.FoundAt, last.ID)
	}
	return resp, nil
}

// ListSuspense lists what is in suspense.
func (s *Server) ListSuspense(ctx context.Context, r *payoutsv1.ListSuspenseRequest) (*payoutsv1.ListSuspenseResponse, error) {
	before, after, err := behind(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := rpc.PageSize(r.GetPageSize())
	left, err := suspense.List(ctx, s.Pool, r.GetTenant(), r.GetProvider(), before, after, size+1)
	if err != nil {
		return nil, err
	}
	left, more := rpc.CutPage(left, size)
	resp := &payoutsv1.ListSuspenseResponse{Items: make([]*payoutsv1.Suspended, len(left))}
	for i, l := range left {
		in := amount(l.Amount.Minor, string(l.Amount.Currency))
		resp.Items[i] = &payoutsv1.Suspended{
			Amount: in, ProposedAccount: l.ProposedAccount, ProposedBy: l.ProposedBy, ProposedReason: l.ProposedReason, ProposedEvidence: l.ProposedEvidence,
			Finding: &payoutsv1.Finding{
				Id: l.Finding.String(), Provider: l.Provider, Source: l.Source, Code: l.Code, SubjectId: l.Subject.String(), Attempt: int32(l.Attempt),
				Reference: l.Reference, Expected: l.Expected, Found: l.Found, Difference: in, FoundAt: timestamppb.New(l.FoundAt),
			},
		}
		if l.ProposedBy != "" {
			resp.Items[i].ProposedAmount = amount(l.Proposed.Minor, string(l.Proposed.Currency))
		}
	}
	if more {
		last := left[len(left)-1]
		resp.NextPageToken = place(last.FoundAt, last.Finding)
	}
	return resp, nil
}

// ResolveFinding proposes whose money in suspense is, or posts what another person proposed.
func (s *Server) ResolveFinding(ctx context.Context, r *payoutsv1.ResolveFindingRequest) (*payoutsv1.ResolveFindingResponse, error) {
	actor, err := decider(ctx, r.GetTenant(), "taking money out of suspense")
	if err != nil {
		return nil, err
	}
	if _, err := s.tenant(r.GetTenant()); err != nil {
		return nil, err
	}
	id, err := uuid.Parse(r.GetId())
	if err != nil {
		return nil, rpc.Invalid("id", "%q is no finding's id (a UUID)", r.GetId())
	}
	var d suspense.Decision
	m := mutation.Mutation{
		Tenant: r.GetTenant(), Action: "ResolveFinding", Target: r.GetId(), RequestID: r.GetRequestId(), Detail: r.GetReason() + "; evidence: " + r.GetEvidence(),
		Became: func() string {
			return map[bool]string{true: "applied ", false: "proposed "}[d.Agreed] + d.Amount.Decimal() + " " + string(d.Amount.Currency) + " to " + d.Account + insteadOf(d.Replaces)
		},
	}
	out := &payoutsv1.ResolveFindingResponse{}
	err = s.mutate(ctx, m, out, func(tx pgx.Tx) (_ proto.Message, err error) {
		d, err = s.Suspense.Decide(ctx, tx, r.GetTenant(), suspense.Words{
			Finding: id, To: r.GetTo(), Amount: r.GetAmountMinor(), Currency: r.GetCurrency(), Reason: r.GetReason(), Evidence: r.GetEvidence(),
		}, actor.Name)
		if err != nil {
			return nil, err
		}
		return &payoutsv1.ResolveFindingResponse{
			Applied: d.Agreed, Account: d.Account, Amount: amount(d.Amount.Minor, string(d.Amount.Currency)), Left: amount(d.Left.Minor, string(d.Left.Currency)),
			Replaces: d.Replaces,
		}, nil
	})
	return out, err
}

// insteadOf is what the audit trail says of words that took the place of another person's.
func insteadOf(whose string) string {
	if whose == "" {
		return ""
	}
	return ", in place of what " + whose + " proposed"
}
