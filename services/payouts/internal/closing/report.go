package closing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agogopay/agogo/internal/daybook"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/outbox"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	"github.com/agogopay/agogo/services/payouts/internal/closing/db"
)

// ErrChanged means that the tables do not lead to the report that was signed any more.
var ErrChanged = errors.New("the rows of the report are not those that were signed: somebody has changed them")

// ErrNoReport means that there is no such report.
var ErrNoReport = errors.New("no such report")

// seal signs the report, completes the close and tells of it.
func (j *judgement) seal(ctx context.Context) error {
	k := &j.k
	last, err := j.q.LastReport(ctx, db.LastReportParams{Tenant: k.Tenant, Provider: k.Provider})
	if err != nil {
		return fmt.Errorf("find the report before: %w", err)
	}
	if k.Suspense, err = j.q.InSuspense(ctx, db.InSuspenseParams{Tenant: k.Tenant, Provider: k.Provider, Currency: k.Currency}); err != nil {
		return fmt.Errorf("sum up what is in suspense: %w", err)
	}
	sequence := int64(1)
	if len(last) > 0 {
		sequence, k.Previous = *last[0].Sequence+1, last[0].Digest
	}
	k.Sequence, k.CompletedAt = &sequence, &j.now
	digest := daybook.NewDigest()
	if err := write(ctx, j.q, *k, j.closer.PageSize, digest); err != nil {
		return err
	}
	sum, err := digest.Sum()
	if err != nil {
		return fmt.Errorf("digest of the report: %w", err)
	}
	seal := j.closer.Key.Sign(sum)
	k.Digest, k.KeyID, k.Signature = seal.Digest, seal.Key, seal.Signature
	if err := j.complete(ctx); err != nil {
		return err
	}
	msg, err := j.event(ctx)
	if err != nil {
		return err
	}
	if err := j.closer.Outbox.Append(ctx, j.tx, msg); err != nil {
		return err
	}
	if k.RunID == nil {
		return nil
	}
	return j.closer.Settle(ctx, j.tx, *k.RunID)
}

func (j *judgement) complete(ctx context.Context) error {
	k := j.k
	err := j.q.Complete(ctx, db.CompleteParams{
		CloseID: k.CloseID, Sequence: k.Sequence, Opening: k.Opening, Late: k.Late, TopUps: k.TopUps, Paid: k.Paid, Fees: k.Fees,
		Reversed: k.Reversed, Corrections: k.Corrections, Closing: k.Closing, Statement: k.Statement, Lines: k.Lines, Repeated: k.Repeated,
		Matched: k.Matched, MatchedSum: k.MatchedSum, LinesSum: k.LinesSum, ProviderOpening: k.ProviderOpening, ProviderClosing: k.ProviderClosing,
		ClosingSource: k.ClosingSource, Carried: k.Carried, Difference: k.Difference, Items: k.Items, Exceptions: k.Exceptions,
		Previous: k.Previous, Digest: k.Digest, KeyID: k.KeyID, Signature: k.Signature, CompletedAt: j.now,
		WaivedBy: k.WaivedBy, WaivedBecause: k.WaivedBecause, Suspense: k.Suspense,
		SettledID: k.SettledID, SettledSum: k.SettledSum, SeenID: k.SeenID, SeenXid: k.SeenXid,
	})
	if err != nil {
		return fmt.Errorf("complete the close: %w", err)
	}
	return nil
}

// event is the outbox row of recon.completed.
func (j *judgement) event(ctx context.Context) (outbox.Message, error) {
	const completed event.Type = "recon.completed"
	k := j.k
	kinds, err := j.q.CountKinds(ctx, k.CloseID)
	if err != nil {
		return outbox.Message{}, fmt.Errorf("count the items: %w", err)
	}
	body := &eventsv1.Recon{
		Tenant: k.Tenant, Provider: k.Provider, ReconId: k.CloseID.String(), State: Completed, LocalDate: dateOf(k.LocalDate), Revision: k.Revision,
		Sequence: *k.Sequence, Closing: &eventsv1.Money{Minor: k.Closing, Currency: k.Currency}, Counts: map[string]int64{"matched": k.Matched},
		Digest: k.Digest, PreviousDigest: k.Previous, KeyId: k.KeyID, Signature: k.Signature, Statement: k.Statement,
	}
	if k.ProviderClosing != nil {
		body.ProviderClosing = &eventsv1.Money{Minor: *k.ProviderClosing, Currency: k.Currency}
		body.Difference = &eventsv1.Money{Minor: *k.Difference, Currency: k.Currency}
	}
	for _, c := range kinds {
		body.Counts[c.Kind] = c.Count
	}
	data, err := event.Encode(body)
	if err != nil {
		return outbox.Message{}, fmt.Errorf("encode %s of %s: %w", completed, k.CloseID, err)
	}
	c := j.closer
	return outbox.FromEvent(ctx, event.New(ctx, c.Service, k.Tenant, completed, k.CloseID.String(), 1, c.Epoch.Now(), j.now), data), nil
}

