package resting_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/connector"
	"github.com/agogopay/agogo/internal/precheck"
	restorev1 "github.com/agogopay/agogo/proto/gen/go/agogo/restore/v1"
)

// wish has somebody want to end a payout whose provider's word is too old.
func wish(t *testing.T) *scene {
	t.Helper()
	s := rest(t, 1, "held", false)
	s.asks(3)
	s.Clock.Advance(2 * time.Hour)
	s.refusedToEnd()
	if n := s.asking(); n != 1 {
		t.Fatalf("%d are counted as being asked about", n)
	}
	return s
}

// asking is what `agogo restore list` says is being asked about.
func (s *scene) asking() int64 {
	s.t.Helper()
	var epoch int32
	if err := s.Pool.QueryRow(s.Ctx(), "SELECT max(epoch) FROM restore_marks").Scan(&epoch); err != nil {
		s.t.Fatal(err)
	}
	told := &restorev1.Restore{Epoch: epoch}
	if err := precheck.Count(s.Ctx(), s.Pool, told); err != nil {
		s.t.Fatal(err)
	}
	return told.GetAsking()
}

// Somebody waits for a payout to be asked about anew, and nothing comes of it: something else became of it first, or it cannot be asked about any
// more. The next sweep counts it no longer.
func TestWhatCannotBeAskedAnewIsWantedNoLonger(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"ended":                 "UPDATE payouts SET state = 'cancelled'",
		"sent":                  "UPDATE payouts SET state = 'succeeded'",
		"gone":                  "DELETE FROM payouts",
		"contradicted":          "UPDATE payouts SET contradicted = true",
		"told of elsewhere":     "INSERT INTO restore_lost (subject_id, tenant, owner_id, provider, amount, state, epoch, version) SELECT payout_id, tenant, payee_id, 'wave', 24000, 'succeeded', 0, 5 FROM payouts",
		"its provider is gone":  "WITH gone AS (UPDATE prechecks SET provider = 'gone') UPDATE payouts SET provider = 'gone'",
		"of another provider":   "UPDATE payouts SET provider = 'wave'",
		"believed again":        "UPDATE prechecks SET proven_at = $1",
		"of an earlier restore": "INSERT INTO restore_marks SELECT 2, marked_at, sent_since, careful_until - 400, reason, actor FROM restore_marks",
		"being looked up": `INSERT INTO attempts (subject_id, number, tenant, provider, reference, amount, currency, destination, state, submitted_at, opened_at, next_lookup_at)
			SELECT payout_id, 1, tenant, provider, 'before', net, currency, destination, 'unknown', now(), now(), now() + interval '1 year' FROM payouts`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wish(t)
			if strings.Contains(change, "$1") {
				s.SQL(change, s.Clock.Now())
			} else {
				s.SQL(change)
			}
			s.SweepOnly()
			if n, wanted := s.asking(), s.Count("SELECT count(*) FROM prechecks WHERE wanted"); n != 0 || wanted != 0 {
				t.Errorf("%d are counted as being asked about, %d are wanted", n, wanted)
			}
		})
	}
}

// What can be asked about waits for its turn, in however many pages, and so does what somebody is asking about at the moment.
func TestWhatIsWantedStaysSoUntilItIsAskedAbout(t *testing.T) {
	t.Parallel()
	s := wish(t)
	forget := func(limit int) {
		for at, first := uuid.Nil, true; first || at != uuid.Nil; first = false {
			s.InTx(func(tx pgx.Tx) error {
				ids, next, err := s.asker.VainWishes(s.Ctx(), tx, at, limit)
				if at = next; err != nil {
					return err
				}
				return s.asker.ForgetWishes(s.Ctx(), tx, ids)
			})
		}
	}
	forget(500)
	if n := s.asking(); n != 1 {
		t.Errorf("%d are counted as being asked about that will be", n)
	}
	s.SQL(`INSERT INTO prechecks SELECT (x.p).* FROM (SELECT jsonb_populate_record(w, jsonb_build_object('subject_id', gen_random_uuid())) AS p
		FROM prechecks w, generate_series(1, 20)) x`)
	held, err := s.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(t.Context(), "SELECT FROM prechecks WHERE subject_id = (SELECT max(subject_id::text)::uuid FROM prechecks WHERE subject_id <> $1) FOR UPDATE", s.id()); err != nil {
		t.Fatal(err)
	}
	forget(3)
	if n := s.asking(); n != 2 {
		t.Errorf("%d are counted as being asked about, want the one that will be and the one that somebody holds", n)
	}
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	forget(3)
	if n := s.asking(); n != 1 {
		t.Errorf("%d are counted as being asked about", n)
	}
	s.page(500)
	if n := s.Count("SELECT count(*) FROM prechecks WHERE state = 'asking' AND NOT wanted"); n != 1 {
		t.Errorf("%d are asked about", n)
	}
}

// The provider leaves the tenants file, and the process that sweeps serves it no longer.
func TestAWishForAProviderThatIsServedNoLongerIsForgotten(t *testing.T) {
	t.Parallel()
	s := wish(t)
	s.sweeps(&connector.Set{}, 1, time.Minute)
	if n := s.asking(); n != 0 {
		t.Errorf("%d are counted as being asked about", n)
	}
}
