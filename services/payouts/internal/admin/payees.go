package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/admin/db"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
)

// ListPayees lists payees by id.
func (s *Server) ListPayees(ctx context.Context, r *payoutsv1.ListPayeesRequest) (*payoutsv1.ListPayeesResponse, error) {
	after, err := rpc.ParsePageKey(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := rpc.PageSize(r.GetPageSize())
	rows, err := s.queries().ListPayees(ctx, db.ListPayeesParams{
		Tenant: r.GetTenant(), After: after, State: r.GetState(), DefaultProvider: s.Store.DefaultProvider(r.GetTenant()), PageLimit: int32(size + 1),
	})
	if err != nil {
		return nil, fmt.Errorf("list payees: %w", err)
	}
	rows, more := rpc.CutPage(rows, size)
	resp := &payoutsv1.ListPayeesResponse{Items: make([]*payoutsv1.Payee, len(rows))}
	for i, y := range rows {
		resp.Items[i] = s.payeeOf(r.GetTenant(), db.FindPayeeRow(y))
	}
	if more {
		resp.NextPageToken = rpc.PageToken(rows[len(rows)-1].PayeeID)
	}
	return resp, nil
}

func (s *Server) payeeOf(tenant string, y db.FindPayeeRow) *payoutsv1.Payee {
	m := &payoutsv1.Payee{
		Id: y.PayeeID, Tenant: tenant, Name: y.Name, Phone: masked(y.Phone), Provider: y.Provider, Locale: y.Locale, State: y.State,
		PauseReason: y.PauseReason, PauseDetail: y.PauseDetail, PausedBy: y.PausedBy, DestinationState: "confirmed",
		DestinationChangedBy: y.DestinationChangedBy, DestinationConfirmedBy: y.DestinationConfirmedBy,
	}
	s.walletOf(m, y)
	s.recipientOf(m, y)
	m.NextStep = nextStep(m)
	return m
}

// walletOf says whether the payee's wallet is paid now, and from when on it is.
func (s *Server) walletOf(m *payoutsv1.Payee, y db.FindPayeeRow) {
	var coolOff time.Duration
	if t, ok := s.Tenants.Tenant(m.GetTenant()); ok && t.Payouts != nil {
		coolOff = t.Payouts.DestinationCoolOff
	}
	if y.DestinationChangedAt != nil {
		if from := y.DestinationChangedAt.Add(coolOff); from.After(s.Clock.Now()) {
			m.DestinationState, m.PayableFrom = "cooling_off", timestamppb.New(from)
		}
	}
	if y.Unconfirmed {
		m.DestinationState = "unconfirmed"
	}
}

// recipientOf says what the provider says of the payee's wallet, while it is asked.
func (s *Server) recipientOf(m *payoutsv1.Payee, y db.FindPayeeRow) {
	rule := s.Store.Verifies(m.GetTenant(), cmp.Or(y.Provider, s.Store.DefaultProvider(m.GetTenant())))
	if rule == "" || y.RecipientState == "" {
		return
	}
	m.RecipientState, m.RecipientCode = y.RecipientState, y.RecipientCode
	if y.RecipientRule != rule && y.RecipientState != payout.RecipientConfirmed { // answered under another rule: asked again with the next payout
		m.RecipientState, m.RecipientCode = payout.RecipientUnverified, ""
	}
	if m.GetRecipientState() == payout.RecipientVerified && y.RecipientCovers > 0 {
		m.RecipientCovers = &eventsv1.Money{Minor: y.RecipientCovers, Currency: y.RecipientCurrency}
	}
	m.RecipientNextAt = instant(y.RecipientNextAt)
	m.RecipientSince, m.RecipientCheckedAt = instant(y.RecipientSince), instant(y.RecipientCheckedAt)
	m.RecipientUnanswered, m.RecipientConfirmedBy = y.RecipientUnanswered, y.RecipientConfirmedBy
}

// nextStep is what a person can do for the payee to be paid; "" when nothing is in the way.
func nextStep(m *payoutsv1.Payee) string {
	switch {
	case m.GetDestinationState() == "unconfirmed":
		return "ask the payee whose wallet it is, then, by another person than who imported it: agogo payees confirm " + m.GetId() + " --phone-ends DIGITS --reason TEXT"
	case m.GetState() == "paused" && m.GetPauseReason() == payout.CodeRepeatedFailures:
		return "ask the payee for a wallet that works, import and confirm it, then: agogo payees resume " + m.GetId() + " --reason TEXT"
	case m.GetState() == "paused":
		return "agogo payees resume " + m.GetId() + " --reason TEXT"
	case m.GetRecipientState() == payout.RecipientVerified && m.GetRecipientCode() != "":
		return "the wallet does not take a larger payout now and is asked about again; the payee can have its limit raised by the provider, or give another wallet to import"
	case m.GetRecipientState() == payout.RecipientRefused && m.GetRecipientCode() == "limit_exceeded":
		return "the wallet takes no such amount now and is asked about again, by the smallest payout that waits; the payee can have its limit raised by the provider, or give another wallet to import"
	case m.GetRecipientState() == payout.RecipientRefused && m.GetRecipientCode() == "payee_inactive":
		return "the payee has to have the wallet activated by the provider, it is asked about again; or import another wallet of theirs"
	case payout.RecipientCode(m.GetRecipientState()) == payout.CodeMismatch:
		return "ask the payee whose wallet it is; import the right wallet or name, or, by another person than who imported them: agogo payees confirm " + m.GetId() + " --phone-ends DIGITS --reason TEXT"
	case m.GetRecipientUnanswered() > 0:
		return "the provider does not answer and is asked again; who knows the wallet may say so: agogo payees confirm " + m.GetId() + " --phone-ends DIGITS --reason TEXT"
	default:
		return ""
	}
}

// changePayee is a mutation of one payee that answers with the payee as it is then.
func (s *Server) changePayee(ctx context.Context, m mutation.Mutation, do func(tx pgx.Tx, actor string) error) (*payoutsv1.Payee, error) {
	if _, err := s.tenant(m.Tenant); err != nil {
		return nil, err
	}
	actor, _ := auth.ActorFrom(ctx)
	out := &payoutsv1.Payee{}
	err := s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		if err := do(tx, actor.Name); err != nil {
			return nil, err
		}
		y, err := s.findPayee(ctx, tx, m.Tenant, m.Target)
		if err != nil {
			return nil, err
		}
		return s.payeeOf(m.Tenant, y), nil
	})
	return out, err
}

