package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/agogopay/agogo/internal/config"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// Whose wallet does not take a larger payout is listed with those who are not verified: up to what it goes, and when the provider is asked
// next. Whose does is not.
func TestTheListSaysWhenAWalletIsAskedAboutNext(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	e.Import(payoutstest.Header + payoutstest.Pay("a", "drv-1", 10_000, "2025-01-24T10:00:00Z") + payoutstest.Pay("b", "drv-2", 10_000, "2025-01-24T10:00:00Z"))
	s := server(e)
	p := e.Tenants.Tenants[0].Providers[e.Store.DefaultProvider(payoutstest.Tenant)]
	p.VerifyRecipients = config.VerifyMatch
	e.Tenants.Tenants[0].Providers[p.Name] = p
	next := payoutstest.At("2025-02-01T00:00:00Z")
	e.SQL(`INSERT INTO recipients (tenant, payee_id, provider, destination, name_digest, rule, amount, currency, state, covers, since)
	       SELECT tenant, payee_id, $1, phone, md5(name), 'match', 24000, 'XOF', 'verified', 24000, $2 FROM payees`, p.Name, next)
	list := func() []*payoutsv1.Payee {
		t.Helper()
		l, err := s.ListPayees(e.Ctx(), &payoutsv1.ListPayeesRequest{Tenant: payoutstest.Tenant, State: "unverified"})
		if err != nil {
			t.Fatal(err)
		}
		return l.GetItems()
	}
	if l := list(); len(l) != 0 {
		t.Errorf("verified, and listed: %v", l)
	}
	e.SQL("UPDATE recipients SET code = 'limit_exceeded', refuses = 30000, next_at = $1 WHERE payee_id = 'drv-2'", next)
	l := list()
	if len(l) != 1 || l[0].GetId() != "drv-2" {
		t.Fatalf("listed: %v", l)
	}
	y := l[0]
	if y.GetRecipientState() != "verified" || y.GetRecipientCovers().GetMinor() != 24_000 || y.GetRecipientCovers().GetCurrency() != "XOF" ||
		!y.GetRecipientNextAt().AsTime().Equal(next) || !strings.Contains(y.GetNextStep(), "larger payout") {
		t.Errorf("%v", y)
	}
	e.SQL("UPDATE recipients SET state = 'refused', covers = NULL, refuses = NULL, next_at = $1", next.Add(time.Hour))
	for _, y := range list() {
		if y.GetRecipientCovers() != nil || !y.GetRecipientNextAt().AsTime().Equal(next.Add(time.Hour)) {
			t.Errorf("%v", y)
		}
	}
}
