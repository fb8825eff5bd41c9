package evening

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle"
)

// row is a line of a file of payments. Rows of one payment stay in their order when the file is shuffled.
type row struct {
	payee   *payee
	payment payment
	order   int
}

// firstDay writes what is known when the first run begins.
func (g *generator) firstDay() {
	for _, p := range g.all {
		for _, y := range g.habits(p) {
			p.known = append(p.known, y)
			g.history(p, y)
		}
	}
	g.evening.Payments = g.file()
}

// habits are the payments that a payee has on the first day.
func (g *generator) habits(p *payee) []*payment {
	noon := g.evening.First.Add(-12 * time.Hour)
	switch p.habit {
	case justBelow:
		return []*payment{g.payment(g.gross(g.rules.Minimum-1), noon)}
	case justEnough:
		return []*payment{g.payment(g.gross(g.rules.Minimum), noon)}
	case little:
		return []*payment{g.payment(1+g.Int64N(4), noon), g.payment(1+g.Int64N(9), noon)}
	case late:
		return []*payment{g.payment(g.amount(), g.evening.First.Add(30*time.Second))}
	case unpayable:
		y := g.payment(g.amount(), noon)
		y.method = "cash"
		return []*payment{y}
	case ordinary:
	}
	all := make([]*payment, 1+g.IntN(12))
	for i := range all {
		all[i] = g.payment(g.amount(), g.around(g.evening.First))
		g.vary(all[i])
	}
	return all
}

// gross is the smallest amount that comes to net, or to the first net above it.
func (g *generator) gross(net int64) int64 {
	for gross := max(net, 1); ; gross++ {
		share := new(big.Rat).SetFrac64(gross*(10_000-g.rules.CommissionBPS), 10_000) // exact net
		share.Sub(share, big.NewRat(1, 2))
		if up := ceil(share); up >= net { // commission half-up is net half-down
			return gross
		}
	}
}

func ceil(r *big.Rat) int64 {
	q, m := new(big.Int).DivMod(r.Num(), r.Denom(), new(big.Int))
	if m.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	return q.Int64()
}

func (g *generator) payment(amount int64, at time.Time) *payment {
	g.payments++
	return &payment{id: fmt.Sprintf("pay-%s-%04d", g.evening.First.Format("20060102"), g.payments), status: "completed", method: g.rules.Methods[0], amount: amount, at: at}
}

// amount is mostly a fare, sometimes one whose commission falls on a rounding edge, rarely a fortune.
func (g *generator) amount() int64 {
	switch g.IntN(10) {
	case 0:
		return 1 + g.Int64N(10)
	case 1:
		return 101 + g.Int64N(5)
	case 2:
		return 25_000 + g.Int64N(50_000)
	default:
		return 500 + g.Int64N(7500)
	}
}

// around is a time of that day, often near its cut-off.
func (g *generator) around(cutoff time.Time) time.Time {
	switch g.IntN(12) {
	case 0:
		return cutoff.Add(-time.Second)
	case 1:
		return cutoff
	case 2:
		return cutoff.Add(500 * time.Millisecond)
	case 3:
		return cutoff.Add(30 * time.Second)
	case 4:
		return cutoff.Add(time.Minute) // the next local day
	case 5:
		return cutoff.Add(-24*time.Hour + 30*time.Second) // after the cut-off of the evening before
	default:
		return cutoff.Add(-time.Duration(1+g.Int64N(20*3600)) * time.Second)
	}
}

// vary makes some payments something else than completed, payable and unpaid.
func (g *generator) vary(y *payment) {
	switch g.IntN(16) {
	case 0:
		y.status = "pending"
	case 1:
		y.status = "processing"
	case 2:
		y.status = "failed"
	case 3:
		y.status = "refunded"
	case 4:
		y.paidReference = fmt.Sprintf("OM-%06d", g.IntN(1_000_000))
	case 5:
		y.method = "cash"
	case 6:
		y.method = "mtn_momo"
	}
}