func (s *Server) findPayee(ctx context.Context, tx pgx.Tx, tenant, id string) (db.FindPayeeRow, error) {
	y, err := db.New(tx).FindPayee(ctx, db.FindPayeeParams{Tenant: tenant, PayeeID: id, DefaultProvider: s.Store.DefaultProvider(tenant)})
	if errors.Is(err, pgx.ErrNoRows) {
		return y, rpc.NotFound("payee", id)
	}
	if err != nil {
		return y, fmt.Errorf("read payee %s: %w", id, err)
	}
	return y, nil
}

// unlessKnown is why a payee was not changed: there is none, or else what is given.
func (s *Server) unlessKnown(ctx context.Context, tx pgx.Tx, m mutation.Mutation, why error) error {
	if _, err := s.findPayee(ctx, tx, m.Tenant, m.Target); err != nil {
		return err
	}
	return why
}

// PausePayee stops paying a payee.
func (s *Server) PausePayee(ctx context.Context, r *payoutsv1.PausePayeeRequest) (*payoutsv1.Payee, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "PausePayee", Target: r.GetPayeeId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	return s.changePayee(ctx, m, func(tx pgx.Tx, actor string) error {
		ok, err := s.Store.PausePayee(ctx, tx, m.Tenant, m.Target, actor, m.Detail)
		if err != nil || ok {
			return err
		}
		return s.unlessKnown(ctx, tx, m, rpc.Refused("not_active", "agogo payees list --state paused says why", "payee %q is paused already", m.Target))
	})
}

// ResumePayee lets a paused payee be paid again.
func (s *Server) ResumePayee(ctx context.Context, r *payoutsv1.ResumePayeeRequest) (*payoutsv1.Payee, error) {
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "ResumePayee", Target: r.GetPayeeId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	return s.changePayee(ctx, m, func(tx pgx.Tx, _ string) error {
		ok, err := s.Store.ResumePayee(ctx, tx, m.Tenant, m.Target)
		if err != nil || ok {
			return err
		}
		return s.unlessKnown(ctx, tx, m, rpc.Refused("not_paused", "look at it: agogo payees list", "payee %q is not paused", m.Target))
	})
}

// ConfirmPayee says that a payee's wallet is theirs. Operators and approvers may; who imported it may not.
func (s *Server) ConfirmPayee(ctx context.Context, r *payoutsv1.ConfirmPayeeRequest) (*payoutsv1.Payee, error) {
	actor, _ := auth.ActorFrom(ctx)
	if !actor.May(auth.Operator, r.GetTenant()) && !actor.May(auth.Approver, r.GetTenant()) {
		return nil, status.Errorf(codes.PermissionDenied, "confirming needs the role operator or approver on %s", r.GetTenant())
	}
	m := mutation.Mutation{Tenant: r.GetTenant(), Action: "ConfirmPayee", Target: r.GetPayeeId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
	return s.changePayee(ctx, m, func(tx pgx.Tx, actor string) error {
		return s.Store.ConfirmPayee(ctx, tx, m.Tenant, m.Target, actor, r.GetPhoneEnds())
	})
}
