package closing

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/payouts/internal/closing/db"
)

// paidThere is the code of a line that says "paid" where we are in doubt, or have it as not paid.
const paidThere = "paid_there"

// askAbout has the provider asked about what a close named and the lookup decides: that is done when the close is committed, for a
// judgement sees one moment of attempts that others go on with. The close's row remembers it until it is done.
func (c *Closer) askAbout(ctx context.Context) error {
	q := db.New(c.Pool)
	due, err := q.ToAsk(ctx)
	if err != nil || len(due) == 0 {
		return err
	}
	k := due[0]
	p := db.AskItemsParams{CloseID: k.CloseID, PageLimit: int32(c.PageSize)}
	for {
		page, err := q.AskItems(ctx, p)
		if err != nil {
			return fmt.Errorf("find what to ask the provider: %w", err)
		}
		if len(page) == 0 {
			break
		}
		if err := pg.InTx(ctx, c.Pool, func(tx pgx.Tx) error { return c.hint(ctx, tx, page) }); err != nil {
			return fmt.Errorf("have the provider asked: %w", err)
		}
		last := page[len(page)-1]
		p.AfterKind, p.AfterKey = last.Kind, last.ItemKey
	}
	if err := q.Asked(ctx, k.CloseID); err != nil {
		return fmt.Errorf("note that the provider is asked: %w", err)
	}
	if c.Asked != nil {
		c.Asked()
	}
	return nil
}

// hint makes attempts due. One that failed while its line was judged is contradicted by that line: who closed it has not seen it.
func (c *Closer) hint(ctx context.Context, tx pgx.Tx, page []db.CloseItem) error {
	var doubted []db.CloseItem
	references := make([]string, len(page))
	for n, i := range page {
		references[n] = i.Reference
		if i.Kind == Unknown && i.Code == paidThere {
			doubted = append(doubted, i)
		}
	}
	updates, err := contradicted(ctx, tx, doubted)
	if err != nil {
		return err
	}
	if err := c.Findings.Stated(ctx, tx, nil, updates); err != nil {
		return err
	}
	_, err = attempt.Hint(ctx, tx, c.Clock.Now(), page[0].Tenant, page[0].Provider, references)
	return err
}

// contradicted are attempts that are closed as not paid while the statement says that they were: what a lookup that says so would
// lead to.
func contradicted(ctx context.Context, tx pgx.Tx, items []db.CloseItem) (updates []attempt.Update, err error) {
	if len(items) == 0 {
		return nil, nil
	}
	keys := make([]attempt.Key, 0, len(items))
	for _, i := range items {
		keys = append(keys, attempt.Key{Subject: *i.SubjectID, Number: int(i.Attempt)})
	}
	locked, err := attempt.Lock(ctx, tx, keys...)
	if err != nil {
		return nil, err
	}
	for _, a := range locked {
		if a.State == attempt.Failed || a.State == attempt.NotSent {
			updates = append(updates, attempt.PaidThere(a))
		}
	}
	return updates, nil
}
