package closing

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/services/payouts/internal/closing/db"
)

// statementID identifies what a statement says: the same again whenever it says so.
func statementID(k db.Close, key, code string) uuid.UUID {
	return event.UUID("statement", k.Tenant, k.Provider, key, code)
}

// tell makes findings of the items, page by page, then of what goes into suspense or out of it.
func (j *judgement) tell(ctx context.Context) error {
	err := j.items(ctx, func(page []db.CloseItem) error {
		var findings []reconcile.Finding
		var paid []db.CloseItem
		for _, i := range page {
			if i.Kind == StateDiffers && i.Code == paidThere {
				paid = append(paid, i)
			} else if f, ok := j.finding(i); ok {
				findings = append(findings, f)
			}
		}
		updates, err := contradicted(ctx, j.tx, paid)
		if err != nil {
			return err
		}
		return j.closer.Findings.Stated(ctx, j.tx, findings, updates)
	})
	if err != nil {
		return err
	}
	return j.suspend(ctx)
}

// items passes on the items of the close, by pages.
func (j *judgement) items(ctx context.Context, fn func([]db.CloseItem) error) error {
	return eachPage(ctx, j.q, j.k.CloseID, j.closer.PageSize, fn)
}

// finding is what people hear of an item whose money does not go to suspense: what the books know and the statement does not stays
// as it is. The rest is told by its difference.
func (j *judgement) finding(i db.CloseItem) (reconcile.Finding, bool) {
	f := reconcile.Finding{
		ID: statementID(j.k, i.ItemKey, i.Code), Tenant: i.Tenant, Provider: i.Provider, Attempt: int(i.Attempt), Code: i.Code,
		Expected: i.Expected, Found: i.Found, Difference: money.Amount{Minor: i.Difference, Currency: money.Currency(i.Currency)},
	}
	if i.SubjectID != nil {
		f.Subject, f.Reference = *i.SubjectID, i.Reference
	} else { // somebody else's reference may say anything, and stays in the report: the line is known by the provider's number
		f.Subject, f.Reference = j.lineSubject(i.ItemKey), i.ItemKey
	}
	switch i.Kind {
	case MissingHere:
		return f, i.SettledBy == nil && i.Currency != j.k.Currency
	case Duplicate:
		return f, i.Code == "line_contradicts_itself" // read twice, moved once
	case AmountDiffers: // another amount and another fee that make up for each other change no sum
		f.ID = statementID(j.k, i.ItemKey, i.Code+"/"+i.Found)
		return f, i.Difference == 0
	case BalanceDiffers:
		f.ID = statementID(j.k, dateOf(j.k.LocalDate)+"/"+fmt.Sprint(i.Difference), i.Code)
		return f, true
	case StateDiffers, MissingThere:
		return f, true
	default:
		return f, false
	}
}

// suspend books the steps from what is in suspense to what all lines of a reference have moved beyond what is booked of it. A step
// that an exception of this close explains is told under its name; one that takes something out again is not told.
func (j *judgement) suspend(ctx context.Context) error {
	p := db.OwedParams{CloseID: j.k.CloseID, Tenant: j.k.Tenant, Provider: j.k.Provider, PageLimit: int32(j.closer.PageSize)}
	for {
		page, err := j.q.Owed(ctx, p)
		if err != nil {
			return fmt.Errorf("find what goes to suspense: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		findings, keys := make([]reconcile.Finding, len(page)), make([]string, len(page))
		for n, o := range page {
			findings[n], keys[n] = j.step(o), o.ItemKey
		}
		if err := j.decidedBefore(ctx, findings); err != nil {
			return err
		}
		if err := j.closer.Findings.Stated(ctx, j.tx, findings, nil); err != nil {
			return err
		}
		if err := j.q.Suspended(ctx, db.SuspendedParams{Tenant: p.Tenant, Provider: p.Provider, ItemKeys: keys}); err != nil {
			return fmt.Errorf("note what is in suspense: %w", err)
		}
	}
}

// codeDecided is the code of a step about which people have decided before: what they took out of suspense was explained since, say.
const codeDecided = "explained_after_decision"

// decidedBefore has people hear of steps that undo what they have decided about: suspense is not zero by them, but anew.
func (j *judgement) decidedBefore(ctx context.Context, findings []reconcile.Finding) error {
	p := db.DecidedAboutParams{Tenant: j.k.Tenant, Provider: j.k.Provider}
	for _, f := range findings {
		if f.Code == reconcile.CodeExplained {
			p.SubjectIds = append(p.SubjectIds, f.Subject)
		}
	}
	if len(p.SubjectIds) == 0 {
		return nil
	}
	decided, err := j.q.DecidedAbout(ctx, p)
	if err != nil {
		return fmt.Errorf("find what was decided about suspense: %w", err)
	}
	for n, f := range findings {
		if f.Code == reconcile.CodeExplained && slices.Contains(decided, f.Subject) {
			findings[n].Code, findings[n].Silent = codeDecided, false
		}
	}
	return nil
}

// step is the finding that changes what is in suspense for a reference: there is one of a reference in a close.
func (j *judgement) step(o db.OwedRow) reconcile.Finding {
	f := reconcile.Finding{
		Tenant: j.k.Tenant, Provider: j.k.Provider, Attempt: int(o.Attempt), Code: o.Code, Expected: o.Expected, Found: o.Found, Books: true,
		Difference: money.Amount{Minor: o.Wanted - o.Held, Currency: money.Currency(j.k.Currency)},
	}
	before, after := o.LookedUp+o.Held, o.LookedUp+o.Wanted
	switch {
	case o.Code == paidThere: // the contradiction itself is told; this is the fee, or what came back
		f.Code, f.Silent = "paid_there_beyond", true
	case o.Code != "":
	case max(after, -after) > max(before, -before):
		f.Code, f.Expected, f.Found = "amount_differs", fmt.Sprint(before), fmt.Sprint(after)
	default:
		f.Code, f.Expected, f.Found, f.Silent = reconcile.CodeExplained, "nothing", "explained since", true
	}
	if f.Subject, f.Reference = j.lineSubject(o.ItemKey), o.ItemKey; o.SubjectID != nil {
		f.Subject = *o.SubjectID
	}
	f.ID = statementID(j.k, o.ItemKey, "suspense/"+j.k.CloseID.String())
	return f
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
