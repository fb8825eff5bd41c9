package provider

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/provider/db"
)

// Lockout is an adapter whose provider locks our account after a few uses of a wrong credential, a PIN that travels with
// every payment. Until the credential is proven in a process, one use of it is made at a time over all replicas: see
// [States.BeginTrial] and ADR 8.
type Lockout interface {
	LocksOut() bool
}

const (
	// proofLasts is how long a success vouches for the next use: shorter than what lies between two evenings, longer than an
	// outage within one, after which a lost answer or two would stop the connector.
	proofLasts = time.Hour
	// mostLost is how many uses of an unproven credential may stay without an answer. Each may have been a wrong try, and the
	// third wrong one blocks the account.
	mostLost = 2
)

// CodeUnproven is why a connector stops whose credential could not be proven.
const CodeUnproven = "credentials_unproven"

// Proof is what one process knows of the credential that it was started with. It is no row in Postgres, since another
// replica may have been started with another one, and a PIN must not be stored in any form by which two could be told
// apart: there are too few of them. A nil Proof holds always: nothing is locked there.
type Proof struct {
	mu      sync.Mutex
	until   time.Time
	stops   int64 // of the connector when it was given: a stop ends it, whoever lifts that
	refused int64 // below so many stops the credential was refused; answers that come late do not vouch for it
}

// Holds reports whether the credential may be used by any number of calls at once.
func (p *Proof) Holds(st Status, now time.Time) bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stops == st.Stops && now.Before(p.until)
}

// Take takes in the answer to a use of the credential that began after so many stops: the provider took it, or asks to stop.
// Other answers say nothing about it; a payee who does not exist may be found out before a PIN is read.
func (p *Proof) Take(r Result, stops int64, now time.Time) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case r.Stop:
		p.until, p.refused = time.Time{}, max(p.refused, stops+1)
	case proves(r) && stops >= max(p.refused, p.stops):
		p.stops, p.until = stops, now.Add(proofLasts)
	}
}

func proves(r Result) bool { return r.Class == Succeeded || r.Class == Accepted }

// Trial is whether an unproven credential may be used now.
type Trial int

// The answers of BeginTrial.
const (
	TrialBegun     Trial = iota
	TrialElsewhere       // somebody uses it at this moment: wait for what they hear
	TrialRefused         // the connector is stopped, now at the latest; or a check would take a try that payments need
)

// BeginTrial allows one use of an unproven credential, and counts it before it is made: a process that dies over it leaves
// it counted. When as many as the account survives were lost, the connector stops instead. The caller commits before the
// call, and calls EndTrial with the answer.
func (s *States) BeginTrial(ctx context.Context, tx pgx.Tx, c Connector, owner string, lease time.Duration) (Trial, error) {
	return s.trial(ctx, tx, c, owner, lease, false)
}

// BeginCheck is [States.BeginTrial] for a use that no payment waits for. It is refused while one is lost, and never stops the connector:
// checks that nobody answers must not use up, while nothing is sent, the tries that the evening needs.
func (s *States) BeginCheck(ctx context.Context, tx pgx.Tx, c Connector, owner string, lease time.Duration) (Trial, error) {
	return s.trial(ctx, tx, c, owner, lease, true)
}

func (s *States) trial(ctx context.Context, tx pgx.Tx, c Connector, owner string, lease time.Duration, check bool) (Trial, error) {
	q := db.New(tx)
	if err := q.EnsureState(ctx, db.EnsureStateParams{Tenant: c.Tenant, Provider: c.Provider, Kind: c.Kind, Now: s.Clock.Now()}); err != nil {
		return TrialRefused, fmt.Errorf("keep state of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	row, err := q.LockTrial(ctx, db.LockTrialParams{Tenant: c.Tenant, Provider: c.Provider})
	if err != nil {
		return TrialRefused, fmt.Errorf("lock state of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	switch {
	case row.State == Stopped:
		return TrialRefused, nil
	case row.UnderWay:
		return TrialElsewhere, nil
	case check && row.TrialLosses > 0:
		return TrialRefused, nil
	case row.TrialLosses >= mostLost:
		_, err := s.Stop(ctx, tx, c, Reason{Class: string(Ambiguous), Scope: string(ScopeProvider), Code: CodeUnproven})
		return TrialRefused, err
	}
	err = q.BeginTrial(ctx, db.BeginTrialParams{Tenant: c.Tenant, Provider: c.Provider, Owner: owner, LeaseSeconds: lease.Seconds()})
	if err != nil {
		return TrialRefused, fmt.Errorf("begin trial of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return TrialBegun, nil
}

// EndTrial takes in what came of a trial, in the transaction that observes its result. A trial that is not the owner's (any
// more) is left alone.
func (s *States) EndTrial(ctx context.Context, tx pgx.Tx, c Connector, owner string, r Result) error {
	err := db.New(tx).EndTrial(ctx, db.EndTrialParams{
		Tenant: c.Tenant, Provider: c.Provider, Owner: owner, Proven: proves(r), Lost: r.Class == Ambiguous,
	})
	if err != nil {
		return fmt.Errorf("end trial of connector %s/%s: %w", c.Tenant, c.Provider, err)
	}
	return nil
}
