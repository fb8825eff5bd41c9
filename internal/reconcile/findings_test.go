package reconcile_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/internal/reconcile"
	"github.com/agogopay/agogo/internal/stream"
	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
)

// A contradiction is a row, an event, and a difference in suspense: once each, however often it is heard.
func TestFindings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		moved         int
		collects      bool
		debit, credit string
		difference    int64
	}{
		"money left us that is booked as not":  {1, false, ledger.Suspense, "float:orange", 700},
		"money did not leave that is booked":   {-1, false, "float:orange", ledger.Suspense, -700},
		"money came in that is booked as not":  {1, true, "float:orange", ledger.Suspense, 700},
		"money did not come in that is booked": {-1, true, ledger.Suspense, "float:orange", -700},
		"something else":                       {0, false, "", "", 0},
		"something else, of one that collects": {0, true, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLost(t)
			registry := prometheus.NewRegistry()
			f := &reconcile.Findings{
				Service: "lost", Outbox: l.outbox(), Clock: l.clock, Registry: registry, Collects: c.collects,
				Account: func(a attempt.Attempt) string { return ledger.Float(a.Provider) },
			}
			a := l.closed(attempt.Failed)
			u := attempt.Update{Attempt: a, Lookup: true, Decision: attempt.Decision{Mismatch: "differs", Moved: c.moved}}
			for range 2 {
				l.inTx(func(ctx context.Context, tx pgx.Tx) error {
					return f.Record(ctx, tx, []attempt.Update{u, {Attempt: a}})
				})
			}
			if n := l.count("SELECT count(*) FROM recon_findings WHERE subject_id = $1 AND code = 'differs' AND expected = 'failed' AND difference = $2", a.Subject, c.difference); n != 1 {
				t.Errorf("%d findings", n)
			}
			postings := l.count("SELECT count(*) FROM ledger_postings WHERE kind = 'recon.mismatch' AND debit = $1 AND credit = $2 AND amount = 700", c.debit, c.credit)
			if want := c.moved * c.moved; postings != want || l.count("SELECT count(*) FROM ledger_postings") != want {
				t.Errorf("%d postings from %s to %s", postings, c.debit, c.credit)
			}
			var body []byte
			if err := l.pool.QueryRow(t.Context(), "SELECT payload FROM outbox WHERE stream = $1", stream.Events).Scan(&body); err != nil {
				t.Fatal(err)
			}
			var told eventsv1.Recon
			if err := event.Decode(body, &told); err != nil {
				t.Fatal(err)
			}
			if told.GetDifference().GetMinor() != c.difference || told.GetSubjectId() != a.Subject.String() || told.GetExpected() != "failed" {
				t.Errorf("told %+v", &told)
			}
			if n := l.count("SELECT count(*) FROM outbox WHERE stream = $1", stream.Events); n != 1 {
				t.Errorf("%d events", n)
			}
			if n, err := testutil.GatherAndCount(registry, "agogo_lost_mismatches_total"); n != 1 || err != nil {
				t.Errorf("%d series are counted (%v)", n, err)
			}
		})
	}
}

// Only what could pay again is contradicted: what is booked as failed or never sent.
func TestContradicted(t *testing.T) {
	t.Parallel()
	of := func(id uuid.UUID, state attempt.State, mismatch string) attempt.Update {
		return attempt.Update{Attempt: attempt.Attempt{Key: attempt.Key{Subject: id}, State: state}, Decision: attempt.Decision{Mismatch: mismatch}}
	}
	failed, unsent := uuid.New(), uuid.New()
	got := reconcile.Contradicted([]attempt.Update{
		of(failed, attempt.Failed, "paid"), of(failed, attempt.Failed, "paid"), of(unsent, attempt.NotSent, "paid"),
		of(uuid.New(), attempt.Failed, ""), of(uuid.New(), attempt.Succeeded, "absent"), of(uuid.New(), attempt.ManualReview, "amount"),
	})
	if diff := cmp.Diff([]uuid.UUID{failed, unsent}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
