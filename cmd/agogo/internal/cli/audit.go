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
	verify := leaf("verify", "Check that the trail is whole: every line follows from the one before it, and the services' tables say the same", exactly(), func(c *cobra.Command, _ []string) error {
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
	r, err := a.auditReader()
	if err != nil {
		return err
	}
	if err := r.toItsEnd(ctx, trail.add); err != nil {
		return err
	}
	if err := trail.end(); err != nil {
		return err
	}
	if r.breaks > 0 {
		return errFailed
	}
	return nil
}

// auditReader reads the AUDIT stream from its beginning and checks it on the way; what breaks a chain is told at once.
type auditReader struct {
	*app
	tenant   string // "": of all
	follower auth.Follower
	last     uint64 // place in the stream
	lines    int
	breaks   int
}

func (a *app) auditReader() (*auditReader, error) {
	if err := a.checkOutput(); err != nil {
		return nil, err
	}
	tenant, err := a.anyTenant()
	restored := func(l auth.Line, lost int64) {
		fmt.Fprintf(a.Err, "%s/%s entry %d: restored from a backup; the %d entries from there on that came before are in the stream only\n", l.Tenant, l.Service, l.Seq, lost)
	}
	return &auditReader{app: a, tenant: tenant, follower: auth.Follower{Restored: restored}}, err
}

// toItsEnd reads to the stream's present end.
func (r *auditReader) toItsEnd(ctx context.Context, each func(auditEntry) error) error {
	return r.read(ctx, stream.Audit, r.from(jetstream.DeliverAllPolicy, 0), false, r.check(each))
}

// on waits for what comes after that, until ctx ends.
func (r *auditReader) on(ctx context.Context, each func(auditEntry) error) error {
	return r.read(ctx, stream.Audit, r.from(jetstream.DeliverByStartSequencePolicy, r.last+1), true, r.check(each))
}

func (r *auditReader) from(p jetstream.DeliverPolicy, seq uint64) jetstream.OrderedConsumerConfig {
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: p, OptStartSeq: seq}
	if r.tenant != "" {
		cfg.FilterSubjects = []string{"agogo.audit." + r.tenant + ".*"}
	}
	return cfg
}

func (r *auditReader) check(each func(auditEntry) error) func(jetstream.Msg) error {
	return func(m jetstream.Msg) error {
		if meta, err := m.Metadata(); err == nil {
			r.last = meta.Sequence.Stream
		}
		l, b, err := r.follower.Follow(m.Data())
		if err != nil {
			return err
		}
		r.lines++
		if b != nil {
			r.broken(l.Tenant, b.Service, b.Seq, b.Problem)
		}
		return each(auditEntry{l, m.Data()})
	}
}

func (r *auditReader) broken(tenant, service string, seq int64, problem string) {
	r.breaks++
	fmt.Fprintf(r.Err, "%s/%s entry %d: %s\n", tenant, service, seq, problem)
}
