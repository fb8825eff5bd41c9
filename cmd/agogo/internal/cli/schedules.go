package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

var scheduleColumns = []column[*schedulerv1.Schedule]{
	col("name", (*schedulerv1.Schedule).GetName),
	col("mode", (*schedulerv1.Schedule).GetMode),
	col("job", (*schedulerv1.Schedule).GetJob),
	col("cron", (*schedulerv1.Schedule).GetCron),
	col("timezone", (*schedulerv1.Schedule).GetTimezone),
	col("state", (*schedulerv1.Schedule).GetState),
	col("catch-up", (*schedulerv1.Schedule).GetCatchUp),
	col("next (utc)", func(s *schedulerv1.Schedule) string { return when(s.NextTime) }),
	col("reason", (*schedulerv1.Schedule).GetPauseReason),
}

func (a *app) schedulesCommand() *cobra.Command {
	list := leaf("list", "List schedules", exactly(), func(c *cobra.Command, _ []string) error {
		tenant, client, err := a.tenantAndScheduler()
		if err != nil {
			return err
		}
		return all(a, func(token string) ([]*schedulerv1.Schedule, string, error) {
			r, err := client.ListSchedules(c.Context(), &schedulerv1.ListSchedulesRequest{Tenant: tenant, PageSize: 1000, PageToken: token})
			return r.GetItems(), r.GetNextPageToken(), err
		}, scheduleColumns...)
	}, "agogo schedules list", "agogo schedules list --tenant lebenis -o json")
	get := leaf("get NAME", "Show one schedule", exactly("NAME"), func(c *cobra.Command, args []string) error {
		return a.schedule(func(client schedulerv1.SchedulerServiceClient) (*schedulerv1.Schedule, error) {
			return client.GetSchedule(c.Context(), &schedulerv1.GetScheduleRequest{Name: args[0]})
		})
	}, "agogo schedules get lebenis/payouts/daily")
	resume := leaf("resume NAME", "Let a paused schedule fire again; what fell due meanwhile was skipped", exactly("NAME"), func(c *cobra.Command, args []string) error {
		return a.schedule(func(client schedulerv1.SchedulerServiceClient) (*schedulerv1.Schedule, error) {
			return client.ResumeSchedule(c.Context(), &schedulerv1.ResumeScheduleRequest{Name: args[0]})
		})
	}, "agogo schedules resume lebenis/payouts/daily")
	return noun("schedules", "Cron rules and their ticks", list, get, a.nextCommand(), a.pauseScheduleCommand(), resume, a.triggerCommand())
}

// tenantAndScheduler is what lists need that may go over all tenants.
func (a *app) tenantAndScheduler() (string, schedulerv1.SchedulerServiceClient, error) {
	tenant, err := a.anyTenant()
	if err != nil {
		return "", nil, err
	}
	client, err := a.scheduler()
	return tenant, client, err
}

func (a *app) schedule(call func(schedulerv1.SchedulerServiceClient) (*schedulerv1.Schedule, error)) error {
	client, err := a.scheduler()
	if err != nil {
		return err
	}
	s, err := call(client)
	if err != nil {
		return err
	}
	return one(a, s, scheduleColumns...)
}

func (a *app) pauseScheduleCommand() *cobra.Command {
	var reason string
	c := leaf("pause NAME", "Stop a schedule from firing; ticks that fall due meanwhile are skipped", exactly("NAME"), func(c *cobra.Command, args []string) error {
		return a.schedule(func(client schedulerv1.SchedulerServiceClient) (*schedulerv1.Schedule, error) {
			return client.PauseSchedule(c.Context(), &schedulerv1.PauseScheduleRequest{Name: args[0], Reason: reason})
		})
	}, `agogo schedules pause lebenis/payouts/daily --reason "public holiday"`)
	c.Flags().StringVar(&reason, "reason", "", "why (required)")
	_ = c.MarkFlagRequired("reason")
	return c
}

func (a *app) nextCommand() *cobra.Command {
	var count int32
	var after string
	c := leaf("next NAME", "Preview the coming nominal times", exactly("NAME"), func(c *cobra.Command, args []string) error {
		req := &schedulerv1.NextTimesRequest{Name: args[0], Count: count}
		var err error
		if req.After, err = moment("after", after); err != nil {
			return err
		}
		client, err := a.scheduler()
		if err != nil {
			return err
		}
		r, err := client.NextTimes(c.Context(), req)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.json(r)
		}
		for _, t := range r.Items {
			fmt.Fprintln(a.Out, when(t))
		}
		return nil
	}, "agogo schedules next lebenis/payouts/daily --count 3")
	c.Flags().Int32Var(&count, "count", 5, "how many")
	c.Flags().StringVar(&after, "after", "", "RFC 3339 time to begin after (default now)")
	return c
}

func (a *app) triggerCommand() *cobra.Command {
	var at string
	var wait bool
	var timeout time.Duration
	c := leaf("trigger NAME", "Fire one tick by hand", exactly("NAME"), func(c *cobra.Command, args []string) error {
		nominal, err := moment("at", at)
		if err != nil {
			return err
		}
		return a.trigger(c.Context(), args[0], nominal, wait, timeout)
	},
		"agogo schedules trigger lebenis/payouts/daily --at 2025-01-24T23:59:00Z --wait",
		"agogo schedules trigger lebenis/payouts/check-pending --wait --timeout 1m")
	c.Long = `Fire one tick by hand. A nominal time that the schedule contains is that very tick: had it run already, its run is
returned and nothing happens twice. With --wait the command returns when the run is complete: planned, and nothing of it
approved, due or submitting, except behind a pause, a stop or a provider fault (counted as waiting).
Exit 1 when the run failed or the time-out passed.`
	c.Flags().StringVar(&at, "at", "", "nominal time, RFC 3339 (default now)")
	c.Flags().BoolVar(&wait, "wait", false, "return when the run is complete, with counts and totals")
	c.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "how long to wait")
	return c
}

func (a *app) trigger(ctx context.Context, name string, at *timestamppb.Timestamp, wait bool, timeout time.Duration) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	client, err := a.scheduler()
	if err != nil {
		return err
	}
	tick, err := client.TriggerSchedule(ctx, &schedulerv1.TriggerScheduleRequest{Name: name, NominalTime: at})
	if err != nil {
		return err
	}
	if !wait {
		if a.output == "json" {
			return a.json(tick)
		}
		verb := "fired"
		if tick.AlreadyFired {
			verb = "had fired already:"
		}
		fmt.Fprintln(a.Out, verb, tick.TickId)
		return nil
	}
	return a.await(ctx, client, tick.TickId, timeout)
}

// moment reads an RFC 3339 flag; "" is nil.
func moment(flag, s string) (*timestamppb.Timestamp, error) {
	if s == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return nil, usagef("--%s wants an RFC 3339 time such as 2025-01-24T23:59:00Z, not %q", flag, s)
	}
	return timestamppb.New(t), nil
}
