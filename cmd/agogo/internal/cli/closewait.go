package cli

import (
	"context"
	"fmt"
	"time"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// look is how long a close that is waited for is left alone.
const look = 200 * time.Millisecond

// awaitClose waits until every close of the day is complete or has failed once more than when it was asked for: what stands in its row
// from before says nothing of the try that was asked for. A day behind one that failed is not tried at all; asking takes back its reason. Late says that one has failed so, or that time is over.
func (a *app) awaitClose(ctx context.Context, client payoutsv1.PayoutsServiceClient, tenant string, x *closing, items []*payoutsv1.Close) ([]*payoutsv1.Close, bool, error) {
	asked := make(map[string]int32, len(items))
	for _, k := range items {
		asked[k.Id] = k.Tries
	}
	over := time.NewTimer(x.timeout)
	defer over.Stop()
	for {
		open, behind := 0, 0
		for _, k := range items {
			if k.State == "completed" {
				continue
			}
			open++
			if k.Tries > asked[k.Id] || k.Tries == 0 && k.Reason != "" { // it failed, or waits for a day that has failed since
				behind++
			}
		}
		if open == behind {
			return items, open > 0, nil
		}
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-over.C:
			fmt.Fprintf(a.Err, "agogo: %d of %d closes are not complete after %s\n", open, len(items), x.timeout)
			return items, true, nil
		case <-time.After(look):
		}
		r, err := client.ListCloses(ctx, &payoutsv1.ListClosesRequest{Tenant: tenant, Provider: x.provider, LocalDate: x.date})
		if err != nil {
			return nil, false, err
		}
		items = r.GetItems()
	}
}
