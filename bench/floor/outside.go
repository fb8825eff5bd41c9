package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/bench/bare"
	"github.com/agogopay/agogo/bench/installation"
)

// body is as long as an event's.
func body(id uuid.UUID) []byte {
	return fmt.Appendf(nil, `{"payout_id":%q,"tenant":"bench","payee_id":%q,"period_date":"2025-03-01","state":"succeeded","previous_state":"submitting","gross":{"minor":"1000","currency":"XOF"},`+
		`"net":{"minor":"800","currency":"XOF"},"provider":"orange","attempt":1,"reference":%q,"run_id":%q}`, id, id, id, id)
}

// own are the headers of an event that no other one of its transaction has.
func own(id uuid.UUID) string {
	return "ce-id:" + id.String() + "\nce-subject:" + id.String() + "\nce-aggversion:3\n"
}

// mail publishes and hears.
type mail struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	stop   jetstream.ConsumeContext
	heardN atomic.Int64
}

func openStream(ctx context.Context, in *installation.Installation) (*mail, error) {
	nc, err := nats.Connect(in.Info.NATS.URL, nats.UserCredentials(in.Info.NATS.Creds))
	if err != nil {
		return nil, err
	}
	m := &mail{nc: nc}
	if m.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(1024)); err != nil {
		return nil, err
	}
	s, err := m.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "FLOOR", Subjects: []string{"floor.>"}, MaxBytes: 1 << 30, MaxAge: 24 * time.Hour, Duplicates: 10 * time.Minute, Discard: jetstream.DiscardNew, DenyDelete: true, AllowDirect: true,
	})
	if err != nil {
		return nil, err
	}
	c, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "notifier", FilterSubjects: []string{"floor.approved.*", "floor.succeeded.*"}, AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return nil, err
	}
	m.stop, err = c.Consume(func(got jetstream.Msg) {
		if got.Ack() == nil {
			m.heardN.Add(1)
		}
	})
	return m, err
}

func (m *mail) close() { m.stop.Stop(); m.nc.Close() }

// tell publishes an event of each kind about each payout, all at once, and awaits what the stream says.
func (m *mail) tell(ctx context.Context, ids []uuid.UUID, kinds ...string) error {
	var futures []jetstream.PubAckFuture
	for _, kind := range kinds {
		for i, id := range ids {
			msg := &nats.Msg{Subject: "floor." + kind + ".p" + strconv.Itoa(i%64), Data: body(id), Header: nats.Header{
				"ce-specversion": {"1.0"}, "ce-datacontenttype": {"application/json"}, "ce-id": {id.String()}, "ce-source": {"/payouts"}, "ce-type": {"com.agogo.payout." + kind + ".v1"},
				"ce-subject": {id.String()}, "ce-time": {"2025-03-01T23:59:00.123456789Z"}, "ce-tenantid": {"bench"}, "ce-aggversion": {"3"}, "ce-epoch": {"0"}, "ce-actor": {"service:payouts"},
				"ce-correlationid": {"bench/payouts/daily@2025-03-01T23:59:00Z"}, "ce-causationid": {id.String()}, "traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"},
			}}
			f, err := m.js.PublishMsgAsync(msg, jetstream.WithMsgID(kind+id.String()), jetstream.WithExpectStream("FLOOR"))
			if err != nil {
				return err
			}
			futures = append(futures, f)
		}
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// heard waits until so many messages were delivered.
func (m *mail) heard(ctx context.Context, n int) error { return await(ctx, &m.heardN, n) }

func await(ctx context.Context, counted *atomic.Int64, n int) error {
	for counted.Load() < int64(n) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// hooks takes callbacks in and stores them some at a time, before it answers.
type hooks struct {
	server *httptest.Server
	count  atomic.Int64
	rows   *tables

	mu      sync.Mutex
	waiting [][]byte
	done    chan error // of the batch that gathers
}

func receive(ctx context.Context, in *installation.Installation, rows *tables) (*hooks, error) {
	h := &hooks{rows: rows}
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err == nil {
			err = h.store(context.WithoutCancel(ctx), b)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "callback:", err)
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		h.count.Add(1)
	}))
	return h, in.Callbacks(ctx, h.server.URL)
}

func (h *hooks) store(ctx context.Context, b []byte) error {
	h.mu.Lock()
	if h.waiting == nil {
		h.done = make(chan error)
		time.AfterFunc(5*time.Millisecond, func() {
			h.mu.Lock()
			batch, done := h.waiting, h.done
			h.waiting = nil
			h.mu.Unlock()
			err := h.rows.hooks(ctx, batch)
			for range batch {
				done <- err
			}
		})
	}
	h.waiting = append(h.waiting, b)
	done := h.done
	h.mu.Unlock()
	return <-done
}

func (h *hooks) stored(ctx context.Context, n int) error { return await(ctx, &h.count, n) }

func (h *hooks) close() { h.server.Close() }

// caller makes the bare loop's calls.
type caller struct {
	*bare.Client
	next atomic.Int64
}

func newCaller(ctx context.Context, in *installation.Installation, concurrency int) (*caller, error) {
	c, err := bare.Open(ctx, bare.Config{URL: in.Info.Simulator, Country: "ci", Calls: 1, Concurrency: concurrency, Run: "floor-" + strconv.FormatInt(time.Now().UnixNano(), 36)})
	return &caller{Client: c}, err
}

// all pays each of a wave at once.
func (c *caller) all(ctx context.Context, ids []uuid.UUID) error {
	errs := make([]error, len(ids))
	var wave sync.WaitGroup
	for i := range ids {
		wave.Go(func() { errs[i] = c.Pay(ctx, int(c.next.Add(1))) })
	}
	wave.Wait()
	return errors.Join(errs...)
}
