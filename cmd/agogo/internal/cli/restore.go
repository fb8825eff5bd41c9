package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/cmd/agogo/internal/dev"
	restorev1 "github.com/agogopay/agogo/proto/gen/go/agogo/restore/v1"
)

// askedFirst is what follows a mark, and is nowhere in the tables of it.
const askedFirst = `agogo: what may have been sent since the backup is not sent before its provider was asked about it, twice, with quiet_time between: ten lookups
  a payout or charge, at the provider's rate, so that 100,000 payouts at 50 calls a second take five hours and a half. Meanwhile they stay approved or due.
  agogo restore list counts what is being asked (asking), what goes (absent) and what had been sent (found); docs/runbooks/restore.md has what is next
`

func (a *app) restoreCommand() *cobra.Command {
	var service, reason string
	mark := leaf("mark", "Say that the tables were restored from a backup: nothing is sent then before its provider was asked whether it was", exactly(), func(c *cobra.Command, _ []string) error {
		err := a.eachService(c.Context(), service, func(ctx context.Context, s restorev1.RestoreServiceClient) (*restorev1.Restore, error) {
			return s.MarkRestore(ctx, &restorev1.MarkRestoreRequest{Reason: reason})
		})
		if err == nil && service != "notifier" { // which sends nothing that moves money
			fmt.Fprint(a.Err, askedFirst)
		}
		return err
	}, `agogo restore mark --reason "disk lost; backup of 02:00"`, `agogo restore mark --service payouts --reason "backup of 02:00"`)
	mark.Flags().StringVar(&reason, "reason", "", "which backup and why, for the audit trail (required)")
	_ = mark.MarkFlagRequired("reason")
	mark.Long = `Say that the tables were restored from a backup. From then on nothing of the days in doubt is sent for the first time before its provider was
asked twice whether it was: that may take hours, and agogo restore list has how far it is. Marking twice does no harm.`
	list := leaf("list", "How the tables of each service stand to what it has published, and what is asked about before it is sent", exactly(), func(c *cobra.Command, _ []string) error {
		return a.eachService(c.Context(), service, func(ctx context.Context, s restorev1.RestoreServiceClient) (*restorev1.Restore, error) {
			return s.GetRestore(ctx, &restorev1.GetRestoreRequest{})
		})
	}, "agogo restore list")
	for _, c := range []*cobra.Command{mark, list} {
		c.Flags().StringVar(&service, "service", "", "only this one: "+strings.Join(dev.Services, ", "))
	}
	return noun("restore", "After the database was restored from a backup", mark, list)
}

// eachService asks every service of the context, those that move money first and at last the scheduler, whose ticks wake them.
func (a *app) eachService(ctx context.Context, only string, ask func(context.Context, restorev1.RestoreServiceClient) (*restorev1.Restore, error)) error {
	if only != "" && !slices.Contains(dev.Services, only) {
		return usagef("--service %q is none: it is one of %s", only, strings.Join(dev.Services, ", "))
	}
	info, err := a.info()
	if err != nil {
		return err
	}
	var items []*restorev1.Restore
	for _, service := range dev.Services {
		if _, here := info.GRPC[service]; !here && only == "" || only != "" && service != only {
			continue
		}
		c, err := a.conn(service)
		if err != nil {
			return err
		}
		r, err := ask(ctx, restorev1.NewRestoreServiceClient(c))
		if err != nil {
			return refusedBy(service, err)
		}
		items = append(items, r)
	}
	number := func(get func(*restorev1.Restore) int64) func(*restorev1.Restore) string {
		return func(r *restorev1.Restore) string { return strconv.FormatInt(get(r), 10) }
	}
	return all(a, func(string) ([]*restorev1.Restore, string, error) { return items, "", nil },
		col("service", (*restorev1.Restore).GetService),
		col("state", (*restorev1.Restore).GetState),
		col("epoch", func(r *restorev1.Restore) string { return strconv.Itoa(int(r.GetEpoch())) }),
		col("marked (utc)", func(r *restorev1.Restore) string { return when(r.GetMarkedAt()) }),
		col("careful until", (*restorev1.Restore).GetCarefulUntil),
		col("asking", number((*restorev1.Restore).GetAsking)),
		col("unanswered", number((*restorev1.Restore).GetUnanswered)),
		col("absent", number((*restorev1.Restore).GetAbsent)),
		col("found", number((*restorev1.Restore).GetFound)),
		col("lost", number((*restorev1.Restore).GetLost)),
		col("problem", (*restorev1.Restore).GetProblem))
}

// refusedBy says which service has refused, and keeps the code and the next step of the refusal.
func refusedBy(service string, err error) error {
	st, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("%s: %w", service, err)
	}
	said := st.Proto()
	said.Message = service + ": " + said.GetMessage()
	return status.ErrorProto(said)
}
