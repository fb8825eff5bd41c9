package resting_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/precheck"
	"github.com/agogopay/agogo/internal/provider"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	restorev1 "github.com/agogopay/agogo/proto/gen/go/agogo/restore/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
	"github.com/agogopay/agogo/services/payouts/internal/resting"
)

// room is how many questions about what rests may be open of a connector.
const room = 512

// due is how many questions are due.
func (s *scene) due() int64 {
	return s.Count("SELECT count(*) FROM prechecks WHERE state = 'asking' AND next_at <= $1", s.Clock.Now())
}

// What a provider says before its absence counts is not the end of a question: all of them come due at the moment from which on it does, and what
// is about to be sent waits behind no more than there is room for.
func TestNoMoreComesDueAtOnceThanThereIsRoomFor(t *testing.T) {
	t.Parallel()
	s := rest(t, 1, "held", false, sending.Hooks{Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
		return provider.Found{}, nil
	}})
	s.SQL(clone)
	for range 4 {
		s.page(500)
		for range 5 {
			if err := s.s.Prechecks.Pass(s.Ctx()); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Clock.Advance(settled)
	if n := s.due(); n != room {
		t.Errorf("%d are due at once, want %d", n, room)
	}
}

// What a provider does not answer keeps no room: a few such questions would keep all others from being asked about.
func TestWhatIsNotAnsweredKeepsNoRoom(t *testing.T) {
	t.Parallel()
	s := rest(t, 1, "held", false)
	s.SQL(clone)
	s.page(500)
	s.SQL("UPDATE prechecks SET unanswered = 1, next_at = $1", s.Clock.Now().Add(time.Hour))
	s.page(500)
	if n := s.Count("SELECT count(*) FROM prechecks"); n != 2*room {
		t.Errorf("%d were asked about, want %d", n, 2*room)
	}
}

// Long after a restore the walk goes past what rests of later days at the cost of a row a run.
func TestOnceTheDaysInDoubtAreOverNothingIsRead(t *testing.T) {
	t.Parallel()
	s := rest(t, 1, "held", false)
	s.SQL(clone)
	s.SQL("UPDATE payouts SET period_date = period_date + 400")
	s.SQL("ANALYZE payouts")
	s.InTx(func(tx pgx.Tx) error {
		before := s.read(tx)
		at := s.at(tx)
		for range 3 {
			var err error
			if at, err = s.look(tx, at, 500); err != nil {
				return err
			}
		}
		if n := s.read(tx) - before; n > 20 {
			t.Errorf("%d rows were read of a year in which nothing is in doubt", n)
		}
		return nil
	})
}

// However many runs of later days there are, one of a day in doubt among them, as a backfill is, is found: each of its payouts, and no other.
func TestADayInDoubtIsFoundAmongLaterOnes(t *testing.T) {
	t.Parallel()
	s := rest(t, 1, "held", false)
	s.SQL(clone)
	const nth = "lpad(((CASE WHEN payee_id LIKE 'clone-%' THEN substr(payee_id, 7)::int ELSE 0 END) / 5)::text, 12, '0')" // 300 runs of 5
	s.SQL("UPDATE payouts SET run_id = ('00000000-0000-0000-0000-' || " + nth + ")::uuid")
	s.SQL("UPDATE payouts SET period_date = period_date + 400 WHERE right(run_id::text, 3) NOT IN ('000', '150', '299')")
	s.SQL("ANALYZE payouts")
	for at, first := (resting.Place{}), true; first || at != (resting.Place{}); first = false {
		s.InTx(func(tx pgx.Tx) (err error) { at, err = s.look(tx, at, 3); return err })
	}
	if n, all := s.Count("SELECT count(*) FROM prechecks WHERE right(run_id::text, 3) IN ('000', '150', '299')"), s.Count("SELECT count(*) FROM prechecks"); n != 15 || all != 15 {
		t.Errorf("%d are asked about, %d of them of days in doubt, want 15 and 15", all, n)
	}
}

// Of many runs in doubt a page reads no more than it has, and a row of each run that it looks at.
func TestAPageReadsNoMoreThanItHas(t *testing.T) {
	t.Parallel()
	s := rest(t, 1, "held", false)
	s.SQL(clone)
	s.SQL("UPDATE payouts SET run_id = ('00000000-0000-0000-0000-' || lpad(page::text, 12, '0'))::uuid")
	s.SQL("ANALYZE payouts")
	s.InTx(func(tx pgx.Tx) error {
		at := s.at(tx)
		before := s.read(tx)
		if _, _, err := s.asker.List(s.Ctx(), tx, at, 100); err != nil {
			return err
		}
		if n := s.read(tx) - before; n > 110 {
			t.Errorf("%d rows were read for a page of 100", n)
		}
		return nil
	})
}

// A command that is refused for another reason than an old word has nobody asked anew: of such a wish nothing would come, and `agogo restore list`
// would tell of it for ever.
func TestWhatCannotBeAskedAnewIsNotWanted(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"contradicted":          "UPDATE payouts SET contradicted = true",
		"told of elsewhere":     "INSERT INTO restore_lost (subject_id, tenant, owner_id, provider, amount, state, epoch, version) SELECT payout_id, tenant, payee_id, 'wave', 24000, 'succeeded', 0, 5 FROM payouts",
		"its provider is gone":  "WITH gone AS (UPDATE prechecks SET provider = 'gone') UPDATE payouts SET provider = 'gone'",
		"of another provider":   "UPDATE prechecks SET provider = 'wave'",
		"of an earlier restore": "INSERT INTO restore_marks SELECT 2, marked_at, sent_since, careful_until, reason, actor FROM restore_marks",
		"being looked up": `INSERT INTO attempts (subject_id, number, tenant, provider, reference, amount, currency, destination, state, submitted_at, opened_at, next_lookup_at)
			SELECT payout_id, 1, tenant, provider, 'before', net, currency, destination, 'unknown', now(), now(), now() + interval '1 year' FROM payouts`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := rest(t, 1, "held", false)
			s.asks(3)
			s.Clock.Advance(2 * time.Hour)
			s.SQL(change)
			server, ctx := s.server()
			if _, err := server.CancelPayout(ctx, &payoutsv1.CancelPayoutRequest{Tenant: payoutstest.Tenant, Id: s.id().String(), Reason: "wrong"}); err == nil {
				t.Fatal("cancelled")
			}
			told := &restorev1.Restore{Epoch: 1}
			if err := precheck.Count(s.Ctx(), s.Pool, told); err != nil || told.GetAsking() != 0 || told.GetAbsent() != 1 {
				t.Errorf("asking %d, absent %d, want 0 and 1: %v", told.GetAsking(), told.GetAbsent(), err)
			}
		})
	}
}

// A provider of a large rate is asked about as much more at once: what is about to be sent waits no longer behind it, and what rests is through as
// fast as the rate lets it.
func TestRoomFollowsTheRate(t *testing.T) {
	t.Parallel()
	s := rest(t, 1, "held", false)
	s.SQL(clone)
	s.s.Connector.Throttle = provider.NewThrottle(100, 4)
	s.page(500)
	if n := s.Count("SELECT count(*) FROM prechecks"); n != 1000 {
		t.Errorf("%d are asked about at once at 100 calls a second, want 1000", n)
	}
	s.page(500)
	if n := s.Count("SELECT count(*) FROM prechecks"); n != 1000 {
		t.Errorf("%d are asked about at once in a second round, want 1000", n)
	}
}
