package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/books"
	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/mutation"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/rpc"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/float"
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
		c := provider.Connector{Tenant: t.ID, Provider: r.GetProvider(), Kind: connector.Kind}
		return &payoutsv1.TopUpFloatResponse{}, s.topUp(ctx, tx, c, ledger.Posting{
			Tenant: t.ID, Kind: kindTopUp, Ref: r.GetProvider() + "/" + r.GetReference(), Debit: ledger.Float(r.GetProvider()), Credit: ledger.Treasury,
			Amount: sum, OccurredAt: s.Clock.Now(),
		})
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

// topUp books the money and counts it as there. The connector's row is held meanwhile, so that of two calls with one reference only
// the first finds it new.
func (s *Server) topUp(ctx context.Context, tx pgx.Tx, c provider.Connector, p ledger.Posting) error {
	before, err := s.Connectors.Get(ctx, tx, c)
	if err != nil {
		return err
	}
	due, err := s.Float.Due(ctx, tx, c, before.Funds.FeeBPS) // before the row is held: it reads all that waits
	if err != nil {
		return err
	}
	st, err := s.Connectors.Lock(ctx, tx, c)
	if err != nil {
		return err
	}
	known, err := ledger.Postings(ctx, tx, ledger.Filter{Tenant: p.Tenant, Ref: p.Ref, Limit: 1})
	if err != nil {
		return err
	}
	if err := ledger.Post(ctx, tx, p); errors.Is(err, ledger.ErrDiffers) {
		return rpc.Refused("REFERENCE_USED", "use the bank transfer's own reference", "reference %s is booked with another amount", strings.TrimPrefix(p.Ref, c.Provider+"/"))
	} else if err != nil || len(known) > 0 {
		return err
	}
	if _, err := s.Connectors.ToppedUp(ctx, tx, st, p.Amount.Minor, due); err != nil {
		return fmt.Errorf("wake connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return nil
}

// ListFloats shows each provider's float: what the provider says, what the books say, and what the next run will need.
func (s *Server) ListFloats(ctx context.Context, r *payoutsv1.ListFloatsRequest) (*payoutsv1.ListFloatsResponse, error) {
	t, err := s.tenant(r.GetTenant())
	if err != nil {
		return nil, err
	}
	states, err := s.Connectors.List(ctx, s.Pool, t.ID)
	if err != nil {
		return nil, err
	}
	forecast, err := s.Float.Forecast(ctx, t)
	if err != nil {
		return nil, err
	}
	out := &payoutsv1.ListFloatsResponse{}
	for _, name := range slices.Sorted(maps.Keys(t.Providers)) {
		if _, ok := s.Float.Connectors.Get(t.ID, name); !ok {
			continue // it pays nobody
		}
		f := funds(t, name, states[name], forecast)
		if err := s.books(ctx, t, f); err != nil {
			return nil, err
		}
		out.Items = append(out.Items, f)
	}
	return out, nil
}

// funds is what the provider says, and what is needed of it. A connector without a state was never used.
func funds(t config.Tenant, name string, st provider.Status, forecast float.Forecast) *payoutsv1.Float {
	need := forecast.Needs[name]
	sum := func(minor int64) *eventsv1.Money { return amount(minor, string(t.Currency)) }
	f := &payoutsv1.Float{
		Tenant: t.ID, Provider: name, State: cmp.Or(st.Float, provider.FloatOK),
		Waiting: sum(need.Waiting), Owed: sum(need.Owed), Expected: sum(need.Expected), Needed: sum(st.Funds.Takes(need.Total())),
	}
	if !forecast.Run.IsZero() {
		f.NextRun = timestamppb.New(forecast.Run)
	}
	if !st.Funds.ReadAt.IsZero() {
		f.Balance, f.ReadAt, f.Available = sum(st.Funds.Balance), timestamppb.New(st.Funds.ReadAt), sum(st.Funds.Left())
		f.Shortfall = sum(max(f.GetNeeded().GetMinor()-st.Funds.Left(), 0))
	}
	return f
}

// books adds what the books say.
func (s *Server) books(ctx context.Context, t config.Tenant, f *payoutsv1.Float) error {
	booked, err := floatBalance(ctx, s.Pool, t.ID, ledger.Float(f.GetProvider()), t.Currency)
	if err != nil {
		return err
	}
	transit, err := floatBalance(ctx, s.Pool, t.ID, ledger.InTransit(f.GetProvider()), t.Currency)
	if err != nil {
		return err
	}
	f.Booked, f.InFlight = amount(booked.Net(), string(t.Currency)), amount(-transit.Net(), string(t.Currency))
	if f.GetBalance() != nil {
		f.Difference = amount(f.GetBalance().GetMinor()-booked.Net(), string(t.Currency))
	}
	return nil
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
