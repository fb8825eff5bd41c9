package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	provisionPatience = time.Minute // how long a cluster may be without a leader
	callTimeout       = 5 * time.Second
	jsUnavailable     = 10008 // JSClusterNotAvailErr: no leader at the moment
)

// Provision creates or widens streams and consumers; it refuses an edit that would lose messages, and then changes
// nothing at all. It may run twice, and twice at once.
func Provision(ctx context.Context, js jetstream.JetStream, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, provisionPatience)
	defer cancel()
	if err := o.check(); err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	if err := checkPlans(ctx, js, o); err != nil {
		return err
	}
	for _, want := range streams(o) {
		if err := patiently(ctx, func(ctx context.Context) error { return ensureStream(ctx, js, want) }); err != nil {
			return fmt.Errorf("provision stream %s: %w", want.Name, err)
		}
	}
	for _, want := range Consumers() {
		if err := patiently(ctx, func(ctx context.Context) error { return ensureConsumer(ctx, js, want) }); err != nil {
			return fmt.Errorf("provision consumer %s of %s: %w", want.Durable, want.Stream, err)
		}
	}
	return nil
}

// checkPlans looks for everything that will be refused before anything is touched.
func checkPlans(ctx context.Context, js jetstream.JetStream, o Options) error {
	var refusals []error
	for _, want := range streams(o) {
		err := patiently(ctx, func(ctx context.Context) error {
			_, _, err := streamPlan(ctx, js, want)
			return err
		})
		if err != nil {
			refusals = append(refusals, fmt.Errorf("provision stream %s: %w", want.Name, err))
		}
	}
	for _, want := range Consumers() {
		err := patiently(ctx, func(ctx context.Context) error {
			_, _, err := consumerPlan(ctx, js, want)
			return err
		})
		if err != nil {
			refusals = append(refusals, fmt.Errorf("provision consumer %s of %s: %w", want.Durable, want.Stream, err))
		}
	}
	return errors.Join(refusals...)
}

type action int

const (
	nothing action = iota
	create
	update
)

func streamPlan(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (jetstream.StreamConfig, action, error) {
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return want, create, nil
	}
	if err != nil {
		return want, nothing, err
	}
	merged, changed, err := widenStream(s.CachedInfo(), want)
	if err != nil || !changed {
		return merged, nothing, err
	}
	return merged, update, nil
}

func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) error {
	cfg, act, err := streamPlan(ctx, js, want)
	if err != nil {
		return err
	}
	switch act {
	case nothing:
	case create:
		_, err = js.CreateStream(ctx, cfg)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return errAgain // somebody else was faster, with another configuration: plan against that
		}
	case update:
		_, err = js.UpdateStream(ctx, cfg)
	}
	return err
}

func consumerPlan(ctx context.Context, js jetstream.JetStream, want ConsumerSpec) (jetstream.ConsumerConfig, action, error) {
	c, err := js.Consumer(ctx, want.Stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return want.Config(), create, nil
	}
	if err != nil {
		return want.Config(), nothing, err
	}
	merged, changed, err := widenConsumer(c.CachedInfo().Config, want.Config())
	if err != nil || !changed {
		return merged, nothing, err
	}
	return merged, update, nil
}

func ensureConsumer(ctx context.Context, js jetstream.JetStream, want ConsumerSpec) error {
	cfg, act, err := consumerPlan(ctx, js, want)
	if err != nil {
		return err
	}
	switch act {
	case nothing:
	case create:
		_, err = js.CreateConsumer(ctx, want.Stream, cfg)
		if errors.Is(err, jetstream.ErrConsumerExists) {
			return errAgain
		}
	case update:
		_, err = js.UpdateConsumer(ctx, want.Stream, cfg)
	}
	return err
}

var errAgain = errors.New("changed by somebody else meanwhile")

// patiently repeats f while the cluster has no leader to answer.
func patiently(ctx context.Context, f func(context.Context) error) error {
	for {
		err := briefly(ctx, f)
		if err == nil || !Passing(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up waiting: %w (is JetStream enabled, has its cluster a leader, and may this user call $JS.API?)", err)
		case <-time.After(100*time.Millisecond + rand.N(200*time.Millisecond)):
		}
	}
}

func briefly(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return f(ctx)
}

// Passing reports whether an error is of a cluster that nobody answers for at the moment: a leader is being elected, or what was asked is
// moving to another server. Asked again it may answer.
func Passing(err error) bool {
	if api := (*jetstream.APIError)(nil); errors.As(err, &api) {
		return api.ErrorCode == jsUnavailable
	}
	return errors.Is(err, errAgain) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrTimeout)
}
