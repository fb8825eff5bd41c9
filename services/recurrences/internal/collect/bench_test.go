package collect_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/services/recurrences/internal/recurrencestest"
	"github.com/agogopay/agogo/services/recurrences/internal/store"
)

// BenchmarkMorning plans and sends a morning of 5,000 recurrences to a gateway that answers at once.
func BenchmarkMorning(b *testing.B) {
	const n = 5000
	for b.Loop() {
		b.StopTimer()
		e := recurrencestest.New(b)
		e.Connector.Throttle = recurrencestest.Unlimited()
		cards, all := make([]store.Card, n), make([]store.Recurrence, n)
		for i := range n {
			token := fmt.Sprintf("%s_%05d", recurrencestest.OK, i)
			cards[i] = store.Card{Tenant: recurrencestest.Tenant, Token: token, Brand: "visa"}
			all[i] = e.Recurrence(fmt.Sprintf("rec-%05d", i), "2025-10-30", token)
		}
		e.InTx(func(tx pgx.Tx) error {
			if err := e.Store.InsertCards(e.Ctx(), tx, cards); err != nil {
				return err
			}
			_, err := e.Store.InsertRecurrences(e.Ctx(), tx, all)
			return err
		})
		e.SQL("ANALYZE")
		b.StartTimer()
		e.Morning("2025-10-30")
		b.StopTimer()
		if paid := e.Count("SELECT count(*) FROM charges WHERE state = 'succeeded'"); paid != n {
			b.Fatalf("%d of %d paid", paid, n)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "charges/s")
}
