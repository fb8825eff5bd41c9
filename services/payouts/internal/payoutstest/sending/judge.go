package sending

import (
	"strings"

	"github.com/agogopay/agogo/internal/ledger"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/simulator"
)

// Cashin is a rule about sends, all of them unless peers are named; times 0 is always.
func (e *Env) Cashin(fault simulator.Fault, times int, change ...func(*simulator.Rule)) {
	e.rule(e.kind.Pay, fault, times, change)
}

// Lookups is a rule about lookups.
func (e *Env) Lookups(fault simulator.Fault, times int, change ...func(*simulator.Rule)) {
	e.rule(e.kind.Ask, fault, times, change)
}

func (e *Env) rule(operation string, fault simulator.Fault, times int, change []func(*simulator.Rule)) {
	e.t.Helper()
	r := simulator.Rule{Provider: e.kind.Simulated, Operation: operation, Fault: fault, Times: times}
	for _, f := range change {
		f(&r)
	}
	if r.Match.Peer != "" {
		_, local := e.kind.wallet(r.Match.Peer)
		r.Match.Peer = e.kind.Prefix + local
	}
	if err := e.Sim.AddRule(r); err != nil {
		e.t.Fatal(err)
	}
}

// ForPeer narrows a rule to payee n.
func ForPeer(n int) func(*simulator.Rule) {
	return func(r *simulator.Rule) { r.Match.Peer = Peer(n) }
}

// NoFaults takes all rules back.
func (e *Env) NoFaults() {
	e.t.Helper()
	if err := e.Sim.Plan(simulator.Plan{}); err != nil {
		e.t.Fatal(err)
	}
}

// Book is the provider's truth by our references; what is none of ours is there by the provider's.
func (e *Env) Book() map[string]simulator.Entry {
	e.t.Helper()
	b, err := e.Sim.Book(e.kind.Simulated)
	if err != nil {
		e.t.Fatal(err)
	}
	m := map[string]simulator.Entry{}
	for _, entry := range b.Entries {
		m[entry.Reference] = entry
	}
	if e.kind.Theirs == nil {
		return m
	}
	for _, a := range e.attempts() {
		if entry, ok := m[e.kind.Theirs(a.reference)]; ok {
			delete(m, entry.Reference)
			m[a.reference] = entry
		}
	}
	return m
}

// Requests is how many payments the provider was asked for, paid or not.
func (e *Env) Requests() (n int) {
	for _, entry := range e.Book() {
		n += entry.Requests
	}
	return n
}

// PayoutStates counts payouts by state.
func (e *Env) PayoutStates() map[string]int64 {
	e.t.Helper()
	states := map[string]int64{}
	for _, p := range e.Payouts() {
		states[p.GetState()]++
	}
	return states
}

// One is the state and reason code of the only payout, "failed/identical_transaction" say.
func (e *Env) One() string { return e.Of(1) }

// Of is the state and reason code of payee n's newest payout.
func (e *Env) Of(n int) string {
	e.t.Helper()
	var s string
	err := e.Pool.QueryRow(e.t.Context(), `SELECT state || CASE WHEN reason_code = '' THEN '' ELSE '/' || reason_code END
		FROM payouts WHERE payee_id = $1 ORDER BY created_at DESC, seq DESC LIMIT 1`, Payee(n)).Scan(&s)
	if err != nil {
		e.t.Fatal(err)
	}
	return s
}

// Check holds events, items, books and attempts against each other and against the provider's book. Differences of the
// last kind are expected where a test makes the provider contradict itself; those are listed as references.
func (e *Env) Check(contradictions ...string) {
	e.t.Helper()
	e.CheckEvents()
	e.CheckItems()
	e.CheckCaps()
	e.checkStates()
	e.checkLedger(len(contradictions) > 0)
	e.checkBook(contradictions)
}

