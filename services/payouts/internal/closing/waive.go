package closing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/config"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/payouts/internal/closing/db"
)

// Errors of closing a day without its statement.
var (
	ErrNoClose     = errors.New("nobody has asked for this day's close")
	ErrClosed      = errors.New("the day is closed")
	ErrNotTried    = errors.New("its statement was not tried yet")
	ErrAgreed      = errors.New("two people have agreed to close the day for another reason: it is being tried once more")
	ErrJudged      = errors.New("its close is being worked on at this moment")
	ErrNoStatement = errors.New("the provider has no statement: its days are closed without one as they are")
)

// waiver is why a day is closed without its statement, and by whose word.
type waiver struct {
	by      string // both people
	because string
	failure string // why the statement could not be read
}

// Waived is what came of a person's word.
type Waived struct {
	Agreed   bool
	Replaces string // who had given another reason, to which nobody can agree any more
}

// Waive has a day closed that waits for a statement, without it: the first caller proposes, another one with the same reason agrees. The
// statement is tried once more then. A repetition has a report already and waits on.
func (c *Closer) Waive(ctx context.Context, tx pgx.Tx, t config.Tenant, provider, date, reason, actor string) (Waived, error) {
	q, now := db.New(tx), c.Clock.Now()
	// A try that fails meanwhile either sees what is said here, or has put the day off before, and that is taken back below.
	if err := q.LockConnector(ctx, db.LockConnectorParams{Tenant: t.ID, Provider: provider}); err != nil {
		return Waived{}, fmt.Errorf("lock the closes of %s/%s: %w", t.ID, provider, err)
	}
	k, err := c.waivable(ctx, tx, t.ID, provider, date)
	if err != nil {
		return Waived{}, err
	}
	said, err := q.Waiver(ctx, k.CloseID)
	if err != nil {
		return Waived{}, fmt.Errorf("read who would close %s without its statement: %w", date, err)
	}
	var out Waived
	switch {
	case len(said) > 0 && said[0].AgreedBy != "" && said[0].Reason != reason:
		return out, ErrAgreed
	case len(said) == 0, said[0].Reason != reason:
		if len(said) > 0 {
			out.Replaces = said[0].ProposedBy
		}
		err = q.ProposeWaiver(ctx, db.ProposeWaiverParams{CloseID: k.CloseID, Reason: reason, ProposedBy: actor, Now: now})
	case said[0].AgreedBy != "":
		return Waived{Agreed: true}, nil // and tried
	case said[0].ProposedBy == actor:
		return out, nil // said already, and still waiting for somebody else
	default:
		out.Agreed = true
		err = q.AgreeWaiver(ctx, db.AgreeWaiverParams{CloseID: k.CloseID, AgreedBy: actor, Now: now})
	}
	if err != nil {
		return Waived{}, fmt.Errorf("note who would close %s without its statement: %w", date, err)
	}
	if !out.Agreed {
		return out, nil
	}
	if err := q.Hurry(ctx, db.HurryParams{Tenant: t.ID, Provider: provider, Now: now, SettleSeconds: settle.Seconds()}); err != nil {
		return Waived{}, fmt.Errorf("hurry the closes of %s/%s: %w", t.ID, provider, err)
	}
	return out, nil
}

// waivable locks the close of a day that is open for want of its statement.
func (c *Closer) waivable(ctx context.Context, tx pgx.Tx, tenant, provider, date string) (db.Close, error) {
	if c.Key == nil {
		return db.Close{}, ErrNoKey
	}
	d, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return db.Close{}, fmt.Errorf("local date: %w", err)
	}
	if conn, ok := c.Connectors.Get(tenant, provider); ok && conn.Statement == nil {
		return db.Close{}, ErrNoStatement
	}
	newest, err := db.New(tx).LockNewest(ctx, db.LockNewestParams{Tenant: tenant, Provider: provider, LocalDate: pgDate(d)})
	switch {
	case pg.LockTimedOut(err):
		return db.Close{}, ErrJudged
	case err != nil:
		return db.Close{}, fmt.Errorf("find the close of %s: %w", date, err)
	case len(newest) == 0:
		return db.Close{}, ErrNoClose
	case newest[0].State != Open || newest[0].Revision > 1:
		return db.Close{}, ErrClosed
	case newest[0].Tries == 0:
		return db.Close{}, ErrNotTried
	}
	return newest[0], nil
}

// waived is the word of two people to close a day whose statement could not be read, or nil. What a reading has left of it is
// cleared: half a statement would be taken for a whole one by the days after it.
func (c *Closer) waived(ctx context.Context, k db.Close, failure error) (*waiver, error) {
	q := db.New(c.Pool)
	w, agreed, err := agreed(ctx, q, k)
	if err != nil || !agreed {
		return nil, err
	}
	if err := c.clear(ctx, k); err != nil {
		return nil, err
	}
	return &waiver{by: w.ProposedBy + ", " + w.AgreedBy, because: w.Reason, failure: short(failure.Error())}, nil
}

// agreed is the word of two people about a close.
func agreed(ctx context.Context, q *db.Queries, k db.Close) (w db.CloseWaiver, ok bool, err error) {
	said, err := q.Waiver(ctx, k.CloseID)
	if err != nil {
		return w, false, fmt.Errorf("read who would close the day without its statement: %w", err)
	}
	if len(said) == 0 || said[0].AgreedBy == "" {
		return w, false, nil
	}
	return said[0], true, nil
}

// notCompared names what was not compared: the day itself, and days before it whose statement nobody has read since. They are named for
// as long as a repetition could still find the halves of what they have.
func (j *judgement) notCompared(ctx context.Context) error {
	if w := j.reading.waiver; w != nil {
		j.k.WaivedBy, j.k.WaivedBecause = w.by, w.because
		if err := j.nameUncompared(ctx, "statement", "statement", "the statement of "+dateOf(j.k.LocalDate), w.failure); err != nil {
			return err
		}
	}
	days, err := j.q.NotCompared(ctx, db.NotComparedParams{
		Tenant: j.k.Tenant, Provider: j.k.Provider, LocalDate: j.k.LocalDate, Since: pgDate(j.k.LocalDate.Time.AddDate(0, 0, -pairDays)),
	})
	if err != nil {
		return fmt.Errorf("find days that were not compared: %w", err)
	}
	for _, d := range days { // as many as people have closed so
		date := dateOf(d.LocalDate)
		if err := j.nameUncompared(ctx, date, "earlier_day", "the statement of "+date, "not read yet"); err != nil {
			return err
		}
		j.unseenSince, j.unseenUntil = append(j.unseenSince, d.DayStart.Add(-nearMidnight)), append(j.unseenUntil, d.DayEnd)
	}
	return nil
}

func (j *judgement) nameUncompared(ctx context.Context, key, code, expected, found string) error {
	err := j.q.NameItem(ctx, db.NameItemParams{
		CloseID: j.k.CloseID, Kind: NotCompared, ItemKey: key, Tenant: j.k.Tenant, Provider: j.k.Provider, Code: code,
		Expected: expected, Found: found, Currency: j.k.Currency,
	})
	if err != nil {
		return fmt.Errorf("name what was not compared: %w", err)
	}
	return nil
}
