package review_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/money"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/review"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var noon = time.Date(2025, 1, 25, 12, 0, 0, 0, time.UTC)

// doubt is an attempt in manual review.
type doubt struct {
	t       *testing.T
	pool    *pgxpool.Pool
	subject uuid.UUID
}

func newDoubt(t *testing.T) *doubt {
	t.Helper()
	d := &doubt{t: t, pool: pgtest.Pool(t, attempt.Migrations, review.Migrations), subject: uuid.New()}
	d.inTx(func(ctx context.Context, tx pgx.Tx) error {
		_, err := attempt.Begin(ctx, tx, "me", time.Minute, noon, []attempt.Start{{
			Key: attempt.Key{Subject: d.subject, Number: 1}, Tenant: "lebenis", Provider: "orange", Reference: "r",
			Amount: money.Amount{Minor: 1, Currency: "XOF"},
		}})
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE attempts SET state = 'manual_review', opened_at = $1, next_lookup_at = $1::timestamptz + interval '1 day', lease_owner = '', lease_expires_at = NULL", noon)
		return err
	})
	return d
}

func (d *doubt) inTx(fn func(ctx context.Context, tx pgx.Tx) error) {
	d.t.Helper()
	if err := pg.InTx(d.t.Context(), d.pool, func(tx pgx.Tx) error { return fn(d.t.Context(), tx) }); err != nil {
		d.t.Fatal(err)
	}
}

func (d *doubt) words(paid bool) review.Words {
	return review.Words{Subject: d.subject, Attempt: 1, Paid: paid, Evidence: "the statement of January"}
}

func (d *doubt) say(w review.Words, actor string) (agreed bool, err error) {
	said, err := d.said(w, actor)
	return said.Agreed, err
}

func (d *doubt) said(w review.Words, actor string) (said review.Said, err error) {
	d.t.Helper()
	err = pg.InTx(d.t.Context(), d.pool, func(tx pgx.Tx) error {
		said, err = review.Say(d.t.Context(), tx, noon, w, actor)
		return err
	})
	return said, err
}

// lookup notes what a lookup said.
func (d *doubt) lookup(dec attempt.Decision) {
	d.t.Helper()
	d.inTx(func(ctx context.Context, tx pgx.Tx) error {
		u := attempt.Update{Attempt: attempt.Attempt{Key: attempt.Key{Subject: d.subject, Number: 1}}, Lookup: true, Decision: dec}
		return review.Note(ctx, tx, noon.Add(time.Minute), []attempt.Update{u})
	})
}

func (d *doubt) proposal() (review.Proposal, bool) {
	d.t.Helper()
	all, err := review.Of(d.t.Context(), d.pool, d.subject, uuid.New())
	if err != nil {
		d.t.Fatal(err)
	}
	p, ok := all[d.subject]
	return p, ok
}

func TestTwoPeopleWithTheSameWords(t *testing.T) {
	t.Parallel()
	d := newDoubt(t)
	for _, who := range []string{"ada", "ada"} {
		if agreed, err := d.say(d.words(true), who); agreed || err != nil {
			t.Fatalf("%s alone: %v, %v", who, agreed, err)
		}
	}
	var due int
	if err := d.pool.QueryRow(t.Context(), "SELECT count(*) FROM attempts WHERE next_lookup_at <= $1", noon).Scan(&due); err != nil || due != 1 {
		t.Errorf("a proposal has the provider asked: %d, %v", due, err)
	}
	if agreed, err := d.say(d.words(true), "bob"); !agreed || err != nil {
		t.Errorf("two with the same words: %v, %v", agreed, err)
	}
}

// Other words, whatever differs, begin anew, and so does what is said about another attempt.
func TestOtherWordsBeginAnew(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*review.Words){
		"outcome":  func(w *review.Words) { w.Paid = false },
		"evidence": func(w *review.Words) { w.Evidence = "a feeling" },
		"attempt":  func(w *review.Words) { w.Attempt = 2 },
		"again":    func(w *review.Words) { w.Paid, w.Again = false, true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoubt(t)
			if _, err := d.say(d.words(true), "ada"); err != nil {
				t.Fatal(err)
			}
			d.lookup(attempt.Decision{Answered: true, State: attempt.Failed})
			other := d.words(true)
			change(&other)
			if said, err := d.said(other, "bob"); err != nil || said != (review.Said{Replaces: "ada"}) {
				t.Fatalf("got %+v, %v: whose words these take the place of is to be told", said, err)
			}
			if said, err := d.said(other, "bob"); err != nil || said != (review.Said{}) {
				t.Fatalf("the same once more: %+v, %v", said, err)
			}
			if p, ok := d.proposal(); !ok || p.Actor != "bob" || p.Words != other || p.LookupAt != nil || p.LookupSaid != "" {
				t.Errorf("kept %+v: a new proposal knows no lookup yet", p)
			}
			if agreed, err := d.say(d.words(true), "ada"); agreed || err != nil {
				t.Errorf("words that were replaced still count: %v, %v", agreed, err)
			}
		})
	}
}

