package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/provider/db"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// Funds is what is known of a connector's balance. All replicas draw on it in the row of the connector's state, so that together
// they begin no more than it covers.
type Funds struct {
	Balance  int64
	Currency money.Currency
	ReadAt   time.Time // when it was asked for; zero: not known
	Asked    int64     // how often it was asked for
	AskedAt  time.Time
	Asking   bool  // the answer is outstanding
	Spent    int64 // begun since it was asked for
	// Unsure was under way when it was asked for, and may be missing from it already, or is kept by a replica for its next sends.
	Unsure int64
	Clean  bool  // nothing was under way when it was asked for, nor begun since
	FeeBPS int64 // what providers' fees come to; they are taken from the balance too
}

// fundsLast is how long a balance counts. An older one is as good as none: others spend and top up as well.
const fundsLast = 5 * time.Minute

// patience is how long others wait for whoever has asked.
const patience = 5 * time.Second

// Known reports whether the balance counts at a time.
func (f Funds) Known(now time.Time) bool { return f.Younger(fundsLast, now) }

// Younger reports whether the balance is known and was asked for less than d ago.
func (f Funds) Younger(d time.Duration, now time.Time) bool {
	return !f.ReadAt.IsZero() && within(f.ReadAt, d, now)
}

// AskedWithin reports whether somebody has asked less than d ago, whatever came of it.
func (f Funds) AskedWithin(d time.Duration, now time.Time) bool {
	return !f.AskedAt.IsZero() && within(f.AskedAt, d, now)
}

// Awaited reports whether an answer is outstanding that is worth waiting for.
func (f Funds) Awaited(now time.Time) bool { return f.Asking && f.AskedWithin(patience, now) }

// within is false for a time to come: the clock was set back.
func within(t time.Time, d time.Duration, now time.Time) bool {
	return !t.After(now) && now.Sub(t) < d
}

// Left is what may be begun. There may be more while the balance is not clean: what was under way is in it or not, and what was
// begun may have been called off.
func (f Funds) Left() int64 { return f.Balance - f.Spent - f.Unsure }

// Takes is what a transfer takes from the balance, with what its fee comes to.
func (f Funds) Takes(amount int64) int64 { return amount + (amount*f.FeeBPS+9999)/10000 }

func funds(r db.ProviderState) Funds {
	f := Funds{
		Balance: r.FloatBalance, Currency: money.Currency(r.FloatCurrency), Asked: r.FloatAsked, Asking: r.FloatAsking, Spent: r.FloatSpent,
		Unsure: r.FloatUnsure, Clean: r.FloatClean, FeeBPS: int64(r.FloatFeeBps),
	}
	if r.FloatReadAt != nil {
		f.ReadAt = r.FloatReadAt.UTC()
	}
	if r.FloatAskedAt != nil {
		f.AskedAt = r.FloatAskedAt.UTC()
	}
	return f
}