// history writes a payment's rows: sometimes the steps that led to its status, sometimes the same row twice.
func (g *generator) history(p *payee, y *payment) {
	if g.chance(6) && (y.status == "completed" || y.status == "refunded") {
		before := *y
		for _, status := range []string{"pending", "processing"}[g.IntN(2):] {
			before.status = status
			g.row(p, before)
		}
	}
	g.row(p, *y)
	if g.chance(15) {
		g.row(p, *y)
	}
}

// nextDay writes what came in between the two runs.
func (g *generator) nextDay() {
	next := g.evening.Next
	for _, p := range g.all {
		for _, y := range p.known {
			g.change(p, y)
		}
		if p.habit != ordinary || g.chance(2) {
			g.history(p, g.payment(g.amount(), g.around(next)))
		}
		if p.habit == ordinary && g.chance(4) {
			y := g.payment(g.amount(), g.evening.First.Add(-time.Duration(1+g.IntN(5))*time.Hour))
			g.history(p, y) // completed before the cut-off, heard of after it
		}
	}
	g.evening.Later = g.file()
}

// change moves a payment of the first day on.
func (g *generator) change(p *payee, y *payment) {
	switch {
	case (y.status == "pending" || y.status == "processing") && g.chance(2):
		y.status = []string{"completed", "failed", "completed"}[g.IntN(3)]
		y.at = g.around(g.evening.Next)
		g.row(p, *y)
	case y.status == "completed" && !g.refused(p) && g.chance(10):
		y.status, y.at = "refunded", y.at.Add(time.Duration(1+g.IntN(600))*time.Minute)
		g.row(p, *y)
	case g.chance(20):
		g.row(p, *y) // told again
	}
}

// refused: whether a refused payout's payments are still claimed the next day depends on when it is tried again, and with
// it what a refund means.
func (g *generator) refused(p *payee) bool {
	fate := g.evening.Fates[p.id]
	return fate == oracle.Refuses || fate == oracle.RefusesLater
}

func (g *generator) row(p *payee, y payment) {
	g.rows = append(g.rows, row{p, y, len(g.rows)})
}

// file writes the rows in a random order that keeps each payment's own, and begins the next file.
func (g *generator) file() []byte {
	shuffled := make([]row, len(g.rows))
	own := map[string][]row{}
	for i, at := range g.Perm(len(g.rows)) {
		shuffled[at] = g.rows[i]
		own[g.rows[i].payment.id] = append(own[g.rows[i].payment.id], g.rows[i])
	}
	g.rows = nil
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	write(w, []string{"payment_id", "payee_id", "payee_name", "phone", "amount", "currency", "method", "status", "completed_at", "paid_reference"})
	for _, place := range shuffled {
		queue := own[place.payment.id]
		r := queue[0]
		own[place.payment.id] = queue[1:]
		at := ""
		if r.payment.status == "completed" || r.payment.status == "refunded" {
			at = g.instant(r.payment.at)
		}
		write(w, []string{
			r.payment.id, r.payee.id, r.payee.name, r.payee.phone, g.decimal(r.payment.amount), g.rules.Currency, r.payment.method,
			r.payment.status, at, r.payment.paidReference,
		})
	}
	w.Flush()
	return out.Bytes()
}

// write cannot fail: its writer is memory.
func write(w *csv.Writer, fields []string) { _ = w.Write(fields) }

// instant writes a time as systems do, mostly in UTC.
func (g *generator) instant(t time.Time) string {
	if g.chance(10) {
		return t.In(time.FixedZone("", 2*3600)).Format(time.RFC3339Nano)
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (g *generator) decimal(minor int64) string {
	text := strconv.FormatInt(minor, 10)
	if d := g.rules.Decimals; d > 0 {
		text = fmt.Sprintf("%0*d", d+1, minor)
		text = text[:len(text)-d] + "." + text[len(text)-d:]
	}
	return text
}
