package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

const (
	// reconnect is how soon a stream that broke off is opened anew.
	reconnect = time.Second
	// overLast is the time over which the rate is taken: long enough for a slow provider, short enough to notice a stop.
	overLast = 30 * time.Second
)

// showProgress tells of a run's progress until stop is called, or the run has ended. It is a convenience: whatever happens to it, the run is
// followed by who called.
func (a *app) showProgress(ctx context.Context, tick string) (stop func()) {
	tenant, service := tickOf(tick)
	client, err := a.payouts()
	if service != "payouts" || err != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m := &meter{}
		for !a.follow(ctx, client, tenant, tick, m) {
			select {
			case <-time.After(reconnect):
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// follow prints a line for each change, and reports whether the run has ended.
func (a *app) follow(ctx context.Context, client payoutsv1.PayoutsServiceClient, tenant, tick string, m *meter) bool {
	updates, err := client.WatchRun(ctx, &payoutsv1.WatchRunRequest{Tenant: tenant, Id: tick})
	if err != nil {
		return false
	}
	for {
		p, err := updates.Recv()
		if err != nil {
			return m.over
		}
		if line := m.line(p); line != m.last {
			m.last = line
			fmt.Fprintln(a.Err, line)
		}
	}
}

// meter makes lines of a run's progress, over all streams that it takes.
type meter struct {
	seen []sample
	last string
	over bool
}

type sample struct {
	at   time.Time
	sent int64
}

// line is what a person wants to know of a run that lasts.
func (m *meter) line(p *payoutsv1.RunProgress) string {
	n := p.GetRun().GetCounts()
	waiting := n["created"] + n["approved"] + n["submitting"]
	var all int64
	for state, count := range n {
		if state != "waiting" && state != "asked" { // which count others, or no payouts
			all += count
		}
	}
	sent := all - waiting - n["held"] - n["awaiting_approval"] - n["skipped"]
	rate := m.rate(p.GetAt().AsTime(), sent)
	m.over = p.GetRun().GetState() == "completed" || p.GetRun().GetState() == "failed"
	parts := []string{p.GetRun().GetState()}
	if !p.GetPlanned() && !m.over {
		parts[0] = fmt.Sprintf("planning, %d pages so far", p.GetPages())
	}
	if m.over { // it is shown as it was at its end besides, and what it left has gone on
		parts[0] += ", its payouts now"
	}
	if all > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d sent", sent, all-n["skipped"]))
	}
	if rate > 0 && !m.over {
		parts = append(parts, fmt.Sprintf("%.1f/s", rate))
		if p.GetPlanned() && waiting > 0 {
			parts = append(parts, "about "+time.Duration(float64(waiting)/rate*float64(time.Second)).Round(time.Second).String()+" left")
		}
	}
	if list := counts(n); list != "" {
		parts = append(parts, list)
	}
	if list := counts(p.GetHeld()); list != "" {
		parts = append(parts, "held by "+list)
	}
	return strings.Join(parts, " · ")
}

// rate is how many payouts a second were sent of late.
func (m *meter) rate(at time.Time, sent int64) float64 {
	m.seen = append(m.seen, sample{at, sent})
	for len(m.seen) > 2 && at.Sub(m.seen[1].at) >= overLast {
		m.seen = m.seen[1:]
	}
	first := m.seen[0]
	span := at.Sub(first.at).Seconds()
	if span <= 0 || sent <= first.sent {
		return 0
	}
	return float64(sent-first.sent) / span
}
