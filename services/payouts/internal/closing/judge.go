package closing

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/payouts/internal/closing/db"
)

// What a day was compared with, beside NotCompared.
const (
	statementRead = "read"
	statementNone = "none" // the provider has none
)

const (
	// nearMidnight is how close to a day's end something may be booked and still stand in the next day's statement: two clocks
	// that are not the same, and the time of a call.
	nearMidnight = 10 * time.Minute
	// pairDays is for how many days a top-up and the money that came in look for each other, and lateTopUp after how many one
	// that was booked and did not come is named.
	pairDays  = 35
	lateTopUp = 3
	// judging is what the statements may take of a day with a million lines.
	judging = "10min"
)

// judge compares, tells and signs in one transaction: a close is judged whole or not at all, and judged again with the same
// outcome when anything went on meanwhile in what it looks at.
func (c *Closer) judge(ctx context.Context, k db.Close, r reading) error {
	return pg.InTx(ctx, c.Pool, func(tx pgx.Tx) error {
		q := db.New(tx)
		if err := q.Snapshot(ctx); err != nil {
			return fmt.Errorf("begin to judge: %w", err)
		}
		if err := q.Patience(ctx, judging); err != nil {
			return fmt.Errorf("begin to judge: %w", err)
		}
		if err := c.hold(ctx, q, k); err != nil {
			return err
		}
		j := &judgement{closer: c, tx: tx, q: q, reading: r, k: k, now: c.Clock.Now().UTC().Truncate(time.Second)}
		return j.run(ctx)
	})
}

// judgement is one close while it is judged.
type judgement struct {
	closer  *Closer
	tx      pgx.Tx
	q       *db.Queries
	reading reading
	k       db.Close // its figures are filled in on the way
	now     time.Time

	previous *db.Close
	// told says that the provider's side of an earlier day is known, so that this one has something to begin with.
	told bool
	// unseenSince and unseenUntil bound the days before this one whose lines nobody has read.
	unseenSince, unseenUntil []time.Time
}

func (j *judgement) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		j.before, j.books, j.compare, j.topUps, j.compareBalance, j.decisions, j.sum, j.tell, j.seal,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// before finds what the day begins with.
func (j *judgement) before(ctx context.Context) error {
	rows, err := j.q.Previous(ctx, db.PreviousParams{Tenant: j.k.Tenant, Provider: j.k.Provider, LocalDate: j.k.LocalDate})
	if err != nil {
		return fmt.Errorf("find the close before: %w", err)
	}
	if len(rows) == 0 {
		return nil
	}
	j.previous = &rows[0]
	restated, err := j.q.Restated(ctx, db.RestatedParams{Tenant: j.k.Tenant, Provider: j.k.Provider, LocalDate: j.k.LocalDate})
	if err != nil {
		return fmt.Errorf("sum up the statements before: %w", err)
	}
	if j.told = restated.Known; j.told {
		j.k.Carried = restated.Closing - j.previous.Closing
	}
	return nil
}

// compare names what of payouts does not agree.
func (j *judgement) compare(ctx context.Context) error {
	if err := j.notCompared(ctx); err != nil {
		return err
	}
	if !j.reading.statement {
		if j.k.Statement = statementNone; j.reading.waiver != nil {
			j.k.Statement = NotCompared
		}
		err := j.q.NameOpen(ctx, db.NameOpenParams{CloseID: j.k.CloseID, Tenant: j.k.Tenant, Provider: j.k.Provider, DayEnd: j.k.DayEnd})
		if err != nil {
			return fmt.Errorf("name what is in doubt: %w", err)
		}
		return nil
	}
	j.k.Statement = statementRead
	if err := j.repeated(ctx); err != nil {
		return err
	}
	recognised, err := j.keys(ctx)
	if err != nil {
		return err
	}
	since, err := j.q.Since(ctx, db.SinceParams{DayStart: j.k.DayStart, Tenant: j.k.Tenant, Provider: j.k.Provider})
	if err != nil {
		return fmt.Errorf("find the first day: %w", err)
	}
	sum, err := j.q.LinesSum(ctx, db.LinesSumParams{Currency: j.k.Currency, CloseID: j.k.CloseID})
	if err != nil {
		return fmt.Errorf("sum up the statement: %w", err)
	}
	j.k.Lines, j.k.LinesSum = sum.Lines, sum.Sum
	p := db.JudgeParams{
		Currency: j.k.Currency, CloseID: j.k.CloseID, Tenant: j.k.Tenant, Float: float(j.k), DayStart: j.k.DayStart, DayEnd: j.k.DayEnd,
		Provider: j.k.Provider, LocalDate: j.k.LocalDate, AwaitedFrom: j.k.DayEnd.Add(-nearMidnight), Revision: j.k.Revision,
		Recognised: recognised, SeenBefore: seenBefore(since, j.k.DayStart, j.now), UnseenSince: j.unseenSince, UnseenUntil: j.unseenUntil,
	}
	before, err := j.q.PreviousCompared(ctx, db.PreviousComparedParams{Tenant: p.Tenant, Provider: p.Provider, LocalDate: p.LocalDate})
	if err != nil {
		return fmt.Errorf("find the day that was compared before: %w", err)
	}
	if len(before) > 0 {
		p.PreviousClose = before[0]
	}
	agreed, err := j.q.Judge(ctx, p)
	if err != nil {
		return fmt.Errorf("compare the statement with the books: %w", err)
	}
	j.k.Matched, j.k.MatchedSum = agreed.Matched, agreed.MatchedSum
	return nil
}