// Not paid is only agreed on when the provider, asked after the proposal, said so too.
func TestNotPaidNeedsTheProvider(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lookup *attempt.Decision
		agreed bool
		said   string
	}{
		"not asked yet":                      {nil, false, ""},
		"no answer":                          {&attempt.Decision{}, false, ""},
		"nothing found, too early":           {&attempt.Decision{Answered: true, State: attempt.ManualReview}, false, ""},
		"nothing found once":                 {&attempt.Decision{Answered: true, Absent: true, AbsentReads: 1, State: attempt.ManualReview}, false, ""},
		"nothing found twice":                {&attempt.Decision{Answered: true, Absent: true, AbsentReads: 2, State: attempt.ManualReview}, true, review.SaidAbsent},
		"failed there":                       {&attempt.Decision{Answered: true, State: attempt.Failed}, true, review.SaidFailed},
		"paid there":                         {&attempt.Decision{Answered: true, State: attempt.Succeeded}, false, review.SaidPaid},
		"under way there":                    {&attempt.Decision{Answered: true, Accepted: true, State: attempt.ManualReview}, false, review.SaidPending},
		"failed there, not told what":        {&attempt.Decision{Answered: true, Accepted: true, Ended: provider.RejectedFinal, State: attempt.ManualReview}, true, review.SaidFailed},
		"refused for now, not told what":     {&attempt.Decision{Answered: true, Accepted: true, Ended: provider.RejectedRetryable, State: attempt.ManualReview}, true, review.SaidFailed},
		"paid there, not told what":          {&attempt.Decision{Answered: true, Accepted: true, Ended: provider.Succeeded, State: attempt.ManualReview}, false, review.SaidPaid},
		"words of its own, not told of what": {&attempt.Decision{Answered: true, Accepted: true, Ended: provider.Ambiguous, State: attempt.ManualReview}, false, review.SaidPending},
		"something else there":               {&attempt.Decision{Answered: true, Mismatch: "amount_differs", State: attempt.ManualReview}, false, review.SaidDiffers},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoubt(t)
			if _, err := d.say(d.words(false), "ada"); err != nil {
				t.Fatal(err)
			}
			if c.lookup != nil {
				d.lookup(*c.lookup)
			}
			agreed, err := d.say(d.words(false), "bob")
			if agreed != c.agreed || (err == nil) != c.agreed {
				t.Errorf("got %v, %v", agreed, err)
			}
			if p, _ := d.proposal(); p.LookupSaid != c.said || (p.LookupAt != nil) != (c.said != "") {
				t.Errorf("the lookup said %q", p.LookupSaid)
			}
		})
	}
}

// What was decided without asking the provider says nothing, nor does a lookup of another attempt.
func TestWhatIsNoLookupIsNotNoted(t *testing.T) {
	t.Parallel()
	d := newDoubt(t)
	if _, err := d.say(d.words(false), "ada"); err != nil {
		t.Fatal(err)
	}
	failed := attempt.Decision{Answered: true, State: attempt.Failed, Result: provider.Result{Class: provider.RejectedFinal}}
	d.inTx(func(ctx context.Context, tx pgx.Tx) error {
		return review.Note(ctx, tx, noon, []attempt.Update{
			{Attempt: attempt.Attempt{Key: attempt.Key{Subject: d.subject, Number: 1}}, Decision: failed},
			{Attempt: attempt.Attempt{Key: attempt.Key{Subject: d.subject, Number: 2}}, Lookup: true, Decision: failed},
		})
	})
	if p, _ := d.proposal(); p.LookupAt != nil {
		t.Errorf("noted %q", p.LookupSaid)
	}
}

func TestWhatLeftReviewIsForgotten(t *testing.T) {
	t.Parallel()
	d := newDoubt(t)
	if _, err := d.say(d.words(true), "ada"); err != nil {
		t.Fatal(err)
	}
	d.inTx(func(ctx context.Context, tx pgx.Tx) error { return review.Drop(ctx, tx, uuid.New()) })
	if _, ok := d.proposal(); !ok {
		t.Error("somebody else's proposal was dropped")
	}
	d.inTx(func(ctx context.Context, tx pgx.Tx) error { return review.Drop(ctx, tx, d.subject) })
	if _, ok := d.proposal(); ok {
		t.Error("the proposal is still there")
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	d := newDoubt(t)
	w := d.words(true)
	w.Again = true
	if _, err := d.say(w, "ada"); err == nil {
		t.Error("what was paid is to be paid again")
	}
	soon, past := noon.Add(time.Hour), noon.Add(-time.Second)
	for _, c := range []struct {
		due  *time.Time
		want bool
	}{{nil, true}, {&soon, true}, {&noon, false}, {&past, false}} {
		if err := review.Settled(attempt.Attempt{NextLookupAt: c.due}, noon); (err == nil) != c.want {
			t.Errorf("due %v: %v", c.due, err)
		}
	}
}

// What two agreed on is the attempt's outcome, on the row as they saw it.
func TestClose(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		paid, again bool
		want        attempt.State
		class       provider.Class
		code        string
	}{
		"paid":                    {true, false, attempt.Succeeded, provider.Succeeded, review.CodePaid},
		"not paid":                {false, false, attempt.Failed, provider.RejectedRetryable, review.CodeNotPaid},
		"not paid, to be another": {false, true, attempt.Failed, provider.RejectedRetryable, review.CodeAgain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoubt(t)
			w := d.words(c.paid)
			w.Again = c.again
			d.inTx(func(ctx context.Context, tx pgx.Tx) error {
				all, err := attempt.LockSubject(ctx, tx, "lebenis", d.subject)
				if err != nil {
					return err
				}
				m, err := review.Close(ctx, tx, noon, all[0], w, provider.RejectedRetryable)
				if m.Attempt.State != c.want || m.Result.Class != c.class || m.Result.Code != c.code || m.Again != c.again || m.Attempt.Code != c.code {
					t.Errorf("closed as %+v", m)
				}
				if _, stale := review.Close(ctx, tx, noon, all[0], w, provider.RejectedRetryable); !errors.Is(stale, review.ErrMoved) {
					t.Errorf("a row that has changed since was closed: %v", stale)
				}
				return err
			})
		})
	}
}
