package stream_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

// BenchmarkLoop is consuming and acknowledging 256-byte messages with a handler that does nothing: what the loop itself
// costs. The messages are stored before the clock starts.
func BenchmarkLoop(b *testing.B) {
	for _, workers := range []int{8, 64} {
		for _, takes := range []time.Duration{0, 2 * time.Millisecond} {
			b.Run(fmt.Sprintf("R1/workers=%d/takes=%s", workers, takes), func(b *testing.B) {
				js, s := natstest.Server(b).JS, spec(func(s *stream.ConsumerSpec) { s.Workers = workers })
				workStream(b, js, s, 1)
				benchmarkLoop(b, js, s, takes)
			})
		}
	}
	b.Run("R3/workers=8", func(b *testing.B) {
		c := natstest.Cluster(b, 3)
		js, s := c.JS(0), spec(func(s *stream.ConsumerSpec) { s.Workers = 8 })
		workStream(b, js, s, 3)
		benchmarkLoop(b, js, s, 0)
	})
}

func benchmarkLoop(b *testing.B, js jetstream.JetStream, s stream.ConsumerSpec, takes time.Duration) {
	b.Helper()
	body := make([]byte, 256)
	for i := range b.N {
		_, err := js.PublishAsync("agogo.cmd.test.do.p00", body, jetstream.WithMsgID(fmt.Sprint(i)), jetstream.WithStallWait(patience))
		if err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	var handled atomic.Int64
	done := make(chan struct{})
	b.ResetTimer()
	l := run(b, stream.NewLoop(s, func(context.Context, stream.Message) error {
		if takes > 0 {
			<-time.After(takes)
		}
		if handled.Add(1) == int64(b.N) {
			close(done)
		}
		return nil
	}, stream.Deps{JS: js, Service: "test"}))
	<-done
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	if err := l.stop(); err != nil {
		b.Fatal(err)
	}
}
