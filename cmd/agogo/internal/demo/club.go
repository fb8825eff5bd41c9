package demo

import (
	"context"
	"reflect"
	"strings"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle/charging"
	"github.com/agogopay/agogo/internal/money"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// club is the story of wallclub: members are charged in the morning.
type club struct {
	story
	recurrences recurrencesv1.RecurrencesServiceClient
}

// wallclub are the rules of examples/tenants.yaml, written down a second time on purpose: the expectation must not read
// what the services read. São Paulo has had no summer time since 2019.
func wallclub() charging.Rules {
	return charging.Rules{
		Currency: "BRL", Decimals: 2, MaxRetries: 3, RetryDays: []int{1, 3, 7}, CatchUpDays: 7, CleanupAfterDays: 180, CardFailureLimit: 5,
		Zone: time.FixedZone("", -3*60*60), Gateway: "cielo",
	}
}

func brl(minor int64) string { return money.Amount{Minor: minor, Currency: "BRL"}.Format("pt-BR") }

func (c *club) listRecurrences(ctx context.Context, missed bool) ([]*recurrencesv1.Recurrence, error) {
	return pages(func(token string) ([]*recurrencesv1.Recurrence, string, error) {
		r, err := c.recurrences.ListRecurrences(ctx, &recurrencesv1.ListRecurrencesRequest{Tenant: c.tenant, Missed: missed, PageSize: 1000, PageToken: token})
		return r.GetItems(), r.GetNextPageToken(), err
	})
}

// chargesOf lists what a run made, sent or is to send, or all charges with "".
func (c *club) chargesOf(ctx context.Context, run string) ([]*recurrencesv1.Charge, error) {
	return pages(func(token string) ([]*recurrencesv1.Charge, string, error) {
		r, err := c.recurrences.ListCharges(ctx, &recurrencesv1.ListChargesRequest{Tenant: c.tenant, RunId: run, PageSize: 1000, PageToken: token})
		return r.GetItems(), r.GetNextPageToken(), err
	})
}

func (c *club) digests(ctx context.Context) ([]*recurrencesv1.HoldDigest, error) {
	return pages(func(token string) ([]*recurrencesv1.HoldDigest, string, error) {
		r, err := c.recurrences.ListHoldDigests(ctx, &recurrencesv1.ListHoldDigestsRequest{Tenant: c.tenant, PageSize: 1000, PageToken: token})
		return r.GetItems(), r.GetNextPageToken(), err
	})
}

// observe asks every public surface what there is: the service over gRPC, the gateway's book over the simulator.
func (c *club) observe(ctx context.Context) (charging.Observed, error) {
	var o charging.Observed
	var err error
	if o.Recurrences, err = c.observedRecurrences(ctx); err != nil {
		return o, err
	}
	charges, err := c.chargesOf(ctx, "")
	if err != nil {
		return o, err
	}
	for _, k := range charges {
		o.Charges = append(o.Charges, observedCharge(k))
	}
	digests, err := c.digests(ctx)
	if err != nil {
		return o, err
	}
	for _, d := range digests {
		o.Digests = append(o.Digests, charging.Digest{Seller: d.SellerId, Date: d.LocalDate, IDs: d.RecurrenceIds, Total: d.Total.GetMinor()})
	}
	book, err := c.book(ctx, "cielo")
	if err != nil {
		return o, err
	}
	for _, e := range book {
		o.Book = append(o.Book, charging.BookEntry{Reference: e.Reference, Card: e.Peer, Amount: e.Amount, Moved: e.Moved})
	}
	o.Balances, err = c.balances(ctx)
	return o, err
}

// observedRecurrences asks for those with missed cycles one by one, for only then the cycles are told.
func (c *club) observedRecurrences(ctx context.Context) ([]charging.Recurrence, error) {
	all, err := c.listRecurrences(ctx, false)
	if err != nil {
		return nil, err
	}
	late, err := c.listRecurrences(ctx, true)
	if err != nil {
		return nil, err
	}
	missed := map[string][]string{}
	for _, r := range late {
		full, err := c.recurrences.GetRecurrence(ctx, &recurrencesv1.GetRecurrenceRequest{Tenant: c.tenant, Id: r.Id})
		if err != nil {
			return nil, err
		}
		for _, m := range full.MissedCycles {
			missed[r.Id] = append(missed[r.Id], m.Cycle)
		}
	}
	seen := make([]charging.Recurrence, len(all))
	for i, r := range all {
		seen[i] = charging.Recurrence{
			ID: r.Id, Seller: r.SellerId, State: r.State, Reason: r.Reason.GetCode(), NextCycle: r.NextCycle, NextCharge: r.NextChargeDate,
			Amount: r.Amount.GetMinor(), Cycles: int(r.Cycles), Missed: missed[r.Id], CardInvalid: r.Card.GetState() == "invalid", CardFailures: int(r.Card.GetFailures()),
		}
	}
	return seen, nil
}

func observedCharge(k *recurrencesv1.Charge) charging.Charge {
	seen := charging.Charge{
		Recurrence: k.RecurrenceId, Cycle: k.Cycle, ChargeDate: k.ChargeDate, State: k.State, First: k.FirstAttemptDate, Last: k.LastAttemptDate,
		RetryOn: k.RetryOn, Amount: k.Amount.GetMinor(), Tries: int(k.Tries), Waiting: k.Waiting, Contradicted: k.Contradicted,
	}
	for _, a := range k.Attempts {
		seen.References = append(seen.References, a.ProviderReference)
	}
	return seen
}

// compare holds everything that can be observed against the expectation, and the books against themselves. It observes until
// two observations in a row say the same, as [drivers.steady] does.
func (c *club) compare(ctx context.Context, model *charging.Model) error {
	var o charging.Observed
	err := poll(ctx, 30*time.Second, "two observations that say the same", func() (bool, error) {
		next, err := c.observe(ctx)
		same := err == nil && reflect.DeepEqual(next, o)
		o = next
		return same, err
	})
	if err != nil {
		return err
	}
	var found []string
	for _, diff := range model.Compare(o) {
		found = append(found, diff.String())
	}
	moved := 0
	for _, e := range o.Book {
		moved += e.Moved
	}
	return c.agree(ctx, found, "gateway", moved)
}

// tick fires a job, has the expectation do the same, and waits until lookups have decided what they can.
func (c *club) tick(ctx context.Context, model *charging.Model, job string, at time.Time) (*schedulerv1.Run, error) {
	run, _, err := c.fire(ctx, job, at, nil)
	if err != nil {
		return nil, err
	}
	return run, model.Tick(job, at)
}

// settle waits until lookups have decided what they can.
func (c *club) settle(ctx context.Context, model *charging.Model) error {
	model.Settle()
	var open []string
	err := poll(ctx, time.Minute, "outcomes known", func() (bool, error) {
		o, err := c.observe(ctx)
		open = model.Unsettled(o)
		return len(open) == 0, err
	})
	if len(open) > 0 {
		return c.differ("%v; open: %s", err, strings.Join(open, ", "))
	}
	return err
}
