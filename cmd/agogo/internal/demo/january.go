package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle"
	"github.com/agogopay/agogo/examples"
	"github.com/agogopay/agogo/internal/money"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

// cutOff is the evening of 24 January 2025 in Abidjan, which is on UTC all year.
var cutOff = time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC)

// lebenis are the rules of examples/tenants.yaml, written down a second time on purpose: the expectation must not read
// what the services read.
func lebenis() oracle.Rules {
	return oracle.Rules{
		Currency: "XOF", Decimals: 0, CommissionBPS: 2000, Minimum: 100, MaxPerPayout: 2_000_000, Methods: []string{"orange_money"},
		AcceptFrom: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), Zone: time.UTC, Provider: "orange", CountryPrefix: "+225",
	}
}

// january shows the evening of the customer's own document and checks it against the customer's expectation.
func (d *drivers) january(ctx context.Context) error {
	model := oracle.New(lebenis())
	with := func(do func(context.Context, *oracle.Model) error) func(context.Context) error {
		return func(ctx context.Context) error { return do(ctx, model) }
	}
	return d.play(ctx, []step{
		{"lebenis: payments and devices are imported; cron is paused, ticks are fired by hand", with(d.importJanuary)},
		{"lebenis, 24 January 2025, 23:59 in Abidjan: the daily tick fires", with(d.payJanuary)},
		{"lebenis: the same tick again", with(d.repeatJanuary)},
		{"lebenis, 25 January, 00:00: pending payouts are checked, break times are reset", d.midnight},
		{"lebenis, 25 January, 23:59: the next evening", with(d.nextEvening)},
		{"lebenis: rows and pushes", d.told},
	})
}

func example(name string) (io.Reader, error) {
	raw, err := examples.Data.ReadFile(name)
	return bytes.NewReader(raw), err
}

func (d *drivers) importJanuary(ctx context.Context, model *oracle.Model) error {
	if err := d.pauseCron(ctx); err != nil {
		return err
	}
	payments, err := example("lebenis/payments-2025-01-24.csv")
	if err != nil {
		return err
	}
	var copied bytes.Buffer
	if err := d.importFile(ctx, "payments", d.payouts.ImportPayments, io.TeeReader(payments, &copied)); err != nil {
		return err
	}
	if err := model.Import(&copied); err != nil {
		return fmt.Errorf("the expectation cannot read the file: %w", err)
	}
	devices, err := example("lebenis/devices.csv")
	if err != nil {
		return err
	}
	if err := d.importFile(ctx, "devices", d.notifier.ImportDevices, devices); err != nil {
		return err
	}
	return d.takeBreak(ctx)
}

// takeBreak lets one driver rest: 45 minutes in the afternoon, and again over midnight, so that the reset has something to do.
func (d *drivers) takeBreak(ctx context.Context) error {
	at := func(before time.Duration) *timestamppb.Timestamp { return timestamppb.New(cutOff.Add(-before)) }
	start := func(before time.Duration) error {
		_, err := d.payouts.StartBreak(ctx, &payoutsv1.StartBreakRequest{Tenant: d.tenant, PayeeId: "drv-01", At: at(before)})
		return err
	}
	if err := start(8 * time.Hour); err != nil {
		return err
	}
	b, err := d.payouts.EndBreak(ctx, &payoutsv1.EndBreakRequest{Tenant: d.tenant, PayeeId: "drv-01", At: at(7*time.Hour + 15*time.Minute)})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "breaks      drv-01 has rested %s on %s, and rests again when midnight comes\n", time.Duration(b.TotalSeconds)*time.Second, b.LocalDate)
	if b.TotalSeconds != 45*60 || b.LocalDate != "2025-01-24" {
		return d.differ("want 45m0s on 2025-01-24")
	}
	return start(30 * time.Minute)
}

func (d *drivers) payJanuary(ctx context.Context, model *oracle.Model) error {
	run, _, err := d.fire(ctx, "daily", cutOff, d.progress)
	if err != nil {
		return err
	}
	model.Plan(cutOff)
	if err := d.report(ctx, run); err != nil {
		return err
	}
	if err := d.expectTotals(run); err != nil {
		return err
	}
	return d.compare(ctx, model.Expected(true))
}

func (d *drivers) repeatJanuary(ctx context.Context, model *oracle.Model) error {
	run, already, err := d.fire(ctx, "daily", cutOff, nil)
	if err != nil {
		return err
	}
	if !already {
		return d.differ("the tick fired a second time")
	}
	fmt.Fprintf(d.out, "%s had fired already: its run is %s\n", run.TickId, run.State)
	return d.compare(ctx, model.Expected(true))
}

func (d *drivers) midnight(ctx context.Context) error {
	for _, job := range []string{"check-pending", "reset-breaks"} {
		run, _, err := d.fire(ctx, job, cutOff.Add(time.Minute), nil)
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, "%s: %s, %d done\n", run.TickId, run.State, run.Counts["asked"])
		if want := map[string]int64{"check-pending": 0, "reset-breaks": 1}[job]; run.Counts["asked"] != want {
			return d.differ("want %d: nothing is pending, and one driver has rested", want)
		}
	}
	return nil
}

func (d *drivers) nextEvening(ctx context.Context, model *oracle.Model) error {
	next := cutOff.Add(24 * time.Hour)
	run, _, err := d.fire(ctx, "daily", next, d.progress)
	if err != nil {
		return err
	}
	model.Plan(next)
	if err := d.report(ctx, run); err != nil {
		return err
	}
	return d.compare(ctx, model.Expected(true))
}

// progress draws a run on one line of a terminal, or says each change on a line of its own.
func (d *drivers) progress(r *schedulerv1.Run) {
	var parts []string
	for _, state := range []string{"approved", "submitting", "processing", "unknown", "succeeded", "failed", "held", "waiting"} {
		if n := r.Counts[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", state, n))
		}
	}
	line := r.State + " " + strings.Join(parts, ", ")
	if !d.console {
		fmt.Fprintln(d.out, line)
		return
	}
	fmt.Fprintf(d.out, "\r\x1b[K%s", line)
	if r.State == "completed" || r.State == "failed" {
		fmt.Fprintln(d.out)
	}
}

func xof(minor int64) string { return money.Amount{Minor: minor, Currency: "XOF"}.Format("fr-CI") }
