package stream_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/stream"
)

// asked answers for a consumer and counts the questions.
type asked struct {
	info  jetstream.ConsumerInfo
	err   error
	times int
}

func (a *asked) Info(context.Context) (*jetstream.ConsumerInfo, error) {
	a.times++
	return &a.info, a.err
}

func TestTheWatchdogTellsAStallFromSilence(t *testing.T) {
	t.Parallel()
	away := errors.New("no leader")
	for name, c := range map[string]struct {
		asked
		want error
	}{
		"empty":       {asked{}, nil},
		"stalled":     {asked{info: jetstream.ConsumerInfo{NumPending: 3}}, stream.ErrStalled},
		"paused":      {asked{info: jetstream.ConsumerInfo{NumPending: 3, Paused: true}}, nil},
		"others busy": {asked{info: jetstream.ConsumerInfo{NumPending: 3, NumAckPending: 10, Config: jetstream.ConsumerConfig{MaxAckPending: 10}}}, nil},
		"no answer":   {asked{err: away}, away},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := stream.NewWatchdog(time.Minute)
				if err := w.Check(t.Context(), &c.asked, false); err != nil || c.times != 0 {
					t.Errorf("asked before its patience was over: %v", err)
				}
				<-time.After(time.Minute)
				if err := w.Check(t.Context(), &c.asked, true); err != nil || c.times != 0 {
					t.Errorf("asked though messages come: %v", err)
				}
				<-time.After(time.Minute)
				if err := w.Check(t.Context(), &c.asked, false); !errors.Is(err, c.want) || c.times != 1 {
					t.Errorf("got %v after %d questions, want %v", err, c.times, c.want)
				}
				if err := w.Check(t.Context(), &c.asked, false); err != nil || c.times != 1 {
					t.Errorf("asked again at once: %v", err)
				}
			})
		})
	}
}
