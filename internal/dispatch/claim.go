package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
)

// claimed is what one claim brought.
type claimed struct {
	begun   []attempt.Attempt
	owner   string        // of the leases of what was begun, and of nothing else
	about   string        // what the provider is told
	held    int           // rows that may not go and were put aside
	rest    time.Duration // the connector rests for so long; nothing was claimed
	probing bool          // one transfer at a time goes, and one is under way, here or elsewhere; nothing was claimed
	refused bool          // the connector was stopped instead; nothing was claimed, and the next look says so
	trial   bool          // what was begun uses a credential that is not proven
	cover   Cover         // of what was begun; with Look nothing more is claimed before the balance is read
}

// claim is transaction A: it takes up to most rows, writes their attempts with references and leases, has them posted, and
// commits.
//
// The commit may fail without telling whether it happened. Then nothing is sent: what was begun is returned with the error,
// to be recorded as never sent.
func (l *lane) claim(ctx context.Context, most int) (claimed, error) {
	var c claimed
	committing := false
	err := errMoved
	for errors.Is(err, errMoved) {
		err = pg.InTx(ctx, l.d.Pool, func(tx pgx.Tx) (err error) {
			c, err = l.claimIn(ctx, tx, most)
			committing = err == nil
			return err
		})
	}
	if err != nil && !committing {
		c = claimed{}
	}
	if err == nil && c.cover.Kept != nil {
		c.cover.Kept()
	}
	l.d.metrics.claimed.Observe(float64(len(c.begun)))
	return c, err
}

// holdMost is how many rows one transaction puts aside: a whole page.
const holdMost = 500

func (l *lane) claimIn(ctx context.Context, tx pgx.Tx, most int) (c claimed, err error) {
	g, err := l.gate(ctx, tx)
	if err != nil {
		return c, err
	}
	c.rest = g.rest
	if g.degraded && g.Code == "" && g.rest == 0 {
		if c.probing, err = attempt.UnderWay(ctx, tx, l.Connector.Tenant, l.Connector.Provider); err != nil {
			return c, err
		}
	}
	switch {
	case g.Code != "" && g.Stay && g.Ask:
		claim, err := l.proven(ctx, tx, 0)
		c.held = claim.Held
		return c, err
	case g.Code != "" && g.Stay, c.rest > 0, c.probing:
		return c, nil
	case g.Code != "":
		c.held, err = l.d.Book.Hold(ctx, tx, l.Lane, g.Code, holdMost)
		return c, err
	case g.degraded || g.unproven:
		most = 1
	}
	return l.take(ctx, tx, g, most)
}

// take claims rows behind open gates, and begins what their connector's balance covers.
func (l *lane) take(ctx context.Context, tx pgx.Tx, g gates, most int) (c claimed, err error) {
	claim, err := l.proven(ctx, tx, most)
	if err != nil {
		return c, err
	}
	c.held, c.about = claim.Held, claim.Description
	if len(claim.Starts) == 0 {
		return c, nil
	}
	if g.unproven { // before anything is drawn on the balance for it
		trial, err := l.d.States.BeginTrial(ctx, tx, l.Connector.Connector, l.owner, l.Connector.Policy.Lease)
		c.trial, c.probing, c.refused = trial == provider.TrialBegun, trial == provider.TrialElsewhere, trial == provider.TrialRefused
		if err != nil || !c.trial {
			return c, err
		}
	}
	if c.cover, err = l.fit(ctx, tx, g.status, &claim); err != nil {
		return c, err
	}
	if len(claim.Starts) == 0 {
		c.refused = c.cover.Short
		return c, l.unused(ctx, tx, &c)
	}
	// The feeder and the recorder both claim, so the lane's name does not fence: a claim whose commit was lost is recorded as never sent, and
	// must not match what was claimed instead of it.
	c.owner = l.owner + "/" + uuid.NewString()
	if c.begun, err = attempt.Begin(ctx, tx, c.owner, l.Connector.Policy.Lease, l.d.Clock.Now(), claim.Starts); err != nil {
		return c, err
	}
	if err = claim.Begun(ctx, tx, c.begun); err != nil {
		return c, err
	}
	return c, l.unmoved(ctx, tx, g)
}

// errMoved means that the gates were closed while rows were claimed.
var errMoved = errors.New("the connector was stopped or told to rest meanwhile")

// unmoved looks at the connector once more, now that rows are locked: one of them may have come back with the very answer that closes the
// gate, between the look at the gate and the claim.
func (l *lane) unmoved(ctx context.Context, tx pgx.Tx, g gates) error {
	st, err := l.d.States.Get(ctx, tx, l.Connector.Connector)
	if err == nil && (st.Stops != g.stops || st.Resting(l.d.Clock.Now())) {
		err = errMoved
	}
	return err
}

// unused gives a trial back that nothing is sent with.
func (l *lane) unused(ctx context.Context, tx pgx.Tx, c *claimed) error {
	if !c.trial {
		return nil
	}
	c.trial = false
	return l.d.States.EndTrial(ctx, tx, l.Connector.Connector, l.owner, provider.Result{Class: provider.NotSent})
}

// fit leaves of a claim what the connector's balance covers.
func (l *lane) fit(ctx context.Context, tx pgx.Tx, st provider.Status, claim *Claim) (Cover, error) {
	if l.d.Funds == nil || len(claim.Starts) == 0 {
		return Cover{Free: true}, nil
	}
	cover, err := l.d.Funds.Fit(ctx, tx, l.Connector, st, claim.Starts)
	claim.Starts = claim.Starts[:cover.Starts]
	return cover, err
}

// gates is everything that stands before a lane's rows.
type gates struct {
	Gate
	rest     time.Duration // the connector's
	degraded bool          // one row at a time
	unproven bool          // likewise, over all replicas: our credential may be wrong
	stops    int64         // of the connector so far
	status   provider.Status
}

// gate reads the rows that every replica looks at before it sends.
func (l *lane) gate(ctx context.Context, q DBTX) (gates, error) {
	st, err := l.d.States.Get(ctx, q, l.Connector.Connector)
	if err != nil {
		return gates{}, err
	}
	g := gates{status: st}
	if g.Gate, err = l.d.Book.Gate(ctx, q, l.Lane, st); err != nil || g.Code != "" {
		return g, err
	}
	now := l.d.Clock.Now()
	g.unproven, g.stops = !l.Connector.Proof.Holds(st, now), st.Stops
	switch {
	case st.Resting(now):
		g.rest = st.RestUntil.Sub(now)
	case st.State == provider.Degraded:
		g.degraded = true
	}
	return g, nil
}