// Ask makes the caller the one who asks for the balance, unless somebody has within a time or is about to be answered. What is
// begun from now on counts against the answer. The caller commits before it looks at what is under way, and asks after that.
func (s *States) Ask(ctx context.Context, q db.DBTX, c Connector, lately time.Duration) (asked int64, at time.Time, ok bool, err error) {
	at = s.Clock.Now().Truncate(time.Microsecond).UTC()
	if err := db.New(q).EnsureState(ctx, db.EnsureStateParams{Tenant: c.Tenant, Provider: c.Provider, Kind: c.Kind, Now: at}); err != nil {
		return 0, at, false, fmt.Errorf("keep state of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	asked, err = db.New(q).AskFunds(ctx, db.AskFundsParams{
		Tenant: c.Tenant, Provider: c.Provider, Now: at, NotSince: at.Add(-lately), GivenUp: at.Add(-patience),
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, at, false, nil
	}
	if err != nil {
		return 0, at, false, fmt.Errorf("ask for the balance of %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return asked, at, true, nil
}

// Answer is a balance, and what it does not show.
type Answer struct {
	Asked    int64     // which question it answers
	At       time.Time // of the question
	Balance  money.Amount
	UnderWay int64 // begun before the question and not answered: in the balance or not
	Doubtful int64 // sent so shortly before that it may yet be taken from the balance
	FeeBPS   int64
}

// Answered keeps a balance, unless somebody has asked again meanwhile.
func (s *States) Answered(ctx context.Context, q db.DBTX, c Connector, a Answer) (kept bool, err error) {
	n, err := db.New(q).AnswerFunds(ctx, db.AnswerFundsParams{
		Tenant: c.Tenant, Provider: c.Provider, Asked: a.Asked, ReadAt: a.At, Balance: a.Balance.Minor, Currency: string(a.Balance.Currency),
		UnderWay: a.UnderWay, Doubtful: a.Doubtful, FeeBps: int32(a.FeeBPS),
	})
	if err != nil {
		return false, fmt.Errorf("keep the balance of %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return n > 0, nil
}

// Unanswered ends a question without an answer. With forget the balance is not known any more.
func (s *States) Unanswered(ctx context.Context, q db.DBTX, c Connector, asked int64, forget bool) error {
	err := db.New(q).NoFunds(ctx, db.NoFundsParams{Tenant: c.Tenant, Provider: c.Provider, Asked: asked, Forget: forget})
	if err != nil {
		return fmt.Errorf("do without the balance of %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return nil
}

// LockFunds locks the connector's row and returns its state, for somebody who is about to spend of its balance.
func (s *States) LockFunds(ctx context.Context, tx pgx.Tx, c Connector) (Status, error) {
	row, err := db.New(tx).LockState(ctx, db.LockStateParams{Tenant: c.Tenant, Provider: c.Provider})
	if err != nil {
		return Status{}, fmt.Errorf("lock state of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return status(row), nil
}

// Spend takes an amount from what is left, and keeps an extra for the caller's next sends. The caller holds the row.
func (s *States) Spend(ctx context.Context, tx pgx.Tx, c Connector, amount, extra int64) error {
	err := db.New(tx).SpendFunds(ctx, db.SpendFundsParams{Tenant: c.Tenant, Provider: c.Provider, Amount: amount, Extra: extra})
	if err != nil {
		return fmt.Errorf("draw on the balance of %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return nil
}

// GiveBack returns of an extra what its keeper has not used and will not, unless the balance was asked for again since it was taken.
func (s *States) GiveBack(ctx context.Context, q db.DBTX, c Connector, asked, unused int64) error {
	err := db.New(q).GiveBackFunds(ctx, db.GiveBackFundsParams{Tenant: c.Tenant, Provider: c.Provider, Asked: asked, Amount: unused})
	if err != nil {
		return fmt.Errorf("give back to the balance of %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return nil
}

// Short says that the balance does not cover what is due: nothing is sent until it does, or for a while.
func (s *States) Short(ctx context.Context, tx pgx.Tx, c Connector, due int64) (Status, error) {
	now := s.Clock.Now()
	return s.move(ctx, tx, c, func(n Status) Status {
		n.Float, n.Needed = FloatInsufficient, due
		return n.rest(CodeShort, s.Health.floatRest(), now)
	})
}

// Due is what waits to be sent through a connector.
type Due struct {
	All   int64 // of all that has no other cause to wait, with fees
	First int64 // of what is held for want of float and nothing else, the first in line; 0: nothing is
}

// Judge takes in a balance where there was too little. With enough for all that is due the float is restored; with enough for the
// first in line the connector is awake again, and what fits is released in order.
//
// A rest that a refusal has brought about lasts: the provider may mean a limit that no balance shows.
func (s *States) Judge(ctx context.Context, tx pgx.Tx, c Connector, due Due) (Status, error) {
	now := s.Clock.Now()
	return s.move(ctx, tx, c, func(n Status) Status {
		left := n.Funds.Left()
		switch {
		case n.Float != FloatInsufficient || !n.Funds.Known(now), n.Resting(now) && n.RestCode == CodeFloat:
		case left >= due.All:
			n.Float, n.Needed = FloatOK, due.All
			n = n.awake()
		case due.First > 0 && left >= due.First:
			n = n.awake()
		case n.RestCode == CodeShort:
			n = n.rest(CodeShort, s.Health.floatRest(), now)
		}
		return n
	})
}

// Forecast takes in what tonight will need: below it the float is low. It is enough again when it covers that and a little more, so
// that a forecast that wavers does not tell of it again and again.
func (s *States) Forecast(ctx context.Context, tx pgx.Tx, c Connector, needed int64) (Status, error) {
	now := s.Clock.Now()
	return s.move(ctx, tx, c, func(n Status) Status {
		if !n.Funds.Known(now) || n.Float == FloatInsufficient {
			return n
		}
		needed := n.Funds.Takes(needed)
		switch left := n.Funds.Left(); {
		case left < needed:
			n.Float, n.Needed = FloatLow, needed
		case n.Float == FloatLow && left-needed >= needed/margin:
			n.Float, n.Needed = FloatOK, needed
		}
		return n
	})
}

// margin is the part of the forecast that must be left over: a fiftieth.
const margin = 50

// Lock makes the connector's row if it has none, locks it and returns its state.
func (s *States) Lock(ctx context.Context, tx pgx.Tx, c Connector) (Status, error) {
	err := db.New(tx).EnsureState(ctx, db.EnsureStateParams{Tenant: c.Tenant, Provider: c.Provider, Kind: c.Kind, Now: s.Clock.Now()})
	if err != nil {
		return Status{}, fmt.Errorf("keep state of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return s.LockFunds(ctx, tx, c)
}

// ToppedUp counts money in that was sent to the provider, and has its balance read anew. Where the balance is not known, or the
// provider has refused, whoever sent the money is believed that it is enough. The caller holds the row, and calls this once for each
// time that money is sent.
func (s *States) ToppedUp(ctx context.Context, tx pgx.Tx, st Status, amount int64, due Due) (Status, error) {
	c, now := st.Connector, s.Clock.Now()
	if err := db.New(tx).AddFunds(ctx, db.AddFundsParams{Tenant: c.Tenant, Provider: c.Provider, Amount: amount}); err != nil {
		return Status{}, fmt.Errorf("add to the balance of %s/%s: %w", c.Tenant, c.Provider, err)
	}
	if !st.Funds.Known(now) || st.Resting(now) && st.RestCode == CodeFloat {
		return s.FloatRestored(ctx, tx, c)
	}
	return s.Judge(ctx, tx, c, due)
}

// Wanting lists, as "<tenant>/<provider>", the connectors whose float does not cover what is due: what is planned for them waits
// behind what waits already.
func (s *States) Wanting(ctx context.Context, q db.DBTX) ([]string, error) {
	now := s.Clock.Now()
	rows, err := db.New(q).ShortConnectors(ctx, db.ShortConnectorsParams{KnownSince: now.Add(-fundsLast), FloatCodes: floatCodes(), Now: now})
	if err != nil {
		return nil, fmt.Errorf("read connectors that want float: %w", err)
	}
	names := make([]string, 0, len(rows))
	for _, r := range rows {
		names = append(names, r.Tenant+"/"+r.Provider)
	}
	return names, nil
}

// awake ends a rest for want of float.
func (n Status) awake() Status {
	if n.RestCode == CodeFloat || n.RestCode == CodeShort {
		n.RestUntil, n.RestCode = time.Time{}, ""
	}
	return n
}

// floatBody is what an event says of a float.
func (s *States) floatBody(before, after Status) *eventsv1.Float {
	body := &eventsv1.Float{Tenant: after.Tenant, Provider: after.Provider, State: after.Float, PreviousState: before.Float}
	f := after.Funds
	if !f.Known(s.Clock.Now()) {
		return body
	}
	sum := func(minor int64) *eventsv1.Money { return &eventsv1.Money{Minor: minor, Currency: string(f.Currency)} }
	body.Available, body.Needed, body.Balance, body.ReadAt = sum(f.Left()), sum(after.Needed), sum(f.Balance), timestamppb.New(f.ReadAt)
	body.Shortfall = sum(max(after.Needed-f.Left(), 0))
	return body
}
