package cli

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/internal/auth"
	"github.com/agogopay/agogo/internal/stream"
)

func (a *app) auditCommand() *cobra.Command {
	list := leaf("list", "Who changed what, oldest first", exactly(), func(c *cobra.Command, _ []string) error {
		return a.audit(c.Context(), true)
	}, "agogo audit list --tenant lebenis")
	verify := leaf("verify", "Check that the trail is whole: every line follows from the one before it", exactly(), func(c *cobra.Command, _ []string) error {
		return a.audit(c.Context(), false)
	}, "agogo audit verify")
	return noun("audit", "The audit trail, hash-chained per tenant and service", list, verify)
}

// audit reads the AUDIT stream from its beginning and checks it on the way, whether or not it prints it.
func (a *app) audit(ctx context.Context, print bool) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	if a.tenant != "" {
		cfg.FilterSubjects = []string{"agogo.audit." + a.tenant + ".*"}
	}
	var follower auth.Follower
	lines, broken := 0, 0
	err := a.read(ctx, stream.Audit, cfg, false, func(m jetstream.Msg) error {
		l, b, err := follower.Follow(m.Data())
		if err != nil {
			return err
		}
		lines++
		if b != nil {
			broken++
			fmt.Fprintf(a.Err, "%s/%s entry %d: %s\n", l.Tenant, b.Service, b.Seq, b.Problem)
		}
		if print {
			a.printLine(l, m.Data())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !print {
		fmt.Fprintf(a.Out, "%d entries, %d breaks\n", lines, broken)
	}
	if broken > 0 {
		return errFailed
	}
	return nil
}

func (a *app) printLine(l auth.Line, raw []byte) {
	if a.output == "json" {
		fmt.Fprintf(a.Out, "%s\n", raw)
		return
	}
	fmt.Fprintf(a.Out, "%s  %-10s %-10s %-16s %-20s %s %s\n", l.At, l.Tenant, l.Service, l.Actor, l.Action, l.Target, l.Detail)
}
