package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/process"
	"github.com/agogopay/agogo/internal/stream"
)

// jetStream connects to the context's NATS as any outside subscriber would. An auditor's rights are enough.
func (a *app) jetStream(ctx context.Context) (jetstream.JetStream, func(), error) {
	info, err := a.info()
	if err != nil {
		return nil, nil, err
	}
	nc, err := process.Connect(ctx, process.Server{URL: info.NATS.URL, Creds: info.NATS.Creds, CA: info.NATS.CA}, stream.Auditor, nil)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return js, nc.Close, nil
}

func (a *app) eventsCommand() *cobra.Command {
	var filter, since string
	var follow bool
	tail := leaf("tail", "Print events as they are published", exactly(), func(c *cobra.Command, _ []string) error {
		if err := checkType(filter); err != nil {
			return err
		}
		from, err := moment("since", since)
		if err != nil {
			return err
		}
		cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy}
		if from != nil {
			t := from.AsTime()
			cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &t
		} else if !follow {
			cfg.DeliverPolicy = jetstream.DeliverAllPolicy
		}
		tenant, err := a.anyTenant()
		if err != nil {
			return err
		}
		if filter != "" || tenant != "" {
			cfg.FilterSubjects = []string{eventFilter(tenant, filter)}
		}
		return a.read(c.Context(), stream.Events, cfg, follow, a.printEvent)
	},
		"agogo events tail",
		"agogo events tail --type payout.succeeded --tenant lebenis -o json",
		"agogo events tail --follow=false   # all there is, then end")
	tail.Flags().StringVar(&filter, "type", "", "only this type: payout.created, or payout.* ")
	tail.Flags().StringVar(&since, "since", "", "from this RFC 3339 time on (default: from now on)")
	tail.Flags().BoolVar(&follow, "follow", true, "wait for more; with false: print all there is and end")
	verify := leaf("verify", "Check that the versions of every aggregate follow each other without a gap or a fork", exactly(), func(c *cobra.Command, _ []string) error {
		return a.verifyEvents(c.Context())
	}, "agogo events verify")
	return noun("events", "The event streams", tail, verify)
}

// checkType refuses a pattern that no event can match: it would be answered with nothing, for ever.
func checkType(pattern string) error {
	if pattern == "" {
		return nil
	}
	aggregate, name, _ := strings.Cut(pattern, ".")
	for _, m := range event.Machines() {
		for _, t := range m.Transitions {
			if (aggregate == "*" || aggregate == t.Event.Aggregate()) && (name == "" || name == "*" || name == t.Event.Name()) {
				return nil
			}
		}
	}
	return usagef("--type %q is no type of event: write one of docs/events, such as payout.succeeded, or payout.*", pattern)
}

func eventFilter(tenant, typ string) string {
	if tenant == "" {
		tenant = "*"
	}
	agg, name, _ := strings.Cut(typ, ".")
	if agg == "" {
		agg = "*"
	}
	if name == "" {
		name = "*"
	}
	return strings.Join([]string{"agogo.evt", tenant, "*", agg, name, "*"}, ".")
}

// read hands every message of a stream to each, until ctx ends or, without follow, the stream's present end. A stream that
// stops answering before that is an error: half of it must not pass for all.
func (a *app) read(ctx context.Context, name string, cfg jetstream.OrderedConsumerConfig, follow bool, each func(jetstream.Msg) error) error {
	js, done, err := a.jetStream(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !follow {
		cfg.MaxResetAttempts = 5 // by itself it would ask without end
	}
	consumer, err := stream.Ordered(ctx, js, name, cfg)
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	for pending := uint64(0); ; {
		got, err := heard(ctx, consumer, each, &pending)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("stream %s: %w", name, err)
		case got > 0 || follow:
			continue
		case pending > 0:
			return fmt.Errorf("stream %s stopped answering with %d messages to come: is NATS up? Read it again", name, pending)
		}
		if _, err := stream.Find(ctx, js, name); err != nil { // silence is an end only while somebody is there to answer
			return fmt.Errorf("stream %s: %w", name, err)
		}
		return nil
	}
}

type fetcher interface {
	Fetch(batch int, opts ...jetstream.FetchOpt) (jetstream.MessageBatch, error)
}

// unheardMost is how many seconds nobody may answer a reader, whose place may be on a server that has just gone: an election takes up
// to nine.
const unheardMost = 20

// heard fetches, again while nobody answers: an ordered consumer goes on behind the last message that it has brought.
func heard(ctx context.Context, consumer fetcher, each func(jetstream.Msg) error, pending *uint64) (got int, err error) {
	for unheard := 0; ; unheard++ {
		got, err = fetch(consumer, each, pending)
		switch {
		case !stream.Passing(err) || unheard == unheardMost:
			return got, err
		case got > 0:
			return got, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// fetch reads what is there now, and notes how much the last message says is still to come.
func fetch(consumer fetcher, each func(jetstream.Msg) error, pending *uint64) (got int, err error) {
	batch, err := consumer.Fetch(500, jetstream.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return 0, err
	}
	for m := range batch.Messages() {
		got++
		if meta, err := m.Metadata(); err == nil {
			*pending = meta.NumPending
		}
		if err := each(m); err != nil {
			return got, err
		}
	}
	if err := batch.Error(); err != nil && !errors.Is(err, jetstream.ErrNoMessages) {
		return got, err
	}
	return got, nil
}

func (a *app) printEvent(m jetstream.Msg) error {
	e, err := event.ParseHeaders(m.Headers().Get)
	if err != nil {
		return fmt.Errorf("%s: %w", m.Subject(), err)
	}
	if a.output == "json" {
		line, err := json.Marshal(map[string]any{
			"id": e.ID, "type": e.Type.CloudEvent(), "time": e.Time, "tenant": e.Tenant, "subject": e.Subject,
			"version": e.Version, "epoch": e.Epoch, "actor": e.Actor, "correlation_id": e.CorrelationID, "causation_id": e.CausationID, "data": json.RawMessage(m.Data()),
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.Out, string(line))
		return err
	}
	_, err = fmt.Fprintf(a.Out, "%s  %-10s %-28s %s v%d\n", e.Time.Format(time.RFC3339), e.Tenant, e.Type, e.Subject, e.Version)
	return err
}
