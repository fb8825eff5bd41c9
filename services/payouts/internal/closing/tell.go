package closing

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/services/payouts/internal/closing/db"
)

// statementID identifies what a statement says: the same again whenever it says so.
func statementID(k db.Close, key, code string) uuid.UUID {
	return event.UUID("statement", k.Tenant, k.Provider, key, code)
}

// tell makes findings of the items, page by page, and has attempts asked about that the statement speaks of otherwise than we do.
func (j *judgement) tell(ctx context.Context) error {
	if err := j.closer.Findings.Stated(ctx, j.tx, j.explanations(), nil); err != nil {
		return err
	}
	return j.items(ctx, func(page []db.CloseItem) error {
		var findings []reconcile.Finding
		var paid []db.CloseItem
		var ask []string
		for _, i := range page {
			if asks(i) {
				ask = append(ask, i.Reference)
			}
			if i.Kind == StateDiffers && i.Code == "paid_there" {
				paid = append(paid, i)
			} else if f, ok := j.finding(i); ok {
				findings = append(findings, f)
			}
		}
		updates, rest, err := j.contradicted(ctx, paid)
		if err != nil {
			return err
		}
		if err := j.closer.Findings.Stated(ctx, j.tx, append(findings, rest...), updates); err != nil {
			return err
		}
		if len(ask) == 0 {
			return nil
		}
		_, err = attempt.Hint(ctx, j.tx, j.closer.Clock.Now(), j.k.Tenant, j.k.Provider, ask)
		return err
	})
}

// items passes on the items of the close, by pages.
func (j *judgement) items(ctx context.Context, fn func([]db.CloseItem) error) error {
	return eachPage(ctx, j.q, j.k.CloseID, j.closer.PageSize, fn)
}

// asks reports whether the provider is to be asked about the item's attempt: a statement is a hint, the lookup decides.
func asks(i db.CloseItem) bool {
	switch i.Kind {
	case Unknown, StateDiffers, MissingThere:
		return i.SubjectID != nil
	default:
		return false
	}
}

// finding is what people hear of an item. In suspense goes what the provider has moved for certain and the books do not know: a
// line that is nobody's, and what a line has beyond what is booked. What the books know and the statement does not stays.
func (j *judgement) finding(i db.CloseItem) (reconcile.Finding, bool) {
	f := reconcile.Finding{
		ID: statementID(j.k, i.ItemKey, i.Code), Tenant: i.Tenant, Provider: i.Provider, Attempt: int(i.Attempt), Code: i.Code,
		Expected: i.Expected, Found: i.Found, Difference: money.Amount{Minor: i.Difference, Currency: money.Currency(i.Currency)},
	}
	if i.SubjectID != nil {
		f.Subject, f.Reference = *i.SubjectID, i.Reference
	} else {
		f.Subject = j.lineSubject(i.ItemKey) // somebody else's reference may say anything, and stays in the report
	}
	switch i.Kind {
	case MissingHere:
		f.Books = i.Currency == j.k.Currency
		return f, i.SettledBy == nil
	case Duplicate:
		f.Books = i.Code == "paid_twice"
		return f, i.Code != "line_repeated" // read twice, moved once
	case AmountDiffers:
		f.Books = i.Code != "other_currency"
		return f, true
	case BalanceDiffers:
		f.ID = statementID(j.k, dateOf(j.k.LocalDate)+"/"+fmt.Sprint(i.Difference), i.Code)
		return f, true
	case StateDiffers, MissingThere:
		return f, true
	default:
		return f, false
	}
}

// contradicted are items whose attempt is closed as not paid while the statement says that it was: what a lookup that says so would
// lead to, and the fee beside it.
func (j *judgement) contradicted(ctx context.Context, items []db.CloseItem) (updates []attempt.Update, rest []reconcile.Finding, err error) {
	if len(items) == 0 {
		return nil, nil, nil
	}
	byKey := make(map[attempt.Key]db.CloseItem, len(items))
	keys := make([]attempt.Key, 0, len(items))
	for _, i := range items {
		key := attempt.Key{Subject: *i.SubjectID, Number: int(i.Attempt)}
		byKey[key] = i
		keys = append(keys, key)
	}
	locked, err := attempt.Lock(ctx, j.tx, keys...)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range locked {
		i := byKey[a.Key]
		updates = append(updates, attempt.Update{Attempt: a, Decision: attempt.Decision{
			State: a.State, Mismatch: attempt.MismatchPaid, Moved: 1, Said: "succeeded " + a.Amount.Decimal() + " " + string(a.Amount.Currency),
		}})
		if i.Difference == a.Amount.Minor {
			continue
		}
		f, _ := j.finding(i)
		f.Code, f.ID = "paid_there_beyond", statementID(j.k, i.ItemKey, "paid_there_beyond")
		f.Difference.Minor -= a.Amount.Minor
		f.Books, f.Silent = true, true // the contradiction itself is told
		rest = append(rest, f)
	}
	return updates, rest, nil
}

// explanations take out of suspense what has found its other half.
func (j *judgement) explanations() []reconcile.Finding {
	all := make([]reconcile.Finding, 0, len(j.explained))
	for _, h := range j.explained {
		all = append(all, reconcile.Finding{
			ID: statementID(j.k, h.key, reconcile.CodeExplained), Tenant: j.k.Tenant, Provider: j.k.Provider, Subject: j.lineSubject(h.key),
			Code: reconcile.CodeExplained, Expected: "nothing", Found: "booked since", Books: true, Silent: true,
			Difference: money.Amount{Minor: -h.difference, Currency: money.Currency(j.k.Currency)},
		})
	}
	return all
}

// eachPage passes on the items of a close in the order of its report.
func eachPage(ctx context.Context, q *db.Queries, id uuid.UUID, size int, fn func([]db.CloseItem) error) error {
	p := db.ItemsParams{CloseID: id, PageLimit: int32(size)}
	for {
		page, err := q.Items(ctx, p)
		if err != nil {
			return fmt.Errorf("read the items of the close: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		if err := fn(page); err != nil {
			return err
		}
		last := page[len(page)-1]
		p.AfterKind, p.AfterKey = last.Kind, last.ItemKey
	}
}
