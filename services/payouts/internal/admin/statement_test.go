package admin_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// statements keeps what a stream is sent.
type statements struct {
	grpc.ServerStream
	ctx  context.Context
	sent []*payoutsv1.ReadPayeeStatementResponse
}

func (p *statements) Context() context.Context { return p.ctx }

func (p *statements) Send(r *payoutsv1.ReadPayeeStatementResponse) error {
	p.sent = append(p.sent, r)
	return nil
}

// TestAPayeeStatement: opening, movements and closing are the payee's account, in any span of days.
func TestAPayeeStatement(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	s := server(e)
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 10_000, "2025-01-23T10:00:00Z") + payoutstest.Pay("b", "drv-1", 5_000, "2025-01-24T10:00:00Z") +
		payoutstest.Pay("c", "drv-2", 7_000, "2025-01-24T10:00:00Z"))
	read := func(r *payoutsv1.ReadPayeeStatementRequest) (string, []string, error) {
		p := &statements{ctx: t.Context()}
		r.Tenant = payoutstest.Tenant
		err := s.ReadPayeeStatement(r, p)
		var lines []string
		sums := ""
		for _, m := range p.sent {
			if m.Opening != nil {
				sums = fmt.Sprint(m.Opening.Minor)
			}
			for _, l := range m.Lines {
				lines = append(lines, fmt.Sprintf("%s %s %d-%d=%d owed %d", l.Kind, l.Id, l.Gross.GetMinor(), l.Commission.GetMinor(), l.Amount.Minor, l.Balance.Minor))
			}
			if m.Closing != nil {
				sums += fmt.Sprint(" to ", m.Closing.Minor)
			}
		}
		return sums, lines, err
	}
	first, second := "payment a 10000-2000=8000 owed 8000", "payment b 5000-1000=4000 owed 12000"
	for _, c := range []struct {
		from, to, sums string
		lines          []string
	}{
		{"", "", "0 to 12000", []string{first, second}},
		{"2025-01-24", "", "8000 to 12000", []string{second}},
		{"", "2025-01-23", "0 to 8000", []string{first}},
		{"2025-01-25", "2025-01-26", "12000 to 12000", nil},
	} {
		sums, lines, err := read(&payoutsv1.ReadPayeeStatementRequest{PayeeId: "drv-1", FromDate: c.from, ToDate: c.to})
		if err != nil || sums != c.sums {
			t.Errorf("%s to %s: %s, want %s (%v)", c.from, c.to, sums, c.sums, err)
		}
		if diff := cmp.Diff(c.lines, lines); diff != "" {
			t.Errorf("%s to %s (-want +got):\n%s", c.from, c.to, diff)
		}
	}
	if _, _, err := read(&payoutsv1.ReadPayeeStatementRequest{PayeeId: "nobody"}); status.Code(err) != codes.NotFound {
		t.Errorf("nobody's statement: %v", err)
	}
	if _, _, err := read(&payoutsv1.ReadPayeeStatementRequest{PayeeId: "drv-1", FromDate: "2025-02-01", ToDate: "2025-01-01"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a span that ends before it begins: %v", err)
	}
}
