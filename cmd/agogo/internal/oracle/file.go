package oracle

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"
)

// Import reads a file of payments (CSV with a header) as the tenant's rules have it: rows follow each other in time, a
// later row of a payment moves its status on. It refuses what a correct file cannot have, so that a test with a wrong file
// fails here and not somewhere else.
func (m *Model) Import(r io.Reader) error {
	in := csv.NewReader(r)
	header, err := in.Read()
	if err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	for line := 2; ; line++ {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		row := map[string]string{}
		for i, name := range header {
			row[name] = fields[i]
		}
		if err := m.record(row); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
	}
}

func (m *Model) record(row map[string]string) error {
	p, err := m.read(row)
	if err != nil {
		return err
	}
	who := m.payees[p.payee]
	if who == nil {
		who = &payee{id: p.payee}
		m.payees[p.payee] = who
	}
	if phone := row["phone"]; phone != "" {
		who.phone = phone
	}
	old := m.payments[p.id]
	if old == nil {
		m.payments[p.id] = p
		p.done = p.status == "completed"
		return nil
	}
	if old.payee != p.payee || old.gross != p.gross || old.method != p.method || old.paidReference != p.paidReference {
		return fmt.Errorf("payment %s differs from what is known of it", p.id)
	}
	return old.advance(p)
}

func (m *Model) read(row map[string]string) (*payment, error) {
	p := &payment{
		id: row["payment_id"], payee: row["payee_id"], method: row["method"], status: row["status"], paidReference: row["paid_reference"],
	}
	if row["currency"] != m.rules.Currency {
		return nil, fmt.Errorf("currency %q", row["currency"])
	}
	amount, ok := new(big.Rat).SetString(row["amount"])
	if !ok {
		return nil, fmt.Errorf("amount %q", row["amount"])
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(m.rules.Decimals)), nil)
	amount.Mul(amount, new(big.Rat).SetInt(unit))
	if !amount.IsInt() || amount.Sign() <= 0 {
		return nil, fmt.Errorf("amount %q", row["amount"])
	}
	p.gross = amount.Num().Int64()
	p.commission = commission(p.gross, m.rules.CommissionBPS)
	p.net = p.gross - p.commission
	if p.status != "completed" && p.status != "refunded" {
		return p, nil
	}
	var err error
	p.completedAt, err = time.Parse(time.RFC3339Nano, row["completed_at"])
	return p, err
}

// advance moves a payment on. A refund of what the payee has, or is about to get, is taken off a later payout.
func (p *payment) advance(next *payment) error {
	order := map[string]int{"pending": 0, "processing": 1, "completed": 2, "failed": 3, "refunded": 3}
	if next.status == p.status {
		return nil
	}
	if order[next.status] <= order[p.status] || next.status == "failed" && p.status == "completed" {
		return fmt.Errorf("payment %s goes from %s to %s", p.id, p.status, next.status)
	}
	p.status, p.completedAt = next.status, next.completedAt
	switch {
	case p.status == "completed":
		p.done = true
	case p.status == "refunded" && p.done && (p.claim != nil || p.paidReference != ""):
		p.carry = &carry{at: next.completedAt}
	}
	return nil
}

// peer is a payee's number without the country, as the provider wants it.
func (m *Model) peer(id string) string {
	return strings.TrimPrefix(m.payees[id].phone, m.rules.CountryPrefix)
}
