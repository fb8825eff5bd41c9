package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const patience = 30 * time.Second

// bed is an outbox on a schema and a JetStream of its own.
type bed struct {
	t    testing.TB
	pool *pgxpool.Pool
	js   jetstream.JetStream
}

func newBed(t testing.TB, js jetstream.JetStream) *bed {
	return &bed{t: t, pool: pgtest.Pool(t, outbox.Migrations), js: js}
}

func (b *bed) outbox(mutate ...func(*outbox.Config, *outbox.Deps)) *outbox.Outbox {
	c := outbox.Config{Service: "test", Poll: 10 * time.Millisecond, Lease: 400 * time.Millisecond}
	d := outbox.Deps{Pool: b.pool, JS: b.js, Logger: slog.New(slog.NewTextHandler(b.t.Output(), nil))}
	for _, m := range mutate {
		m(&c, &d)
	}
	return outbox.New(c, d)
}

// run relays until the returned function is called, or the test ends.
func (b *bed) run(o *outbox.Outbox) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("Run: %v", err)
		}
	}
	b.t.Cleanup(stop)
	return stop
}

func (b *bed) stream(name string, mutate ...func(*jetstream.StreamConfig)) {
	b.t.Helper()
	c := jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}, Discard: jetstream.DiscardNew, Duplicates: 2 * time.Minute}
	for _, m := range mutate {
		m(&c)
	}
	if _, err := b.js.CreateStream(b.t.Context(), c); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) append(o *outbox.Outbox, msgs ...outbox.Message) {
	b.t.Helper()
	err := pg.InTx(context.Background(), b.pool, func(tx pgx.Tx) error { return o.Append(context.Background(), tx, msgs...) })
	if err != nil {
		b.t.Fatal(err)
	}
}

func message(stream, key string, n int) outbox.Message {
	id := fmt.Sprintf("%s-%d", key, n)
	return outbox.Message{
		ID: id, Stream: stream, Subject: stream + "." + key, Key: key,
		Headers: map[string]string{"ce-id": id, "ce-aggversion": fmt.Sprint(n)}, Payload: []byte(id),
	}
}

// await polls: neither Postgres nor a stream of another process tells when a number is reached.
func await(t testing.TB, what string, done func(ctx context.Context) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		ok, err := done(ctx)
		if ok && err == nil {
			return
		}
		if err != nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s (last error %v)", what, patience, last)
		case <-tick.C:
		}
	}
}

// awaitMarked returns when n rows are marked as published and none waits.
func (b *bed) awaitMarked(n int) {
	b.t.Helper()
	await(b.t, fmt.Sprintf("%d rows marked", n), func(ctx context.Context) (bool, error) {
		var marked, waiting int
		err := b.pool.QueryRow(ctx, "SELECT count(published_at), count(*) - count(published_at) FROM outbox").Scan(&marked, &waiting)
		return marked == n && waiting == 0, err
	})
}

// stored reads a whole stream.
func (b *bed) stored(name string) []*jetstream.RawStreamMsg {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var msgs []*jetstream.RawStreamMsg
	s, err := b.js.Stream(ctx, name)
	if err != nil {
		b.t.Fatal(err)
	}
	for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			b.t.Fatal(err)
		}
		msgs = append(msgs, m)
	}
	return msgs
}

// checkStream says whether the stream holds every message once, under its own id, each key's in order.
func (b *bed) checkStream(name string, want map[string]int) {
	b.t.Helper()
	got, next := map[string]int{}, map[string]int{}
	for _, m := range b.stored(name) {
		key := m.Subject[len(name)+1:]
		want := fmt.Sprintf("%s-%d", key, next[key])
		if id := m.Header.Get(jetstream.MsgIDHeader); id != want || string(m.Data) != want || m.Header.Get("ce-id") != want {
			b.t.Errorf("stream %s at %d: message %q (id %s), want %s", name, m.Sequence, m.Data, id, want)
		}
		next[key]++
		got[key]++
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("messages per key in %s (-want +got):\n%s", name, diff)
	}
}
