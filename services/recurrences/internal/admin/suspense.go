package admin

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/rpc"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/suspense"
)

// ListSuspense lists what is in suspense.
func (s *Server) ListSuspense(ctx context.Context, r *recurrencesv1.ListSuspenseRequest) (*recurrencesv1.ListSuspenseResponse, error) {
	before, after, err := behind(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := rpc.PageSize(r.GetPageSize())
	left, err := suspense.List(ctx, s.Pool, r.GetTenant(), before, after, size+1)
	if err != nil {
		return nil, err
	}
	left, more := rpc.CutPage(left, size)
	resp := &recurrencesv1.ListSuspenseResponse{Items: make([]*recurrencesv1.Suspended, len(left))}
	for i, l := range left {
		resp.Items[i] = suspended(l)
	}
	if more {
		last := left[len(left)-1]
		resp.NextPageToken = rpc.PageToken(last.FoundAt.UTC().Format(time.RFC3339Nano), last.Finding.String())
	}
	return resp, nil
}

func suspended(l suspense.Left) *recurrencesv1.Suspended {
	m := &recurrencesv1.Suspended{
		FindingId: l.Finding.String(), Gateway: l.Gateway, Code: l.Code, ChargeId: l.Charge.String(), Attempt: int32(l.Attempt), Reference: l.Reference,
		Expected: l.Expected, Found: l.Found, FoundAt: timestamppb.New(l.FoundAt), Amount: amount(l.Amount.Minor, string(l.Amount.Currency)),
		ProposedAccount: l.ProposedAccount, ProposedBy: l.ProposedBy, ProposedReason: l.ProposedReason, ProposedEvidence: l.ProposedEvidence,
	}
	if l.ProposedBy != "" {
		m.ProposedAmount = amount(l.Proposed.Minor, string(l.Proposed.Currency))
	}
	return m
}

// behind reads the place of a list that goes backwards in time.
func behind(token string) (before time.Time, after uuid.UUID, err error) {
	before = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)
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

// ResolveFinding proposes whose money in suspense is, or posts what another person proposed.
func (s *Server) ResolveFinding(ctx context.Context, r *recurrencesv1.ResolveFindingRequest) (*recurrencesv1.ResolveFindingResponse, error) {
	actor, err := decider(ctx, r.GetTenant(), "taking money out of suspense")
	if err != nil {
		return nil, err
	}
	id, err := uuid.Parse(r.GetId())
	if err != nil {
		return nil, rpc.Invalid("id", "is no finding's id (a UUID)")
	}
	var d suspense.Decision
	m := mutation.Mutation{
		Tenant: r.GetTenant(), Action: "ResolveFinding", Target: r.GetId(), RequestID: r.GetRequestId(), Detail: r.GetReason() + "; evidence: " + r.GetEvidence(),
		Became: func() string { return decided(d) },
	}
	out := &recurrencesv1.ResolveFindingResponse{}
	err = s.mutate(ctx, m, out, func(tx pgx.Tx) (_ proto.Message, err error) {
		d, err = s.Suspense.Decide(ctx, tx, r.GetTenant(), suspense.Words{
			Finding: id, To: r.GetTo(), Amount: r.GetAmountMinor(), Currency: r.GetCurrency(), Reason: r.GetReason(), Evidence: r.GetEvidence(),
		}, actor.Name)
		if err != nil {
			return nil, err
		}
		return &recurrencesv1.ResolveFindingResponse{
			Applied: d.Agreed, Account: d.Account, Amount: amount(d.Amount.Minor, string(d.Amount.Currency)), Left: amount(d.Left.Minor, string(d.Left.Currency)),
			Replaces: d.Replaces,
		}, nil
	})
	return out, err
}

// decided says what a person's words came to, and whose they took the place of.
func decided(d suspense.Decision) string {
	return map[bool]string{true: "applied ", false: "proposed "}[d.Agreed] + d.Amount.Decimal() + " " + string(d.Amount.Currency) + " to " + d.Account + insteadOf(d.Replaces)
}

// insteadOf is what the audit trail says of words that took the place of another person's.
func insteadOf(whose string) string {
	if whose == "" {
		return ""
	}
	return ", in place of what " + whose + " proposed"
}
