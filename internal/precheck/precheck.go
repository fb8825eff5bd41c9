// Package precheck asks providers, before a first send after a restore, whether what is about to be sent was sent before. The
// tables may have lost the attempts of hours; what they made up then has the same references as what they make up now. See ADR 10.
package precheck

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/clock"
	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/precheck/db"
	"github.com/agogopay/agogo/internal/restore"
	"github.com/agogopay/agogo/internal/run"
	"github.com/agogopay/agogo/internal/webhook"
	restorev1 "github.com/agogopay/agogo/proto/gen/go/agogo/restore/v1"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations creates the table of what is asked about.
var Migrations = pg.Set{Name: "precheck", FS: migrations, Dir: "migrations"}

// The states of a question.
const (
	asking = "asking"
	absent = "absent"
	found  = "found"
)

// Sorted is what may become of sends.
type Sorted struct {
	Go    []attempt.Start // nothing was sent before
	Adopt []Adoption
	Asked int // put aside until the provider has answered
}

// Of says whose sends are sorted.
type Of struct {
	Tenant, Provider string
	// At is where a subject is sent from: its dispatch is woken when the provider has answered.
	At func(subject uuid.UUID) run.Place
	// Sends is set where what is proven goes, or ends, at once. Elsewhere an absence that is too old is not asked about anew.
	Sends bool
}

// Gate stands before first sends.
type Gate struct {
	Clock clock.Clock
	// Reference is the provider reference of a subject's n-th attempt.
	Reference func(subject uuid.UUID, n int) string
	// MustTell is what its providers tell of every transfer: without it, what they have from before a restore is for people.
	MustTell attempt.MustTell
}

// Mark reads the newest mark of a restore: while there is none, nothing needs to be sorted.
func (g *Gate) Mark(ctx context.Context, q db.DBTX) (restore.Mark, error) {
	return restore.Newest(ctx, q)
}

// Sort divides sends of a connector in the transaction that is about to begin them. Whoever calls it holds their subjects' rows, and
// leaves those alone that it has asked about. An absence is believed for as long as that of an attempt ([attempt.ResendWithin]); what is older
// is asked about anew where something may go now, and only there: what rests for days is not asked about each hour.
func (g *Gate) Sort(ctx context.Context, tx pgx.Tx, mark restore.Mark, of Of, starts []attempt.Start) (Sorted, error) {
	if mark.Epoch == 0 || len(starts) == 0 {
		return Sorted{Go: starts}, nil
	}
	now := g.Clock.Now()
	known, err := g.known(ctx, tx, starts)
	if err != nil {
		return Sorted{}, err
	}
	believed, err := g.believed(ctx, tx, mark, of, known, now)
	if err != nil {
		return Sorted{}, err
	}
	var s Sorted
	p := db.AskParams{Epoch: int32(mark.Epoch), Tenant: of.Tenant, Provider: of.Provider, SentUntil: mark.At, At: now}
	if !mark.SentSince.IsZero() {
		p.SentSince = &mark.SentSince
	}
	for _, start := range starts {
		r := known[start.Subject]
		current := int(r.Epoch) == mark.Epoch && r.Provider == of.Provider
		proven := current && r.State == absent && start.Number >= int(r.Number)
		switch {
		case !mark.Careful(start.Day), proven && believed && fresh(r, now):
			s.Go = append(s.Go, start)
		case proven && !of.Sends: // asked when it may go
		case current && r.State == found && start.Number == int(r.Number):
			s.Adopt = append(s.Adopt, Adoption{Start: start, Upto: int(r.Found)})
		case current && r.State == asking && start.Number == int(r.Number):
			s.Asked++
		default: // not asked yet, or about another number or provider: an adopted attempt has failed since, for instance
			s.Asked++
			add(&p, start, of.At(start.Subject))
		}
	}
	if len(p.SubjectIds) == 0 {
		return s, nil
	}
	if err := db.New(tx).Ask(ctx, p); err != nil {
		return Sorted{}, fmt.Errorf("put first sends after a restore aside: %w", err)
	}
	return s, g.refer(ctx, tx, p)
}

// fresh reports whether a provider's word that it knows nothing is recent enough to send on.
func fresh(r db.OfSubjectsRow, now time.Time) bool {
	since, until := attempt.Believed(now)
	return r.ProvenAt != nil && !r.ProvenAt.Before(since) && !r.ProvenAt.After(until)
}

// believed reports whether anything that providers denied is: nothing while a webhook waits of which its provider does not tell whose it is.
func (g *Gate) believed(ctx context.Context, tx pgx.Tx, mark restore.Mark, of Of, known map[uuid.UUID]db.OfSubjectsRow, now time.Time) (bool, error) {
	for _, r := range known {
		if r.State == absent && fresh(r, now) {
			oldest, err := webhook.Unnamed(ctx, tx, of.Tenant, of.Provider, true)
			return oldest.IsZero() || !withholds(oldest, mark.At), err
		}
	}
	return true, nil
}

// known reads what was asked about the subjects of starts.
func (g *Gate) known(ctx context.Context, tx pgx.Tx, starts []attempt.Start) (map[uuid.UUID]db.OfSubjectsRow, error) {
	ids := make([]uuid.UUID, len(starts))
	for i, s := range starts {
		ids[i] = s.Subject
	}
	rows, err := db.New(tx).OfSubjects(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read what was asked about: %w", err)
	}
	known := make(map[uuid.UUID]db.OfSubjectsRow, len(rows))
	for _, r := range rows {
		known[r.SubjectID] = r
	}
	return known, nil
}

// roomFor is how many questions may be open at once where nothing waits for the answers but people: the worker has enough to do, and what is
// about to be sent waits behind no more than these, also when all of them come due at one moment, which is when absence begins to count.
const roomFor = 4 * page

// roomSeconds is how many seconds' worth of calls that is where the rate is large. All of them take less than a minute when they are due, at five calls
// each; and since a question is open for a minute, which is how far apart its reads are, fewer would leave such a rate unused.
const roomSeconds = 10

// Room is how many questions more a connector has room for about what is not about to be sent.
func (g *Gate) Room(ctx context.Context, tx pgx.Tx, c *connector.Connector) (int, error) {
	most := max(roomFor, int(c.Throttle.Rate()*roomSeconds))
	open, err := db.New(tx).CountAsking(ctx, db.CountAskingParams{Tenant: c.Tenant, Provider: c.Provider, At: g.Clock.Now(), Most: int32(most)})
	if err != nil {
		return 0, fmt.Errorf("count what is to be asked about: %w", err)
	}
	return most - int(open), nil
}

func add(p *db.AskParams, s attempt.Start, at run.Place) {
	p.RunIds, p.Pages = append(p.RunIds, at.Run), append(p.Pages, int32(at.Page))
	p.SubjectIds, p.Numbers = append(p.SubjectIds, s.Subject), append(p.Numbers, int32(s.Number))
	p.Amounts, p.Currencies = append(p.Amounts, s.Amount.Minor), append(p.Currencies, string(s.Amount.Currency))
	p.Destinations = append(p.Destinations, s.Destination)
}

// Count fills in how many first sends of an epoch are asked about, and what came of them.
func Count(ctx context.Context, q restore.DBTX, r *restorev1.Restore) error {
	c, err := db.New(q).Count(ctx, r.GetEpoch())
	if err != nil {
		return fmt.Errorf("count what is asked about: %w", err)
	}
	r.Asking, r.Unanswered, r.Absent, r.Found = c.Asking, c.Unanswered, c.Absent, c.Found
	return nil
}
