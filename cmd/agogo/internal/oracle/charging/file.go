package charging

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"time"
)

// Import reads a file of recurrences (CSV with a header). Recurrences that are known stay as they are. It refuses what a
// correct file cannot have, so that a test with a wrong file fails here and not somewhere else.
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
	if m.recurrences[row["recurrence_id"]] != nil {
		return nil
	}
	f := &fields{row: row}
	r := &recurrence{
		id: row["recurrence_id"], seller: row["seller_id"], token: row["card_token"], state: row["status"], reason: "imported",
		amount: f.amount(m.rules), most: f.number("max_cycles"), end: f.date("end_date", time.DateOnly), ended: f.date("ended_at", time.RFC3339),
		rhythm: rhythm{row["period"], f.number("anchor_day"), f.number("anchor_month"), f.number("interval_days")},
	}
	date, failures := f.date("next_charge_date", time.DateOnly), f.number("failed_attempts")
	if f.err != nil {
		return f.err
	}
	ended := r.state == "cancelled" || r.state == "completed"
	if !ended {
		if r.next = m.cycle(r.rhythm, date); r.next == nil {
			return fmt.Errorf("%s is no date of %s", text(date), r.id)
		}
	} else if r.ended.IsZero() {
		r.ended = m.rules.ended()
	}
	k := m.cards[r.token]
	if k == nil {
		k = &card{}
		m.cards[r.token] = k
	}
	if !ended {
		k.failures += failures
	}
	m.recurrences[r.id] = r
	return nil
}

// fields reads the values of a row and keeps the first error.
type fields struct {
	row map[string]string
	err error
}

func (f *fields) wrong(name string) {
	if f.err == nil {
		f.err = fmt.Errorf("%s %q", name, f.row[name])
	}
}

func (f *fields) number(name string) int {
	n, err := strconv.Atoi(f.row[name])
	if err != nil && f.row[name] != "" {
		f.wrong(name)
	}
	return n
}

func (f *fields) date(name, layout string) time.Time {
	d, err := time.Parse(layout, f.row[name])
	if err != nil && f.row[name] != "" {
		f.wrong(name)
	}
	return d
}

func (f *fields) amount(rules Rules) int64 {
	if f.row["currency"] != rules.Currency {
		f.wrong("currency")
	}
	amount, ok := new(big.Rat).SetString(f.row["amount"])
	if !ok {
		f.wrong("amount")
		return 0
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(rules.Decimals)), nil)
	if amount.Mul(amount, new(big.Rat).SetInt(unit)); !amount.IsInt() || amount.Sign() <= 0 {
		f.wrong("amount")
		return 0
	}
	return amount.Num().Int64()
}
