package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agogopay/agogo/internal/stream"
	schedulerv1 "github.com/agogopay/agogo/proto/gen/go/agogo/scheduler/v1"
)

func (a *app) dlqCommand() *cobra.Command {
	var service string
	list := leaf("list", "List messages that could not be handled, oldest first", exactly(), func(c *cobra.Command, _ []string) error {
		return a.withJetStream(c.Context(), func(js jetstream.JetStream) error { return a.listDeadLetters(c.Context(), js, service) })
	}, "agogo dlq list", "agogo dlq list --service payouts -o json")
	list.Flags().StringVar(&service, "service", "", "only this service's")
	show := leaf("show SEQ", "Show one with its headers and body", exactly("SEQ"), a.withDeadLetter(func(ctx context.Context, js jetstream.JetStream, seq uint64) error {
		d, err := stream.ShowDeadLetter(ctx, js, seq)
		if err != nil {
			return err
		}
		return a.showDeadLetter(d)
	}), "agogo dlq show 3")
	var reason string
	replay := leaf("replay SEQ", "Give one to its service once more, after the cause is mended", exactly("SEQ"), a.decide(a.replayDeadLetter), "agogo dlq replay 3")
	discard := leaf("discard SEQ", "Drop one for good", exactly("SEQ"), a.decide(func(ctx context.Context, s schedulerv1.SchedulerServiceClient, seq uint64) error {
		if _, err := s.DiscardDeadLetter(ctx, &schedulerv1.DiscardDeadLetterRequest{Seq: seq, Reason: reason}); err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "discarded %d\n", seq)
		return nil
	}), `agogo dlq discard 3 --reason "sent by a test"`)
	discard.Flags().StringVar(&reason, "reason", "", "why, for the audit trail (required)")
	_ = discard.MarkFlagRequired("reason")
	return noun("dlq", "Dead letters: messages that could not be handled", list, show, replay, discard)
}

func (a *app) withJetStream(ctx context.Context, do func(jetstream.JetStream) error) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	js, done, err := a.jetStream(ctx)
	if err != nil {
		return err
	}
	defer done()
	return do(js)
}

// decide is for what changes something: it goes through the scheduler, which knows who asks and writes it down.
func (a *app) decide(do func(context.Context, schedulerv1.SchedulerServiceClient, uint64) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		seq, err := letterNumber(args[0])
		if err != nil {
			return err
		}
		s, err := a.scheduler()
		if err != nil {
			return err
		}
		return do(c.Context(), s, seq)
	}
}

func (a *app) replayDeadLetter(ctx context.Context, s schedulerv1.SchedulerServiceClient, seq uint64) error {
	r, err := s.ReplayDeadLetter(ctx, &schedulerv1.ReplayDeadLetterRequest{Seq: seq})
	if err != nil {
		return err
	}
	note := ""
	if r.Already {
		note = " (was under way already)"
	}
	fmt.Fprintf(a.Out, "replayed as %s on %s%s\n", r.MessageId, r.Subject, note)
	return nil
}

func letterNumber(s string) (uint64, error) {
	seq, err := strconv.ParseUint(s, 10, 64)
	if err != nil || seq == 0 {
		return 0, usagef("SEQ is the number in the first column of 'agogo dlq list', not %q", s)
	}
	return seq, nil
}

func (a *app) withDeadLetter(do func(ctx context.Context, js jetstream.JetStream, seq uint64) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		seq, err := letterNumber(args[0])
		if err != nil {
			return err
		}
		return a.withJetStream(c.Context(), func(js jetstream.JetStream) error {
			err := do(c.Context(), js, seq)
			if errors.Is(err, stream.ErrNotFound) {
				return status.Error(codes.NotFound, err.Error())
			}
			return err
		})
	}
}

func (a *app) listDeadLetters(ctx context.Context, js jetstream.JetStream, service string) error {
	list := listing[stream.DeadLetter]{
		app: a, encode: func(d stream.DeadLetter) ([]byte, error) { return json.Marshal(deadLetterJSON(d)) },
		columns: []column[stream.DeadLetter]{
			num("seq", func(d stream.DeadLetter) string { return strconv.FormatUint(d.Seq, 10) }),
			col("at (utc)", func(d stream.DeadLetter) string { return d.At.UTC().Format(time.RFC3339) }),
			col("consumer", func(d stream.DeadLetter) string { return d.Consumer }),
			num("deliveries", func(d stream.DeadLetter) string { return strconv.Itoa(d.Deliveries) }),
			col("subject", func(d stream.DeadLetter) string { return d.Subject }),
			col("reason", func(d stream.DeadLetter) string { return d.Reason }),
		},
	}
	for d, err := range stream.ListDeadLetters(ctx, js, service) {
		if err != nil {
			return err
		}
		if err := list.add(d); err != nil {
			return err
		}
	}
	return list.end()
}

// deadLetterJSON has 64-bit numbers as strings, as everything else that is printed for programs.
func deadLetterJSON(d stream.DeadLetter) map[string]any {
	return map[string]any{
		"seq": strconv.FormatUint(d.Seq, 10), "at": d.At, "service": d.Service, "stream": d.Stream, "consumer": d.Consumer, "subject": d.Subject,
		"original_seq": strconv.FormatUint(d.OriginalSeq, 10), "id": d.ID, "type": d.Type(), "reason": d.Reason, "deliveries": d.Deliveries, "published": d.Published,
	}
}

func (a *app) showDeadLetter(d stream.DeadLetter) error {
	if a.output == "json" {
		all := deadLetterJSON(d)
		all["headers"], all["data"] = d.Header, string(d.Data)
		return json.NewEncoder(a.Out).Encode(all)
	}
	fmt.Fprintf(a.Out, "subject     %s\nconsumer    %s (sequence %d of %s)\nreason      %s\ndeliveries  %d\n", d.Subject, d.Consumer, d.OriginalSeq, d.Stream, d.Reason, d.Deliveries)
	for _, k := range slices.Sorted(maps.Keys(d.Header)) {
		fmt.Fprintf(a.Out, "%-20s %s\n", k, d.Header.Get(k))
	}
	fmt.Fprintf(a.Out, "\n%s\n", d.Data)
	return nil
}