// keys settles what each line counts for, and returns the references of earlier lines that are known by now.
func (j *judgement) keys(ctx context.Context) ([]string, error) {
	if err := j.q.KeyLines(ctx, j.k.CloseID); err != nil {
		return nil, fmt.Errorf("find whose lines are: %w", err)
	}
	references, err := j.q.Recognise(ctx, db.RecogniseParams{CloseID: &j.k.CloseID, Tenant: j.k.Tenant, Provider: j.k.Provider})
	if err != nil {
		return nil, fmt.Errorf("find whose earlier lines were: %w", err)
	}
	return references, nil
}

// seenBefore is the time before which a booking's line is taken to have been there: it lies before the first day that was closed, or
// its line may have been deleted.
func seenBefore(first, day, now time.Time) time.Time {
	old := day.Add(-nearMidnight)
	if kept := now.Add(-keepLines); kept.Before(old) {
		old = kept
	}
	if before := first.Add(-nearMidnight); before.After(old) {
		return before
	}
	return old
}

// repeated has each line count once.
func (j *judgement) repeated(ctx context.Context) error {
	again, err := j.q.Repeated(ctx, j.k.CloseID)
	if err != nil {
		return fmt.Errorf("find repeated lines: %w", err)
	}
	for _, r := range again { // as many as the provider's slips
		j.k.Repeated += r.Times
		code := "line_repeated"
		if r.Differs {
			code = "line_contradicts_itself"
		}
		err := j.q.NameItem(ctx, db.NameItemParams{
			CloseID: j.k.CloseID, Kind: Duplicate, ItemKey: "#" + r.ProviderID, Tenant: j.k.Tenant, Provider: j.k.Provider, Code: code,
			Reference: r.Reference, ProviderID: r.ProviderID, Expected: "one line", Found: fmt.Sprintf("%d lines", r.Times+1), Currency: j.k.Currency, At: &r.At,
		})
		if err != nil {
			return fmt.Errorf("name a repeated line: %w", err)
		}
	}
	return nil
}

// topUps puts together what we booked as sent to the provider and what came in there.
func (j *judgement) topUps(ctx context.Context) error {
	if !j.reading.statement && j.reading.waiver == nil {
		return nil
	}
	of := j.k
	id := &of.CloseID
	err := j.q.AwaitTopUps(ctx, db.AwaitTopUpsParams{
		CloseID: of.CloseID, Provider: of.Provider, Tenant: of.Tenant, Float: float(of), DayStart: of.DayStart, DayEnd: of.DayEnd, Currency: of.Currency,
		Read: j.reading.statement,
	})
	if err != nil {
		return fmt.Errorf("find the day's top-ups: %w", err)
	}
	if !j.reading.statement { // their lines may come on the next days, or when the day is reconciled again
		return nil
	}
	inherited, err := j.again(ctx)
	if err != nil {
		return err
	}
	pairs, err := j.q.PairTopUps(ctx, db.PairTopUpsParams{
		Tenant: of.Tenant, Provider: of.Provider, Currency: of.Currency, Since: pgDate(of.LocalDate.Time.AddDate(0, 0, -pairDays)),
		LocalDate: of.LocalDate, CloseID: of.CloseID,
	})
	if err != nil {
		return fmt.Errorf("pair top-ups with lines: %w", err)
	}
	err = j.q.Release(ctx, db.ReleaseParams{Tenant: of.Tenant, Provider: of.Provider, ItemKeys: append(pairs, inherited...)})
	if err != nil {
		return fmt.Errorf("take what is paired out of suspense: %w", err)
	}
	if err := j.q.DropPaired(ctx, of.CloseID); err != nil {
		return fmt.Errorf("drop paired top-ups: %w", err)
	}
	err = j.q.NameLateTopUps(ctx, db.NameLateTopUpsParams{
		CloseID: *id, Tenant: of.Tenant, Provider: of.Provider, OfDate: pgDate(of.LocalDate.Time.AddDate(0, 0, -lateTopUp)),
	})
	if err != nil {
		return fmt.Errorf("name top-ups that did not come: %w", err)
	}
	return nil
}

