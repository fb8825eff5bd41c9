package demo

import (
	"context"
	"reflect"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// drivers is the story of lebenis: those who deliver are paid in the evening.
type drivers struct {
	story
	payouts payoutsv1.PayoutsServiceClient
}

// observe asks every public surface what there is: the services over gRPC, the provider's book over the simulator.
func (d *drivers) observe(ctx context.Context) (oracle.Observed, error) {
	var o oracle.Observed
	payouts, err := d.payoutsOf(ctx, "")
	if err != nil {
		return o, err
	}
	for _, p := range payouts {
		o.Payouts = append(o.Payouts, observedPayout(p))
	}
	if o.Payments, err = d.payments(ctx); err != nil {
		return o, err
	}
	book, err := d.book(ctx, "orange_omr")
	if err != nil {
		return o, err
	}
	for _, e := range book {
		o.Book = append(o.Book, oracle.BookEntry{Reference: e.Reference, Peer: e.Peer, Amount: e.Amount, Moved: e.Moved})
	}
	o.Balances, err = d.balances(ctx)
	return o, err
}

func observedPayout(p *payoutsv1.Payout) oracle.Payout {
	seen := oracle.Payout{
		ID: p.Id, Payee: p.PayeeId, PeriodDate: p.PeriodDate, State: p.State, Seq: int(p.Seq), Items: int(p.ItemCount),
		Gross: p.Gross.GetMinor(), Commission: p.Commission.GetMinor(), Net: p.Net.GetMinor(),
	}
	for _, a := range p.Attempts {
		seen.References = append(seen.References, a.ProviderReference)
	}
	return seen
}

func (d *drivers) payments(ctx context.Context) ([]oracle.Payment, error) {
	all, err := pages(func(token string) ([]*payoutsv1.Payment, string, error) {
		r, err := d.payouts.ListPayments(ctx, &payoutsv1.ListPaymentsRequest{Tenant: d.tenant, PageSize: 1000, PageToken: token})
		return r.GetItems(), r.GetNextPageToken(), err
	})
	seen := make([]oracle.Payment, len(all))
	for i, p := range all {
		seen[i] = oracle.Payment{
			ID: p.Id, Payee: p.PayeeId, Status: p.Status, PayoutID: p.PayoutId,
			Gross: p.Gross.GetMinor(), Commission: p.Commission.GetMinor(), Net: p.Net.GetMinor(),
		}
	}
	return seen, err
}

// steady observes until two observations in a row say the same: lookups, callbacks and retries go on between the calls that
// make up one, and what is half from before and half from after a change is no observation.
func (d *drivers) steady(ctx context.Context) (oracle.Observed, error) {
	var last oracle.Observed
	err := poll(ctx, 30*time.Second, "two observations that say the same", func() (bool, error) {
		o, err := d.observe(ctx)
		same := err == nil && reflect.DeepEqual(o, last)
		last = o
		return same, err
	})
	return last, err
}

// compare holds everything that can be observed against the expectation, and the books against themselves.
func (d *drivers) compare(ctx context.Context, expected oracle.Expected) error {
	o, err := d.steady(ctx)
	if err != nil {
		return err
	}
	var found []string
	for _, diff := range oracle.Compare(expected, o) {
		found = append(found, diff.String())
	}
	moved := 0
	for _, e := range o.Book {
		moved += e.Moved
	}
	return d.agree(ctx, found, "provider", moved)
}
