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
		return a.listAudit(c.Context())
	}, "agogo audit list --tenant lebenis")
	verify := leaf("verify", "Check that the trail is whole: every line follows from the one before it", exactly(), func(c *cobra.Command, _ []string) error {
		return a.verifyAudit(c.Context())
	}, "agogo audit verify")
	return noun("audit", "The audit trail, hash-chained per tenant and service", list, verify)
}

// auditEntry is a line of the trail with the words it was published in.
type auditEntry struct {
	auth.Line
	raw []byte
}

func (a *app) listAudit(ctx context.Context) error {
	trail := listing[auditEntry]{
		app: a, encode: func(e auditEntry) ([]byte, error) { return e.raw, nil },
		columns: []column[auditEntry]{
			col("at (utc)", func(e auditEntry) string { return e.At }),
			col("tenant", func(e auditEntry) string { return e.Tenant }),
			col("service", func(e auditEntry) string { return e.Service }),
			col("actor", func(e auditEntry) string { return e.Actor }),
			col("action", func(e auditEntry) string { return e.Action }),
			col("target", func(e auditEntry) string { return e.Target }),
			col("detail", func(e auditEntry) string { return e.Detail }),
		},
	}
	_, broken, err := a.followAudit(ctx, trail.add)
	if err != nil {
		return err
	}
	if err := trail.end(); err != nil {
		return err
	}
	if broken > 0 {
		return errFailed
	}
	return nil
}

func (a *app) verifyAudit(ctx context.Context) error {
	lines, broken, err := a.followAudit(ctx, func(auditEntry) error { return nil })
	if err != nil {
		return err
	}
	if err := a.summary(fmt.Sprintf("%d entries, %d breaks", lines, broken), map[string]int{"entries": lines, "breaks": broken}); err != nil {
		return err
	}
	if broken > 0 {
		return errFailed
	}
	return nil
}

// followAudit reads the AUDIT stream from its beginning and checks it on the way; what breaks the chain is told at once.
func (a *app) followAudit(ctx context.Context, each func(auditEntry) error) (lines, broken int, err error) {
	if err := a.checkOutput(); err != nil {
		return 0, 0, err
	}
	tenant, err := a.anyTenant()
	if err != nil {
		return 0, 0, err
	}
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	if tenant != "" {
		cfg.FilterSubjects = []string{"agogo.audit." + tenant + ".*"}
	}
	var follower auth.Follower
	err = a.read(ctx, stream.Audit, cfg, false, func(m jetstream.Msg) error {
		l, b, err := follower.Follow(m.Data())
		if err != nil {
			return err
		}
		lines++
		if b != nil {
			broken++
			fmt.Fprintf(a.Err, "%s/%s entry %d: %s\n", l.Tenant, b.Service, b.Seq, b.Problem)
		}
		return each(auditEntry{l, m.Data()})
	})
	return lines, broken, err
}
