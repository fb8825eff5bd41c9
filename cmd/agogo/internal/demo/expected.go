package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/agogopay/agogo/examples"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// expectTotals holds the run's own totals against the customer's file, which neither the services nor the oracle wrote.
func (d *drivers) expectTotals(run *schedulerv1.Run) error {
	raw, err := examples.Data.ReadFile("lebenis/expected-2025-01-24.json")
	if err != nil {
		return err
	}
	var want struct {
		Payouts  int64 `json:"payouts"`
		TotalNet int64 `json:"total_net"`
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		return err
	}
	paid, total := run.Counts["succeeded"], run.Totals["succeeded"].GetMinor()
	if paid != want.Payouts || total != want.TotalNet {
		return d.differ("the customer expects %d payouts and %s, the run says %d and %s", want.Payouts, xof(want.TotalNet), paid, xof(total))
	}
	fmt.Fprintf(d.out, "✓ %d payouts and %s, as the customer expects\n", paid, xof(total))
	return nil
}

// told waits until every driver who was paid has a row and a push, and shows one.
func (d *drivers) told(ctx context.Context) error {
	const drivers = 15
	var sample string
	pushed := map[string]bool{}
	err := poll(ctx, 30*time.Second, "a row and a push for every driver", func() (bool, error) {
		rows, err := d.notifications(ctx)
		if err != nil {
			return false, err
		}
		delivered := map[string]bool{}
		for _, n := range rows {
			if n.Kind == "payout.succeeded" && n.State == "delivered" {
				delivered[n.RecipientId] = true
				if n.RecipientId == "drv-01" {
					sample = strings.ReplaceAll(n.Title+" · "+n.Body, "\n", " ")
				}
			}
		}
		pushes, err := d.pushes(ctx)
		if err != nil {
			return false, err
		}
		for token := range pushes {
			if strings.HasPrefix(token, "demo-device-drv-") { // the other tenant's people hear things, too
				pushed[token] = true
			}
		}
		return len(delivered) == drivers && len(pushed) == drivers, nil
	})
	if err != nil {
		return d.differ("%v", err)
	}
	fmt.Fprintf(d.out, "✓ %d drivers have a row and a push. drv-01 reads: %s\n", drivers, sample)
	return nil
}
