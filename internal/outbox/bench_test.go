package outbox_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

// BenchmarkAppend is a transaction that writes a page of messages and nothing else.
func BenchmarkAppend(bench *testing.B) {
	for _, size := range []int{1, 100, 500} {
		bench.Run(fmt.Sprintf("%d per transaction", size), func(bench *testing.B) {
			b := newBed(bench, natstest.Server(bench).JS)
			o := b.outbox()
			msgs := page(size, 0)
			for bench.Loop() {
				err := pg.InTx(context.Background(), b.pool, func(tx pgx.Tx) error { return o.Append(context.Background(), tx, msgs...) })
				if err != nil {
					bench.Fatal(err)
				}
			}
			bench.ReportMetric(float64(bench.N*size)/bench.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// page makes messages of different keys with a body of the size of an event's.
func page(size, from int) []outbox.Message {
	msgs := make([]outbox.Message, size)
	for i := range msgs {
		msgs[i] = message("A", fmt.Sprintf("key%d", from+i), 0)
		msgs[i].Payload = make([]byte, 600)
	}
	return msgs
}

// BenchmarkRelay drains a backlog: from rows that wait to rows that are marked.
func BenchmarkRelay(bench *testing.B) {
	const backlog = 20_000
	for _, storage := range []jetstream.StorageType{jetstream.FileStorage, jetstream.MemoryStorage} {
		bench.Run(storage.String(), func(bench *testing.B) {
			b := newBed(bench, natstest.Server(bench).JS)
			b.stream("A", func(c *jetstream.StreamConfig) { c.Storage = storage })
			o := b.outbox()
			for round := 0; bench.Loop(); round++ {
				bench.StopTimer()
				for at := 0; at < backlog; at += 500 {
					b.append(o, page(500, round*backlog+at)...)
				}
				bench.StartTimer()
				stop := b.run(o)
				b.awaitWaiting(0)
				stop()
			}
			bench.ReportMetric(float64(bench.N*backlog)/bench.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// BenchmarkLatency is one message from its commit to its stream, on a relay that is awake.
func BenchmarkLatency(bench *testing.B) {
	b := newBed(bench, natstest.Server(bench).JS)
	b.stream("A")
	o := b.outbox()
	b.run(o)
	sub, err := b.js.Conn().SubscribeSync("A.>")
	if err != nil {
		bench.Fatal(err)
	}
	for n := 0; bench.Loop(); n++ {
		b.append(o, message("A", fmt.Sprintf("key%d", n), 0))
		o.Nudge()
		if _, err := sub.NextMsg(patience); err != nil {
			bench.Fatal(err)
		}
	}
}
