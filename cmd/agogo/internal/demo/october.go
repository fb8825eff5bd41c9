package demo

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle/charging"
	"github.com/agogopay/agogo/examples"
	recurrencesv1 "github.com/agogopay/agogo/proto/gen/go/agogo/recurrences/v1"
)

// The ticks of the customer's own document, in UTC: São Paulo is three hours behind.
var (
	eight  = time.Date(2025, 10, 30, 11, 0, 0, 0, time.UTC)
	six    = time.Date(2025, 10, 30, 21, 0, 0, 0, time.UTC)
	ten    = time.Date(2025, 10, 31, 13, 0, 0, 0, time.UTC)
	sunday = time.Date(2025, 11, 2, 5, 0, 0, 0, time.UTC)
)

// day is the customer's day while it is shown.
type day struct {
	*club
	model *charging.Model
	want  customers
}

// october shows the day of the customer's own document and checks it against the customer's expectation.
func (c *club) october(ctx context.Context) error {
	d := &day{club: c, model: charging.New(wallclub())}
	raw, err := examples.Data.ReadFile("wallclub/expected-2025-10-30.json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &d.want); err != nil {
		return err
	}
	return c.play(ctx, []step{
		{"wallclub: recurrences and devices are imported; cron is paused, ticks are fired by hand", d.take},
		{"wallclub, 30 October 2025, 08:00 in São Paulo: what is due is charged", d.morning},
		{"wallclub: the answers that were lost are looked up", d.lookups},
		{"wallclub, 18:00: sellers hear what is on hold", d.evening},
		{"wallclub, 31 October, 10:00: declined charges are tried again", d.retries},
		{"wallclub, Sunday 2 November, 02:00: old recurrences are cleaned up", d.cleanup},
		{"wallclub: rows and pushes", d.told},
	})
}

func (d *day) take(ctx context.Context) error {
	if err := d.pauseCron(ctx); err != nil {
		return err
	}
	file, err := examples.Data.ReadFile("wallclub/recurrences-2025-10-30.csv")
	if err != nil {
		return err
	}
	if err := d.importFile(ctx, "recurrences", d.recurrences.ImportRecurrences, bytes.NewReader(file)); err != nil {
		return err
	}
	if err := d.model.Import(bytes.NewReader(file)); err != nil {
		return fmt.Errorf("the expectation cannot read the file: %w", err)
	}
	devices, err := example("wallclub/devices.csv")
	if err != nil {
		return err
	}
	return d.importFile(ctx, "devices", d.notifier.ImportDevices, devices)
}

func (d *day) morning(ctx context.Context) error {
	run, err := d.tick(ctx, d.model, "charge-due", eight)
	if err != nil {
		return err
	}
	charges, err := d.chargesOf(ctx, run.TickId)
	if err != nil {
		return err
	}
	all, err := d.listRecurrences(ctx, false)
	if err != nil {
		return err
	}
	if err := d.report(run, charges, all, false); err != nil {
		return err
	}
	if err := d.expectMorning(run.Counts, charges, all); err != nil {
		return err
	}
	return d.once(ctx, "charge-due", eight)
}

func (d *day) lookups(ctx context.Context) error {
	if err := d.settle(ctx, d.model); err != nil {
		return err
	}
	charges, err := d.chargesOf(ctx, "")
	if err != nil {
		return err
	}
	if err := d.expectLookups(ctx, charges); err != nil {
		return err
	}
	return d.compare(ctx, d.model)
}

func (d *day) evening(ctx context.Context) error {
	run, err := d.tick(ctx, d.model, "notify-holds", six)
	if err != nil {
		return err
	}
	digests, err := d.digests(ctx)
	if err != nil {
		return err
	}
	if err := d.reportHolds(run, digests); err != nil {
		return err
	}
	if err := d.expectDigests(digests); err != nil {
		return err
	}
	return errors.Join(d.once(ctx, "notify-holds", six), d.compare(ctx, d.model))
}

func (d *day) retries(ctx context.Context) error {
	run, err := d.tick(ctx, d.model, "retry-failed", ten)
	if err != nil {
		return err
	}
	charges, err := d.chargesOf(ctx, run.TickId)
	if err != nil {
		return err
	}
	all, err := d.listRecurrences(ctx, false)
	if err != nil {
		return err
	}
	if err := d.report(run, charges, all, true); err != nil {
		return err
	}
	if err := d.expectRetries(charges); err != nil {
		return err
	}
	return errors.Join(d.once(ctx, "retry-failed", ten), d.compare(ctx, d.model))
}

func (d *day) cleanup(ctx context.Context) error {
	before, err := d.listRecurrences(ctx, false)
	if err != nil {
		return err
	}
	run, err := d.tick(ctx, d.model, "cleanup", sunday)
	if err != nil {
		return err
	}
	after, err := d.listRecurrences(ctx, false)
	if err != nil {
		return err
	}
	expired := slices.DeleteFunc(after, func(r *recurrencesv1.Recurrence) bool { return r.Reason.GetCode() != d.want.Cleanup.Reason })
	if err := d.reportCleaned(run, expired, before); err != nil {
		return err
	}
	if err := d.expectCleanup(expired); err != nil {
		return err
	}
	return errors.Join(d.once(ctx, "cleanup", sunday), d.compare(ctx, d.model))
}

// told waits until everybody with a device has heard what there was to hear, and shows some of it.
func (d *day) told(ctx context.Context) error {
	raw, err := examples.Data.ReadFile("wallclub/devices.csv")
	if err != nil {
		return err
	}
	devices, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		return err
	}
	var silent []string
	quiet := map[string]bool{"seller-2": true, "seller-3": true, "seller-4": true} // nothing of theirs is on hold
	err = poll(ctx, 30*time.Second, "a push on every device", func() (bool, error) {
		heard, err := d.pushes(ctx)
		silent = nil
		for _, row := range devices[1:] {
			if user, token := row[0], row[1]; quiet[user] == (heard[token] > 0) {
				silent = append(silent, user)
			}
		}
		return len(silent) == 0, err
	})
	if len(silent) > 0 {
		return d.differ("%v: %s", err, strings.Join(silent, ", "))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "✓ %d devices of customers, a seller and the operators were pushed to\n", len(devices)-1-len(quiet))
	return d.quote(ctx)
}

// quote shows one notification of each kind of reader.
func (d *day) quote(ctx context.Context) error {
	rows, err := d.notifications(ctx)
	if err != nil {
		return err
	}
	for _, want := range []struct{ reader, kind string }{
		{"cus-001", "charge.succeeded"},
		{"cus-024", "charge.failed"},
		{"cus-028", "charge.failed"},
		{"seller-1", "hold_digest.created"},
		{"operators", "charge.outcome_unknown"},
		{"operators", "card.invalidated"},
	} {
		for _, n := range rows {
			if n.RecipientId == want.reader && n.Kind == want.kind {
				fmt.Fprintf(d.out, "  %-9s %s\n", want.reader, strings.ReplaceAll(n.Title+" · "+n.Body, "\n", " "))
				break
			}
		}
	}
	return nil
}