// write writes the head and the items of a close; the seal is the caller's.
func write(ctx context.Context, q *db.Queries, k db.Close, page int, f interface {
	Head(h daybook.Head) error
	Item(i daybook.Item) error
},
) error {
	if err := f.Head(head(k)); err != nil {
		return err
	}
	return eachPage(ctx, q, k.CloseID, page, func(items []db.CloseItem) error {
		for _, i := range items {
			if err := f.Item(item(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Report writes a day's signed report; revision 0 is the newest. It is worked out from the tables twice: first without being
// written, for what does not lead to the signed digest any more is not handed out as if it did.
func (c *Closer) Report(ctx context.Context, tenant, provider, date string, revision int, f daybook.Form) error {
	d, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return fmt.Errorf("local date: %w", err)
	}
	q := db.New(c.Pool)
	rows, err := q.Find(ctx, db.FindParams{Tenant: tenant, Provider: provider, LocalDate: pgDate(d), Revision: int32(revision)})
	if err != nil {
		return fmt.Errorf("find the report of %s: %w", date, err)
	}
	if len(rows) == 0 {
		return ErrNoReport
	}
	k := rows[0]
	digest := daybook.NewDigest()
	if err := write(ctx, q, k, c.PageSize, digest); err != nil {
		return err
	}
	if sum, err := digest.Sum(); err != nil || sum != k.Digest {
		return errors.Join(ErrChanged, err)
	}
	if err := write(ctx, q, k, c.PageSize, f); err != nil {
		return err
	}
	return f.Seal(daybook.Seal{Digest: k.Digest, Key: k.KeyID, Signature: k.Signature})
}

func head(k db.Close) daybook.Head {
	return daybook.Head{
		Tenant: k.Tenant, Provider: k.Provider, Date: dateOf(k.LocalDate), Timezone: k.Timezone, From: at(&k.DayStart), To: at(&k.DayEnd),
		Revision: int64(k.Revision), Sequence: *k.Sequence, Currency: k.Currency, JudgedAt: at(k.CompletedAt),
		Opening: k.Opening, Late: k.Late, TopUps: k.TopUps, Paid: k.Paid, Fees: k.Fees, Reversed: k.Reversed, Corrections: k.Corrections,
		Closing: k.Closing, Statement: k.Statement, WaivedBy: k.WaivedBy, WaivedBecause: k.WaivedBecause, Lines: k.Lines, Repeated: k.Repeated,
		Matched: k.Matched, MatchedSum: k.MatchedSum, LinesSum: k.LinesSum, ProviderOpening: maybe(k.ProviderOpening), ProviderClosing: maybe(k.ProviderClosing), Source: k.ClosingSource,
		Carried: k.Carried, Difference: maybe(k.Difference), Suspense: k.Suspense, Items: k.Items, Previous: k.Previous,
	}
}

func item(i db.CloseItem) daybook.Item {
	x := daybook.Item{
		Kind: i.Kind, Code: i.Code, Reference: i.Reference, ProviderID: i.ProviderID, Attempt: int64(i.Attempt), Expected: i.Expected,
		Found: i.Found, Difference: i.Difference, Flow: i.Flow, Currency: i.Currency, At: at(i.At),
	}
	if i.SubjectID != nil {
		x.Subject = i.SubjectID.String()
	}
	return x
}

func maybe(n *int64) daybook.Maybe {
	if n == nil {
		return daybook.Maybe{}
	}
	return daybook.Known(*n)
}

func at(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
}
