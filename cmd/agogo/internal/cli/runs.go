package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	eventsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/events/v1"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

func (a *app) runsCommand() *cobra.Command {
	var state, schedule string
	list := leaf("list", "List runs, newest first", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := a.tenantAndScheduler()
		if err != nil {
			return err
		}
		return all(a, func(token string) ([]*schedulerv1.Run, string, error) {
			r, err := client.ListRuns(c.Context(), &schedulerv1.ListRunsRequest{Tenant: tenant, Schedule: schedule, State: state, PageSize: 1000, PageToken: token})
			return r.GetItems(), r.GetNextPageToken(), err
		}, runColumns...)
	}, "agogo runs list --tenant lebenis --state running")
	list.Long = "List runs, newest first. One that is over is listed as it was at its end; how its payouts stand now, agogo batches list says."
	list.Flags().StringVar(&state, "state", "", "only runs in this state")
	list.Flags().StringVar(&schedule, "schedule", "", "only runs of this schedule (its short name)")
	get := leaf("get ID", "Show one run by run id or tick id", exactly("ID"), func(c *cobra.Command, args []string) error {
		client, err := a.scheduler()
		if err != nil {
			return err
		}
		r, err := client.GetRun(c.Context(), &schedulerv1.GetRunRequest{Id: args[0]})
		if err != nil {
			return err
		}
		return one(a, r, runDetail(r)...)
	}, "agogo runs get lebenis/payouts/daily@2025-01-24T23:59:00Z")
	return noun("runs", "What ticks started", list, get, a.watchCommand(), a.retryRunCommand(), a.cancelRunCommand())
}

// watchCommand follows a run. Its progress goes to the standard error, so that the standard output has the run alone.
func (a *app) watchCommand() *cobra.Command {
	var timeout time.Duration
	follow := leaf("watch TICK", "Follow a run to its end", exactly("TICK"), func(c *cobra.Command, args []string) error {
		client, err := a.scheduler()
		if err != nil {
			return err
		}
		tick := args[0]
		if !strings.Contains(tick, "/") { // a run id, as 'runs list' prints it
			run, err := client.GetRun(c.Context(), &schedulerv1.GetRunRequest{Id: tick})
			if err != nil {
				return err
			}
			tick = run.TickId
		}
		stop := a.showProgress(c.Context(), tick)
		defer stop()
		return a.await(c.Context(), client, tick, timeout)
	}, "agogo runs watch lebenis/payouts/daily@2025-01-24T23:59:00Z")
	follow.Long = `Follow a run to its end. While a run of payouts lasts, a line tells of its progress whenever there is some: pages planned, payouts by
state, payouts a second, how long what is left will take at that rate, and what holds the rest. What is held does not keep a run open. At last the run is printed
as it was at its end. What was held or unknown goes on after that: the line of a run that is over has how its payouts stand now.`
	follow.Flags().DurationVar(&timeout, "timeout", time.Hour, "how long to follow")
	return follow
}

func (a *app) retryRunCommand() *cobra.Command {
	c := a.changeRun("retry ID", "Have a failed run of payouts planned further, from where it stopped",
		`agogo runs retry lebenis/payouts/daily@2025-01-24T23:59:00Z --reason "the tenants file is mended"`,
		func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Run, error) {
			return client.RetryRun(c.Context(), &payoutsv1.RetryRunRequest{Tenant: tenant, Id: id, Reason: why})
		})
	c.Long = `Have a failed run planned further, from the page at which it stopped. What it has planned stays as it is, and nobody is planned twice. What was
approved of its batch as a whole was less than it will be: approvers are asked again when its sum is known. Given again, or for a run
that is running, the command changes nothing. Failed payouts of a run that is complete are tried again by agogo batches retry-failed.`
	return c
}

func (a *app) cancelRunCommand() *cobra.Command {
	c := a.changeRun("cancel ID", "End a run of payouts: what was not sent is cancelled, what is on its way is followed",
		`agogo runs cancel lebenis/payouts/daily@2025-01-24T23:59:00Z --reason "imported the wrong file"`,
		func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Run, error) {
			return client.CancelRun(c.Context(), &payoutsv1.CancelRunRequest{Tenant: tenant, Id: id, Reason: why})
		})
	c.Long = `End a run. From then on nothing of it is planned or sent, on any replica. What was not sent is cancelled within seconds, and its payments are free:
the next run plans them. What is on its way, or may have been paid, is followed to its end. A run that is cancelled stays so.`
	return c
}