// again takes the place of the day's earlier revisions, and returns the keys of what those had paired.
func (j *judgement) again(ctx context.Context) ([]string, error) {
	of := j.k
	if of.Revision == 1 {
		return nil, nil
	}
	inherited, err := j.q.Inherit(ctx, db.InheritParams{CloseID: of.CloseID, Tenant: of.Tenant, Provider: of.Provider, LocalDate: of.LocalDate, Revision: of.Revision})
	if err != nil {
		return nil, fmt.Errorf("take over what the earlier revision had paired: %w", err)
	}
	err = j.q.Supersede(ctx, db.SupersedeParams{CloseID: &of.CloseID, Tenant: of.Tenant, Provider: of.Provider, LocalDate: of.LocalDate, Revision: of.Revision})
	if err != nil {
		return nil, fmt.Errorf("take the place of the earlier revision: %w", err)
	}
	err = j.q.ForgetLines(ctx, db.ForgetLinesParams{Tenant: of.Tenant, Provider: of.Provider, LocalDate: of.LocalDate, Revision: of.Revision})
	if err != nil {
		return nil, fmt.Errorf("forget the earlier revision's lines: %w", err)
	}
	return inherited, nil
}

// compareBalance works out what the provider says the day ended with, and names what neither lines nor books account for.
func (j *judgement) compareBalance(ctx context.Context) error {
	k, r := &j.k, &j.reading
	if err := j.rememberBalance(ctx); err != nil {
		return err
	}
	moved := k.LinesSum
	if !r.statement {
		moved = k.TopUps - k.Paid - k.Fees + k.Reversed
	}
	opening := k.Opening + k.Carried // what the provider's last closing was
	expected := opening + moved
	closing := expected
	switch k.ClosingSource = r.source; r.source {
	case fromNobody:
		return nil
	case fromBalance:
		closing = r.balance.Minor - r.tail
	case fromBooks:
		since, err := j.q.MovedSince(ctx, db.MovedSinceParams{
			Tenant: k.Tenant, Float: float(*k), Currency: k.Currency, Since: k.DayEnd, Until: r.balanceAt,
		})
		if err != nil {
			return fmt.Errorf("sum up what came after the day: %w", err)
		}
		closing = r.balance.Minor - since
	}
	k.ProviderOpening, k.ProviderClosing = &opening, &closing
	if closing == expected {
		return nil
	}
	code := "not_in_statement"
	switch {
	case !j.told: // there was nothing to compare with before
		code = "opening_differs"
	case !r.statement:
		code = "not_in_books"
	}
	err := j.q.NameItem(ctx, db.NameItemParams{
		CloseID: k.CloseID, Kind: BalanceDiffers, ItemKey: dateOf(k.LocalDate), Tenant: k.Tenant, Provider: k.Provider, Code: code,
		Expected: plainly(expected, k.Currency), Found: plainly(closing, k.Currency), Difference: expected - closing, Flow: closing - expected, Currency: k.Currency,
	})
	if err != nil {
		return fmt.Errorf("name the difference of the balance: %w", err)
	}
	return nil
}

// plainly is an amount as people read it: an item's text says nothing else of its unit.
func plainly(minor int64, currency string) string {
	return money.Amount{Minor: minor, Currency: money.Currency(currency)}.Decimal() + " " + currency
}

// rememberBalance gives a day that is reconciled again the balance that an earlier revision could still read.
func (j *judgement) rememberBalance(ctx context.Context) error {
	if j.k.Revision == 1 || j.reading.source != fromStatement {
		return nil
	}
	known, err := j.q.BalanceOfDay(ctx, db.BalanceOfDayParams{Tenant: j.k.Tenant, Provider: j.k.Provider, LocalDate: j.k.LocalDate, Revision: j.k.Revision})
	if err != nil {
		return fmt.Errorf("find the balance that an earlier revision had: %w", err)
	}
	if len(known) > 0 {
		j.reading.source, j.reading.balance.Minor, j.reading.tail = fromBalance, *known[0], 0
	}
	return nil
}

// decisions tells what people have taken out of suspense since the last report.
func (j *judgement) decisions(ctx context.Context) error {
	err := j.q.NameDecisions(ctx, db.NameDecisionsParams{CloseID: j.k.CloseID, Tenant: j.k.Tenant, Provider: j.k.Provider})
	if err != nil {
		return fmt.Errorf("tell what was decided about suspense: %w", err)
	}
	return nil
}

// sum checks that what was named accounts for all of the difference.
func (j *judgement) sum(ctx context.Context) error {
	s, err := j.q.SumItems(ctx, db.SumItemsParams{Currency: j.k.Currency, CloseID: j.k.CloseID})
	if err != nil {
		return fmt.Errorf("sum up the items: %w", err)
	}
	j.k.Items, j.k.Exceptions = s.Items, s.Exceptions
	if j.k.ProviderClosing == nil {
		return nil
	}
	difference := *j.k.ProviderClosing - j.k.Closing
	if named := j.k.Carried - j.k.Late - j.k.Corrections + s.Flows; named != difference {
		return fmt.Errorf("the items account for %d of a difference of %d: this is a defect of Agogo, nothing was closed", named, difference)
	}
	j.k.Difference = &difference
	return nil
}

// lineSubject is the id of a line that is nobody's.
func (j *judgement) lineSubject(key string) uuid.UUID { return statementID(j.k, key, "line") }
