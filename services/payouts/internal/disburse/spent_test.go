package disburse_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/services/payouts/internal/disburse/db"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// What a claim takes for spent is what [attempt.Attempt.Spent] says, whatever the newest attempt is like; through another provider nothing is.
func TestSpentIsTheSameInSQL(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	runID := e.Plan(1)
	now := e.Clock.Now()
	e.SQL("UPDATE payouts SET attempt = $1", attempt.Traceless+1)
	e.SQL(`INSERT INTO attempts (subject_id, number, tenant, provider, reference, amount, currency, destination, state, submitted_at)
		SELECT payout_id, attempt, tenant, provider, 'ref', net, currency, destination, 'failed', $1 FROM payouts`, now)
	q, ids := db.New(e.Pool), []uuid.UUID{}
	for id := range e.Payouts() {
		ids = append(ids, uuid.MustParse(id))
	}
	check := func(a attempt.Attempt, other bool) {
		t.Helper()
		suffix := ""
		if other {
			suffix = "-other"
		}
		e.SQL(`UPDATE attempts SET state = $1, accepted = $2, opened_at = $3, provider_id = $4, behind = $5,
			provider = (SELECT provider FROM payouts) || $6`, string(a.State), a.Accepted, a.OpenedAt, a.ProviderID, a.Behind, suffix)
		want := a.Spent() && !other
		newest, err := q.NewestAttempts(e.Ctx(), db.NewestAttemptsParams{Ids: ids, Traceless: attempt.Traceless})
		if err != nil || len(newest) != 1 || newest[0].Spent != want {
			t.Errorf("%+v, of another provider %t, read anew: %+v, %v", a, other, newest, err)
		}
		e.InTx(func(tx pgx.Tx) error {
			rows, err := db.New(tx).Claim(e.Ctx(), db.ClaimParams{
				RunID: runID, Provider: e.Config.Name, Now: now, Resting: []uuid.UUID{}, Traceless: attempt.Traceless, PageLimit: 1,
				DefaultProvider: e.Store.DefaultProvider(payoutstest.Tenant),
			})
			if err == nil && (len(rows) != 1 || rows[0].Spent != want) {
				t.Errorf("%+v, of another provider %t, claimed: %+v", a, other, rows)
			}
			return err
		})
	}
	for i := range 1 << 5 {
		is := func(bit int) bool { return i>>bit&1 == 1 }
		a := attempt.Attempt{State: attempt.Failed, Accepted: is(1)}
		if is(0) {
			a.State = attempt.NotSent
		}
		if is(2) {
			a.OpenedAt = &now
		}
		if is(3) {
			a.ProviderID = "tx-1"
		}
		for a.Behind = range attempt.Traceless + 1 {
			check(a, is(4))
		}
	}
}
