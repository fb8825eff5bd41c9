package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"

	"github.com/agogopay/agogo/internal/books"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rpc"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// kindTopUp is the kind of a top-up's posting, whose only record is the posting: the view ledger_facts knows it by this name.
const kindTopUp = "float.topped_up"

// TopUpFloat books money sent to a provider. The same reference again changes nothing.
func (s *Server) TopUpFloat(ctx context.Context, r *payoutsv1.TopUpFloatRequest) (*payoutsv1.TopUpFloatResponse, error) {
	t, err := s.tenant(r.GetTenant())
	if err != nil {
		return nil, err
	}
	connector, ok := t.Providers[r.GetProvider()]
	if !ok {
		return nil, rpc.NotFound("provider", r.GetProvider())
	}
	if r.GetCurrency() != string(t.Currency) {
		return nil, rpc.Invalid("currency", "%s keeps its float in %s; what moved in another currency is recorded as what arrived", t.ID, t.Currency)
	}
	sum := money.Amount{Minor: r.GetAmountMinor(), Currency: t.Currency}
	m := mutation.Mutation{Tenant: t.ID, Action: "TopUpFloat", Target: r.GetProvider(), Detail: sum.Decimal() + " " + string(sum.Currency) + " " + r.GetReference()}
	out := &payoutsv1.TopUpFloatResponse{}
	err = s.mutate(ctx, m, out, func(tx pgx.Tx) (proto.Message, error) {
		float := ledger.Float(r.GetProvider())
		err := ledger.Post(ctx, tx, ledger.Posting{
			Tenant: t.ID, Kind: kindTopUp, Ref: r.GetProvider() + "/" + r.GetReference(), Debit: float, Credit: ledger.Treasury, Amount: sum,
			OccurredAt: s.Clock.Now(),
		})
		if errors.Is(err, ledger.ErrDiffers) {
			return nil, rpc.Refused("REFERENCE_USED", "use the bank transfer's own reference", "reference %s is booked with another amount", r.GetReference())
		}
		if err != nil {
			return nil, err
		}
		c := provider.Connector{Tenant: t.ID, Provider: r.GetProvider(), Kind: connector.Kind}
		if _, err := s.Connectors.FloatRestored(ctx, tx, c); err != nil {
			return nil, fmt.Errorf("wake connector %s/%s: %w", t.ID, r.GetProvider(), err)
		}
		return &payoutsv1.TopUpFloatResponse{}, nil
	})
	if err != nil {
		return nil, err
	}
	// The sum of an account grows with its history: it is read when nobody waits for the connector's row any more.
	b, err := floatBalance(ctx, s.Pool, t.ID, ledger.Float(r.GetProvider()), t.Currency)
	if err != nil {
		return nil, err
	}
	out.Balance = books.Balance(b)
	return out, nil
}

func floatBalance(ctx context.Context, pool *pgxpool.Pool, tenant, account string, c money.Currency) (ledger.Balance, error) {
	all, err := ledger.Balances(ctx, pool, tenant, account, "", 1)
	if err != nil {
		return ledger.Balance{}, err
	}
	for _, b := range all {
		if b.Account == account && b.Currency == c {
			return b, nil
		}
	}
	return ledger.Balance{Account: account, Currency: c}, nil
}
