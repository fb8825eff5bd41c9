package demo

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/evening"
	"github.com/agogopay/agogo/cmd/agogo/internal/oracle"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// generated shows a made-up evening with everything that can be odd about payments and everything that can go wrong at a
// provider, and the evening after it, each checked by the oracle.
func (d *drivers) generated(ctx context.Context, seed int64) error {
	model := oracle.New(lebenis())
	e, err := evening.Generate(seed, lebenis())
	if err != nil {
		return err
	}
	model.Fates(e.Fates)
	fmt.Fprintf(d.out, "\n── lebenis, evening of seed %d: %s, %d payees in trouble\n", seed, e.First.Format(time.DateOnly), len(e.Fates))
	if err := d.pauseCron(ctx); err != nil {
		return err
	}
	if err := d.misbehave(ctx, e.Faults); err != nil {
		return err
	}
	if err := d.importFile(ctx, "devices", d.notifier.ImportDevices, bytes.NewReader(e.Devices)); err != nil {
		return err
	}
	if err := d.generatedEvening(ctx, model, e.Payments, e.First); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n── lebenis, the evening after it, %s: the provider is well again\n", e.Next.Format(time.DateOnly))
	model.Fates(nil)
	return d.generatedEvening(ctx, model, e.Later, e.Next)
}

// generatedEvening imports, pays, checks what is so far, waits until lookups have decided what they can, and checks again.
func (d *drivers) generatedEvening(ctx context.Context, model *oracle.Model, payments []byte, at time.Time) error {
	if err := d.importFile(ctx, "payments", d.payouts.ImportPayments, bytes.NewReader(payments)); err != nil {
		return err
	}
	if err := model.Import(bytes.NewReader(payments)); err != nil {
		return fmt.Errorf("the expectation cannot read the file: %w", err)
	}
	run, _, err := d.fire(ctx, "daily", at, d.progress)
	if err != nil {
		return err
	}
	model.Plan(at)
	if err := d.report(ctx, run); err != nil {
		return err
	}
	if err := d.compare(ctx, model.Expected(false)); err != nil {
		return err
	}
	if err := d.settle(ctx, model, at); err != nil {
		return err
	}
	if err := d.compare(ctx, model.Expected(true)); err != nil {
		return err
	}
	o, err := d.observe(ctx)
	if err != nil {
		return err
	}
	model.Adopt(o)
	return d.again(ctx, model, at)
}

// settle asks about everything that is open until the outcomes are known that can be.
func (d *drivers) settle(ctx context.Context, model *oracle.Model, at time.Time) error {
	if _, _, err := d.fire(ctx, "check-pending", at.Add(time.Minute), nil); err != nil {
		return err
	}
	var open []string
	err := poll(ctx, 3*time.Minute, "outcomes known", func() (bool, error) {
		o, err := d.observe(ctx)
		if err != nil {
			return false, err
		}
		open = oracle.Unsettled(model.Expected(true), o)
		return len(open) == 0, nil
	})
	if err != nil {
		return d.differ("%v; open: %s", err, strings.Join(open, ", "))
	}
	r, err := d.payouts.ListPayouts(ctx, &payoutsv1.ListPayoutsRequest{Tenant: d.tenant, States: []string{"manual_review", "unknown", "processing"}, PageSize: 1000})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "lookups have decided what they can; %d payouts wait for people or for the provider\n", len(r.Items))
	return nil
}

// again fires the same tick: nothing may change.
func (d *drivers) again(ctx context.Context, model *oracle.Model, at time.Time) error {
	if err := d.once(ctx, "daily", at); err != nil {
		return err
	}
	return d.compare(ctx, model.Expected(true))
}