// checkStates: an attempt and its payout say the same.
func (e *Env) checkStates() {
	e.t.Helper()
	n := e.Count(`SELECT count(*) FROM payouts p LEFT JOIN attempts a ON a.subject_id = p.payout_id AND a.number = p.attempt
		WHERE CASE p.state
			WHEN 'submitting' THEN a.state IS DISTINCT FROM 'submitting'
			WHEN 'processing' THEN a.state IS DISTINCT FROM 'processing'
			WHEN 'unknown' THEN a.state IS DISTINCT FROM 'unknown'
			WHEN 'manual_review' THEN a.state IS DISTINCT FROM 'manual_review'
			WHEN 'succeeded' THEN a.state IS DISTINCT FROM 'succeeded'
			ELSE a.state NOT IN ('failed', 'not_sent') END`)
	if n != 0 {
		e.t.Errorf("%d payouts are not in the state of their attempt", n)
	}
	if n := e.Count("SELECT count(*) FROM (SELECT subject_id FROM attempts WHERE state NOT IN ('failed', 'not_sent') GROUP BY subject_id HAVING count(*) > 1) x"); n != 0 {
		e.t.Errorf("%d payouts have two attempts that may have moved money", n)
	}
}

// checkLedger: what is in transit is what is open, what left the float is what succeeded.
func (e *Env) checkLedger(suspense bool) {
	e.t.Helper()
	b := e.Balances()
	transit := e.Count("SELECT COALESCE(sum(net), 0)::bigint FROM payouts WHERE state IN ('submitting', 'processing', 'unknown', 'manual_review')")
	if got := -b[ledger.InTransit(e.Config.Name)]; got != transit {
		e.t.Errorf("in transit are %d, the books say %d", transit, got)
	}
	paid := e.Count("SELECT COALESCE(sum(net), 0)::bigint FROM payouts WHERE state = 'succeeded'")
	fees := e.Count("SELECT COALESCE(sum(fee), 0)::bigint FROM attempts WHERE state = 'succeeded'")
	if got := -b[ledger.Float(e.Config.Name)]; got != paid+fees && !suspense {
		e.t.Errorf("paid were %d and %d of fees, the books say %d", paid, fees, got)
	}
	owed := e.Count("SELECT COALESCE(sum(net), 0)::bigint FROM payments WHERE status = 'completed'") - transit - paid
	for account, net := range b {
		if strings.HasPrefix(account, "payable:") {
			owed += net
		}
	}
	if owed != 0 {
		e.t.Errorf("the books owe payees %d less than they are owed", owed)
	}
}

// checkBook: money moved at most once per payout, once for each that succeeded, never for one that is not open and did not.
func (e *Env) checkBook(contradictions []string) {
	e.t.Helper()
	book := e.Book()
	moved := map[string]int{}
	for _, a := range e.attempts() {
		n := book[a.reference].Moved
		moved[a.payout] += n
		if strings.Contains(strings.Join(contradictions, " "), a.reference) {
			continue
		}
		switch {
		case a.state == "succeeded" && n != 1:
			e.t.Errorf("attempt %s succeeded and moved money %d times", a.reference, n)
		case (a.state == "failed" || a.state == "not_sent") && n != 0:
			e.t.Errorf("attempt %s is %s and moved money %d times", a.reference, a.state, n)
		}
	}
	for id, n := range moved {
		if n > 1 {
			e.t.Errorf("payout %s moved money %d times", id, n)
		}
	}
}

type row struct{ payout, reference, state string }

func (e *Env) attempts() []row {
	e.t.Helper()
	rows, err := e.Pool.Query(e.t.Context(), "SELECT subject_id::text, reference, state FROM attempts WHERE tenant = $1", payoutstest.Tenant)
	if err != nil {
		e.t.Fatal(err)
	}
	defer rows.Close()
	var all []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.payout, &r.reference, &r.state); err != nil {
			e.t.Fatal(err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		e.t.Fatal(err)
	}
	return all
}
