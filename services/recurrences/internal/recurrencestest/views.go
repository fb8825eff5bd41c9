package recurrencestest

import (
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/services/recurrences/internal/charge"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// Charge is the charge of a cycle.
func (e *Env) Charge(recurrenceID, cycle string) store.Charge {
	e.t.Helper()
	all, err := e.Store.Charges(e.t.Context(), e.Pool, charge.ID(Tenant, recurrenceID, cycle))
	if err != nil || len(all) != 1 {
		e.t.Fatalf("charge of %s of %s: %d found, %v", recurrenceID, cycle, len(all), err)
	}
	return all[0]
}

// Charges are all charges of a recurrence, oldest first.
func (e *Env) Charges(recurrenceID string) []store.Charge {
	e.t.Helper()
	rows, err := e.Pool.Query(e.t.Context(), "SELECT charge_id FROM charges WHERE recurrence_id = $1", recurrenceID)
	if err != nil {
		e.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		e.t.Fatal(err)
	}
	all, err := e.Store.Charges(e.t.Context(), e.Pool, ids...)
	if err != nil {
		e.t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b store.Charge) int { return int(a.Cycle.Date - b.Cycle.Date) })
	return all
}

// Standing is a recurrence as it is.
func (e *Env) Standing(id string) store.Recurrence {
	e.t.Helper()
	all, err := e.Store.Recurrences(e.t.Context(), e.Pool, store.Key{Tenant: Tenant, ID: id})
	if err != nil || len(all) != 1 {
		e.t.Fatalf("recurrence %s: %d found, %v", id, len(all), err)
	}
	return all[0]
}

// Card is the card of a token.
func (e *Env) Card(token string) store.Card {
	e.t.Helper()
	all, err := e.Store.Cards(e.t.Context(), e.Pool, store.CardID(Tenant, token))
	if err != nil || len(all) != 1 {
		e.t.Fatalf("card %s: %d found, %v", token, len(all), err)
	}
	return all[0]
}

// CheckEvents fails the test unless the events tell what became of recurrences, charges, cards and runs.
func (e *Env) CheckEvents() {
	e.t.Helper()
	e.Schema.CheckEvents(map[string]string{
		"recurrence": "SELECT recurrence_id, state, version FROM recurrences",
		"charge":     "SELECT charge_id::text, state, version FROM charges",
		"card":       "SELECT card_id::text, state, version FROM cards WHERE version > 0",
		"run":        "SELECT run_id::text, state, version FROM runs WHERE version > 0",
	})
}

// Balances are the accounts that are not zero: debits less credits.
func (e *Env) Balances() map[string]int64 { return e.Schema.Balances(Tenant) }

// checkReversals fails the test unless charges hold what the records of their refunds and disputes add up to, only charges that
// succeeded have any, and every dispute that is not decided is in the account of chargebacks, less what was refunded of it.
func (e *Env) checkReversals() {
	e.t.Helper()
	for what, sql := range map[string]string{
		"charges differ from their reversals": `SELECT count(*) FROM charges c LEFT JOIN (
			SELECT charge_id, sum(amount) FILTER (WHERE kind = 'refund') AS refunded,
			       sum(amount) FILTER (WHERE kind = 'dispute' AND state <> 'won') AS disputed, sum(amount) FILTER (WHERE state = 'lost') AS lost
			FROM reversals GROUP BY charge_id) r USING (charge_id)
			WHERE (c.refunded, c.disputed, c.charged_back) <> (COALESCE(r.refunded, 0), COALESCE(r.disputed, 0), COALESCE(r.lost, 0))`,
		"charges were taken back and did not succeed": "SELECT count(*) FROM charges WHERE refunded + disputed > 0 AND state <> 'succeeded'",
	} {
		if n := e.Count(sql); n != 0 {
			e.t.Errorf("%d %s", n, what)
		}
	}
	open := e.Count(`SELECT COALESCE(sum(LEAST(amount, refunded + disputed) - LEAST(amount, refunded + charged_back)), 0)::bigint FROM charges`)
	if got := e.Balances()[ledger.Chargebacks]; got != open {
		e.t.Errorf("chargebacks hold %d, the charges say %d", got, open)
	}
}

// CheckBooks fails the test unless the books hold what the charges say, and the gateway took each charge's money once at
// most and where the books say so.
func (e *Env) CheckBooks() {
	e.t.Helper()
	paid := e.Count("SELECT COALESCE(sum(amount), 0)::bigint FROM charges WHERE state = 'succeeded'")
	back := e.Count(`SELECT COALESCE(sum(LEAST(amount, refunded + disputed) + GREATEST(0, refunded - amount)), 0)::bigint FROM charges`)
	// What the gateway took of a charge that is closed is owed to us, too, and in suspense.
	found := e.Count("SELECT COALESCE(sum(difference), 0)::bigint FROM recon_findings")
	if got := e.Balances()[ledger.GatewayReceivable("cielo")]; got != paid-back+found {
		e.t.Errorf("the gateway owes %d by the books, %d by the charges that succeeded, of which it took back %d, and %d by findings", got, paid, back, found)
	}
	e.checkReversals()
	if n := e.Count(`SELECT count(*) FROM (SELECT FROM charges WHERE state IN ('submitting', 'processing', 'unknown', 'manual_review')
		GROUP BY tenant, recurrence_id HAVING count(*) > 1) d`); n != 0 {
		e.t.Errorf("%d recurrences have two charges under way", n)
	}
	took := map[string]int{}
	for _, s := range e.Gateway.Paid() {
		took[s.Reference[:32]]++
	}
	for id, n := range took {
		if n > 1 {
			e.t.Errorf("the gateway took the money of charge %s %d times", id, n)
		}
	}
	var taken int64
	for _, s := range e.Gateway.Paid() {
		// What the gateway denies that it has taken is believed to be free for an hour (ADR 18): nothing is in doubt then.
		if e.Count("SELECT count(*) FROM attempts WHERE reference = $1 AND state = 'not_sent' AND denied_at IS NOT NULL", s.Reference) == 0 {
			taken += s.Amount.Minor
		}
	}
	doubt := e.Count("SELECT count(*) FROM charges WHERE state IN ('submitting', 'processing', 'unknown', 'manual_review') OR contradicted")
	if doubt == 0 && taken != paid {
		e.t.Errorf("the gateway took %d, the charges say %d, and nothing is in doubt", taken, paid)
	}
}
