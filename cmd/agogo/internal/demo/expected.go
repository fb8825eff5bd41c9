package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// expectTotals holds the run's own totals against the customer's file, which neither the services nor the oracle wrote.
func (d *demo) expectTotals(run *schedulerv1.Run) error {
	r, err := example("expected-2025-01-24.json")
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(r)
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
		fmt.Fprintf(d.Out, "✗ the customer expects %d payouts and %s, the run says %d and %s\n", want.Payouts, xof(want.TotalNet), paid, xof(total))
		return ErrDiffers
	}
	fmt.Fprintf(d.Out, "✓ %d payouts and %s, as the customer expects\n", paid, xof(total))
	return nil
}

// told waits until every driver who was paid has a row and a push, and shows one.
func (d *demo) told(ctx context.Context, _ *oracle.Model) error {
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
		var pushes struct {
			Pushes []struct {
				Token string `json:"token"`
			} `json:"pushes"`
		}
		if err := d.control(ctx, http.MethodGet, "/_control/pushes", nil, &pushes); err != nil {
			return false, err
		}
		for _, p := range pushes.Pushes {
			pushed[p.Token] = true
		}
		return len(delivered) == drivers && len(pushed) == drivers, nil
	})
	if err != nil {
		fmt.Fprintf(d.Out, "✗ %v\n", err)
		return ErrDiffers
	}
	fmt.Fprintf(d.Out, "✓ %d drivers have a row and a push. drv-01 reads: %s\n", drivers, sample)
	return nil
}
