package admin

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/rows"
	"github.com/agogopay/agogo/internal/rpc"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	"github.com/agogopay/agogo/services/recurrences/internal/abecs"
	"github.com/agogopay/agogo/services/recurrences/internal/admin/db"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// PauseRecurrence keeps a recurrence from being charged.
func (s *Server) PauseRecurrence(ctx context.Context, r *recurrencesv1.PauseRecurrenceRequest) (*recurrencesv1.Recurrence, error) {
	return s.operate(ctx, "PauseRecurrence", r, s.Operate.Pause)
}

// ResumeRecurrence lets a paused recurrence be charged again.
func (s *Server) ResumeRecurrence(ctx context.Context, r *recurrencesv1.ResumeRecurrenceRequest) (*recurrencesv1.Recurrence, error) {
	return s.operate(ctx, "ResumeRecurrence", r, s.Operate.Resume)
}

// CancelRecurrence ends a recurrence.
func (s *Server) CancelRecurrence(ctx context.Context, r *recurrencesv1.CancelRecurrenceRequest) (*recurrencesv1.Recurrence, error) {
	return s.operate(ctx, "CancelRecurrence", r, s.Operate.Cancel)
}

// ReactivateRecurrence takes a recurrence off hold.
func (s *Server) ReactivateRecurrence(ctx context.Context, r *recurrencesv1.ReactivateRecurrenceRequest) (*recurrencesv1.Recurrence, error) {
	return s.operate(ctx, "ReactivateRecurrence", r, s.Operate.Reactivate)
}

// decision is what requests about one recurrence or charge have in common.
type decision interface {
	GetTenant() string
	GetId() string
	GetReason() string
	GetRequestId() string
}

func asked(action string, r decision) mutation.Mutation {
	return mutation.Mutation{Tenant: r.GetTenant(), Action: action, Target: r.GetId(), Detail: r.GetReason(), RequestID: r.GetRequestId()}
}

// operate does one thing to one recurrence and answers with the recurrence as it is then.
func (s *Server) operate(
	ctx context.Context, action string, r decision, do func(ctx context.Context, tx pgx.Tx, tenant, id, reason string) error,
) (*recurrencesv1.Recurrence, error) {
	out := &recurrencesv1.Recurrence{}
	err := s.mutate(ctx, asked(action, r), out, func(tx pgx.Tx) (proto.Message, error) {
		if err := do(ctx, tx, r.GetTenant(), r.GetId(), r.GetReason()); err != nil {
			return nil, err
		}
		return s.recurrence(ctx, tx, r.GetTenant(), r.GetId())
	})
	return out, err
}

// SetCard gives a recurrence another card and answers with what is tried with it at once. The trail names the card by its
// id, not by its token.
func (s *Server) SetCard(ctx context.Context, r *recurrencesv1.SetCardRequest) (*recurrencesv1.SetCardResponse, error) {
	brand := string(abecs.ParseBrand(r.GetBrand()))
	if wrong := rows.CheckWord(brand); wrong != "" {
		return nil, rpc.Invalid("brand", "%s", wrong)
	}
	if wrong := rows.CheckID(r.GetToken()); wrong != "" {
		return nil, rpc.Invalid("token", "%s", wrong)
	}
	card := store.CardID(r.GetTenant(), r.GetToken())
	m := mutation.Mutation{
		Tenant: r.GetTenant(), Action: "SetCard", Target: r.GetRecurrenceId(), RequestID: r.GetRequestId(),
		Detail: strings.Join([]string{"card", card.String(), brand + ":", r.GetReason()}, " "),
	}
	out := &recurrencesv1.SetCardResponse{}
	err := s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		if err := s.Operate.SetCard(ctx, tx, r.GetTenant(), r.GetRecurrenceId(), r.GetToken(), brand); err != nil {
			return nil, err
		}
		return s.cardSet(ctx, tx, r.GetTenant(), r.GetRecurrenceId())
	})
	return out, err
}

func (s *Server) cardSet(ctx context.Context, tx pgx.Tx, tenant, id string) (*recurrencesv1.SetCardResponse, error) {
	m, err := s.recurrence(ctx, tx, tenant, id)
	if err != nil {
		return nil, err
	}
	waiting, err := db.New(tx).WaitingOfRecurrence(ctx, db.WaitingOfRecurrenceParams{Tenant: tenant, RecurrenceID: id})
	if err != nil {
		return nil, err
	}
	charges, err := s.charges(ctx, tx, tenant, waiting)
	if err != nil {
		return nil, err
	}
	return &recurrencesv1.SetCardResponse{Recurrence: m, Charges: charges}, nil
}