var payoutRunColumns = []column[*payoutsv1.Run]{
	col("tick", (*payoutsv1.Run).GetTickId),
	col("run", (*payoutsv1.Run).GetId),
	col("job", (*payoutsv1.Run).GetJob),
	col("state", (*payoutsv1.Run).GetState),
	col("counts", func(r *payoutsv1.Run) string { return counts(r.Counts) }),
	col("totals", func(r *payoutsv1.Run) string { return totals(r.Totals) }),
	col("reason", (*payoutsv1.Run).GetReason),
}

// changeRun is a verb about one run of payouts that wants a reason. A tick id names its tenant.
func (a *app) changeRun(use, short, example string, call func(c *cobra.Command, client payoutsv1.PayoutsServiceClient, tenant, id, why string) (*payoutsv1.Run, error)) *cobra.Command {
	var why string
	c := leaf(use, short, exactly("ID"), func(c *cobra.Command, args []string) error {
		tenant, service := tickOf(args[0])
		if service != "" && service != "payouts" {
			return usagef("%s: only runs of payouts are retried and cancelled; a run of %s is over when its ticks' work is", args[0], service)
		}
		if a.tenant == "" {
			a.tenant = tenant
		}
		return show(a, payoutRunColumns, func(client payoutsv1.PayoutsServiceClient, tenant string) (*payoutsv1.Run, error) {
			return call(c, client, tenant, args[0], why)
		})
	}, example)
	c.Flags().StringVar(&why, "reason", "", "why, for the audit trail (required)")
	_ = c.MarkFlagRequired("reason")
	return c
}

// tickOf are the tenant and the service of a tick id; "" of anything else.
func tickOf(id string) (tenant, service string) {
	parts := strings.SplitN(id, "/", 3)
	if len(parts) < 3 {
		return "", ""
	}
	return parts[0], parts[1]
}

// await follows a run to its end and prints it.
func (a *app) await(ctx context.Context, client schedulerv1.SchedulerServiceClient, tickID string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimedOut)
	defer cancel()
	run, err := watch(ctx, client, tickID, nil)
	if errors.Is(context.Cause(ctx), errTimedOut) {
		fmt.Fprintf(a.Err, "agogo: %s is not complete after %s; it goes on: agogo runs watch '%s'\n", tickID, timeout, tickID)
		return errFailed
	}
	if err != nil && ctx.Err() != nil {
		fmt.Fprintf(a.Err, "agogo: interrupted; %s goes on: agogo runs watch '%s'\n", tickID, tickID)
		return errFailed
	}
	if err != nil {
		return err
	}
	if err := one(a, run, runDetail(run)...); err != nil {
		return err
	}
	if run.State == "failed" {
		return errFailed
	}
	return nil
}

var errTimedOut = errors.New("timed out")

// watch follows a run until it ends; each (may be nil) sees every state.
func watch(ctx context.Context, client schedulerv1.SchedulerServiceClient, tickID string, each func(*schedulerv1.Run)) (*schedulerv1.Run, error) {
	updates, err := client.WatchRun(ctx, &schedulerv1.WatchRunRequest{TickId: tickID})
	if err != nil {
		return nil, err
	}
	var last *schedulerv1.Run
	for {
		run, err := updates.Recv()
		if errors.Is(err, io.EOF) && last != nil {
			return last, nil
		}
		if err != nil {
			return nil, err
		}
		last = run
		if each != nil {
			each(run)
		}
	}
}

var runColumns = []column[*schedulerv1.Run]{
	col("tick", (*schedulerv1.Run).GetTickId),
	col("run", (*schedulerv1.Run).GetRunId),
	col("job", (*schedulerv1.Run).GetJob),
	col("state", (*schedulerv1.Run).GetState),
	col("counts", func(r *schedulerv1.Run) string { return counts(r.Counts) }),
	col("totals", func(r *schedulerv1.Run) string { return totals(r.Totals) }),
	col("reason", (*schedulerv1.Run).GetReason),
	col("updated (utc)", func(r *schedulerv1.Run) string { return when(r.UpdatedAt) }),
}

// runDetail are the columns of one run. One that is over is shown as it was at its end, and they say so: what it has left goes on without it.
func runDetail(r *schedulerv1.Run) []column[*schedulerv1.Run] {
	columns := slices.Clone(runColumns)
	if r.GetState() != "completed" && r.GetState() != "failed" {
		return columns
	}
	over := map[string]string{"counts": "counts at its end", "totals": "totals at its end", "updated (utc)": "ended (utc)"}
	for i, c := range columns {
		if title, ok := over[c.title]; ok {
			columns[i].title = title
		}
	}
	return columns
}

func counts(m map[string]int64) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
		}
	}
	return strings.Join(parts, ", ")
}

func totals(m map[string]*eventsv1.Money) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k].GetMinor() != 0 {
			parts = append(parts, k+" "+amount(m[k]))
		}
	}
	return strings.Join(parts, ", ")
}
