package demo

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/oracle/charging"
	"github.com/agogopay/agogo/cmd/agogo/internal/week"
)

// generated shows a made-up week of charges with declines, lost answers and days on which nothing ran. Every tick fires
// twice, and the oracle checks everything after each.
func (c *club) generated(ctx context.Context, seed int64) error {
	w := week.Generate(seed, wallclub())
	model := charging.New(wallclub())
	model.Fates(w.Fates)
	fmt.Fprintf(c.out, "\n── wallclub, week of seed %d: from %s, %s, %d faults at the gateway\n", seed, w.Ticks[0].At.Format(time.DateOnly), w.Outage, len(w.Faults.Rules))
	if err := c.pauseCron(ctx); err != nil {
		return err
	}
	if err := c.misbehave(ctx, w.Faults); err != nil {
		return err
	}
	if err := c.takeWeek(ctx, model, w.First); err != nil {
		return err
	}
	for i, t := range w.Ticks {
		if i == w.LaterAt {
			if err := c.takeWeek(ctx, model, w.Later); err != nil {
				return err
			}
		}
		if err := c.weekTick(ctx, model, t); err != nil {
			return err
		}
	}
	n, total := model.Charged()
	fmt.Fprintf(c.out, "the week is over: %d charges, %s\n", n, brl(total))
	return nil
}

func (c *club) takeWeek(ctx context.Context, model *charging.Model, file []byte) error {
	if err := c.importFile(ctx, "recurrences", c.recurrences.ImportRecurrences, bytes.NewReader(file)); err != nil {
		return err
	}
	if err := model.Import(bytes.NewReader(file)); err != nil {
		return fmt.Errorf("the expectation cannot read the file: %w", err)
	}
	return nil
}

func (c *club) weekTick(ctx context.Context, model *charging.Model, t week.Tick) error {
	run, err := c.tick(ctx, model, t.Job, t.At)
	if err != nil {
		return err
	}
	var counts []string
	for _, state := range slices.Sorted(maps.Keys(run.Counts)) {
		if n := run.Counts[state]; n > 0 {
			counts = append(counts, fmt.Sprintf("%s %d", state, n))
		}
	}
	if counts == nil {
		counts = []string{"nothing"}
	}
	fmt.Fprintf(c.out, "%s  %-12s  %s\n", t.At.In(wallclub().Zone).Format("Mon 2006-01-02 15:04"), t.Job, strings.Join(counts, ", "))
	if err := c.settle(ctx, model); err != nil {
		return err
	}
	if err := c.once(ctx, t.Job, t.At); err != nil {
		return err
	}
	return c.compare(ctx, model)
}
