package stream_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

func TestProvisionMakesEverythingAndMayRunAgain(t *testing.T) {
	t.Parallel()
	js := natstest.Server(t).JS
	var wg sync.WaitGroup
	for range 4 { // a job that was started twice, and its retries
		wg.Go(func() {
			if err := stream.Provision(t.Context(), js, stream.Options{Replicas: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, c := range stream.Consumers() {
		got, err := js.Consumer(t.Context(), c.Stream, c.Durable)
		if err != nil {
			t.Fatalf("%s: %v", c.Durable, err)
		}
		cfg := got.CachedInfo().Config
		if cfg.AckPolicy != jetstream.AckExplicitPolicy || cfg.MaxDeliver != c.MaxDeliver || cfg.AckWait != c.BackOff[0] || cfg.InactiveThreshold != 0 {
			t.Errorf("%s: %+v", c.Durable, cfg)
		}
	}
	for _, name := range []string{stream.Ticks, stream.Commands, stream.Events, stream.Audit, stream.DLQ, stream.Advisories} {
		cfg := config(t, js, name)
		if full := cfg.Discard == jetstream.DiscardOld; full != (name == stream.Advisories) {
			t.Errorf("%s: discards %v", name, cfg.Discard)
		}
		if cfg.MaxBytes <= 0 || !cfg.AllowDirect || cfg.Storage != jetstream.FileStorage {
			t.Errorf("%s: %+v", name, cfg)
		}
		if keeps := name == stream.Events || name == stream.Audit; cfg.DenyDelete != keeps || cfg.DenyPurge != keeps {
			t.Errorf("%s: deny delete %v, purge %v", name, cfg.DenyDelete, cfg.DenyPurge)
		}
	}
	if cfg := config(t, js, stream.Commands); cfg.Retention != jetstream.WorkQueuePolicy || cfg.MaxAge != 0 {
		t.Errorf("COMMANDS: %+v", cfg)
	}
}

// An update that changes nothing would still be an advisory and a Raft entry at every start.
func TestASecondProvisionUpdatesNothing(t *testing.T) {
	t.Parallel()
	node := natstest.Provisioned(t)
	sub, err := node.Conn.SubscribeSync("$JS.EVENT.ADVISORY.*.UPDATED.>")
	if err != nil {
		t.Fatal(err)
	}
	api, err := node.Conn.SubscribeSync("$JS.EVENT.ADVISORY.API")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Provision(t.Context(), node.JS, stream.Options{Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	if err := node.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := sub.Pending(); n != 0 {
		t.Errorf("%d updates", n)
	}
	for {
		m, err := api.NextMsg(50 * time.Millisecond)
		if err != nil {
			break
		}
		if s := string(m.Data); strings.Contains(s, "API.STREAM.UPDATE") || strings.Contains(s, "API.CONSUMER.CREATE") || strings.Contains(s, "API.CONSUMER.DURABLE.CREATE") {
			t.Errorf("called %s", s)
		}
	}
}

func TestProvisionWidensAndKeepsWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	js := natstest.Provisioned(t).JS
	foreign := config(t, js, stream.Events)
	foreign.Compression, foreign.Metadata = jetstream.S2Compression, map[string]string{"team": "books"}
	if _, err := js.UpdateStream(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	narrow, err := js.Consumer(t.Context(), stream.Events, stream.Notifier)
	if err != nil {
		t.Fatal(err)
	}
	cfg := narrow.CachedInfo().Config
	cfg.FilterSubjects, cfg.MaxAckPending = cfg.FilterSubjects[:2], 10
	if _, err := js.UpdateConsumer(t.Context(), stream.Events, cfg); err != nil {
		t.Fatal(err)
	}
	pause := time.Now().Add(time.Hour)
	if _, err := js.PauseConsumer(t.Context(), stream.Events, stream.Notifier, pause); err != nil {
		t.Fatal(err)
	}
	o := stream.Options{Replicas: 1, EventsAge: 60 * 24 * time.Hour, MaxBytes: map[string]int64{stream.Events: 6 << 30}}
	if err := stream.Provision(t.Context(), js, o); err != nil {
		t.Fatal(err)
	}
	got := config(t, js, stream.Events)
	if got.MaxAge != o.EventsAge || got.MaxBytes != 6<<30 || got.Compression != jetstream.S2Compression || got.Metadata["team"] != "books" {
		t.Errorf("got %+v", got)
	}
	wide, err := js.Consumer(t.Context(), stream.Events, stream.Notifier)
	if err != nil {
		t.Fatal(err)
	}
	info := wide.CachedInfo()
	if want := stream.Consumer(stream.Notifier); len(info.Config.FilterSubjects) != len(want.Filter) || info.Config.MaxAckPending != want.MaxAckPending || !info.Paused {
		t.Errorf("got %+v", info.Config)
	}
}

// An upgrade raises how much may be unanswered while the old processes hold all that might be: who waits for messages then gets one, and those keep theirs.
func TestProvisionWidensAConsumerThatIsFull(t *testing.T) {
	t.Parallel()
	js := natstest.Provisioned(t).JS
	c, err := js.Consumer(t.Context(), stream.Events, stream.Notifier)
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.CachedInfo().Config
	cfg.MaxAckPending = 2
	if c, err = js.UpdateConsumer(t.Context(), stream.Events, cfg); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"1", "2", "3"} {
		publish(t, js, "agogo.evt.lebenis.payouts.payout.succeeded.p00", id)
	}
	for range 2 {
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
	}
	waits, err := c.Fetch(1, jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "somebody waits in vain", func() bool {
		info, err := c.Info(t.Context())
		return err == nil && info.NumWaiting == 1 && info.NumAckPending == 2 && info.NumPending == 1
	})
	if err := stream.Provision(t.Context(), js, stream.Options{Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	if m := receive(t, "third message", waits.Messages()); m == nil || string(m.Data()) != "3" {
		t.Errorf("got %v, %v", m, waits.Error())
	}
	info, err := c.Info(t.Context())
	if err != nil || info.NumAckPending != 3 || info.NumRedelivered != 0 || info.Config.MaxAckPending != stream.Consumer(stream.Notifier).MaxAckPending {
		t.Errorf("got %+v, %v", info, err)
	}
}

func TestProvisionRefusesWhatWouldLoseMessages(t *testing.T) {
	t.Parallel()
	streamIs := func(name string, change func(*jetstream.StreamConfig)) func(*testing.T, jetstream.JetStream) {
		return func(t *testing.T, js jetstream.JetStream) {
			cfg := jetstream.StreamConfig{Name: name, Subjects: []string{"agogo." + subjectOf[name] + ".>"}, MaxBytes: 1 << 20, Discard: jetstream.DiscardNew}
			change(&cfg)
			if _, err := js.CreateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		}
	}
	consumerIs := func(change func(*jetstream.ConsumerConfig)) func(*testing.T, jetstream.JetStream) {
		return func(t *testing.T, js jetstream.JetStream) {
			streamIs(stream.Ticks, func(*jetstream.StreamConfig) {})(t, js)
			cfg := stream.Consumer(stream.PayoutsTicks).Config()
			change(&cfg)
			if _, err := js.CreateConsumer(t.Context(), stream.Ticks, cfg); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		before func(*testing.T, jetstream.JetStream)
		o      stream.Options
		want   []string
	}{
		"storage":        {streamIs(stream.Ticks, func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }), stream.Options{}, []string{"TICKS", "storage", "Memory", "File"}},
		"retention":      {streamIs(stream.Commands, func(*jetstream.StreamConfig) {}), stream.Options{}, []string{"COMMANDS", "retention", "Limits", "WorkQueue"}},
		"subjects":       {streamIs(stream.Ticks, func(c *jetstream.StreamConfig) { c.Subjects = []string{"agogo.tick.>", "tick.>"} }), stream.Options{}, []string{"TICKS", "subjects is tick.>"}},
		"max bytes":      {full, stream.Options{MaxBytes: map[string]int64{stream.Ticks: 100}}, []string{"TICKS", "max_bytes", "wanted 100", "bytes are in use"}},
		"discard":        {streamIs(stream.Advisories, func(c *jetstream.StreamConfig) { c.Subjects = []string{"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"} }), stream.Options{}, []string{"ADVISORIES", "discard"}},
		"deny delete":    {streamIs(stream.Ticks, func(c *jetstream.StreamConfig) { c.DenyDelete = true }), stream.Options{}, []string{"deny_delete"}},
		"deny purge":     {streamIs(stream.Ticks, func(c *jetstream.StreamConfig) { c.DenyPurge = true }), stream.Options{}, []string{"deny_purge"}},
		"sealed":         {sealed, stream.Options{}, []string{"sealed"}},
		"max deliver":    {consumerIs(func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 50 }), stream.Options{}, []string{"payouts-ticks", "max_deliver is 50, wanted 20"}},
		"no max deliver": {consumerIs(func(c *jetstream.ConsumerConfig) { c.MaxDeliver = -1; c.BackOff = nil }), stream.Options{}, []string{"max_deliver is -1"}},
		"deliver policy": {consumerIs(func(c *jetstream.ConsumerConfig) { c.DeliverPolicy = jetstream.DeliverNewPolicy }), stream.Options{}, []string{"deliver_policy"}},
		"filter":         {consumerIs(func(c *jetstream.ConsumerConfig) { c.FilterSubjects = []string{"agogo.tick.>"} }), stream.Options{}, []string{"filter_subjects is agogo.tick.>"}},
		"no filter":      {consumerIs(func(c *jetstream.ConsumerConfig) { c.FilterSubjects = nil }), stream.Options{}, []string{"filter_subjects is >"}},
		"memory":         {consumerIs(func(c *jetstream.ConsumerConfig) { c.MemoryStorage = true }), stream.Options{}, []string{"mem_storage"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := natstest.Server(t).JS
			c.before(t, js)
			c.o.Replicas = 1
			err := stream.Provision(t.Context(), js, c.o)
			if !errors.Is(err, stream.ErrRefused) {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in: %v", want, err)
				}
			}
			if _, err := js.Stream(t.Context(), stream.DLQ); !errors.Is(err, jetstream.ErrStreamNotFound) {
				t.Errorf("something was made all the same: %v", err)
			}
		})
	}
}

var subjectOf = map[string]string{stream.Ticks: "tick", stream.Commands: "cmd"}

func full(t *testing.T, js jetstream.JetStream) {
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream.Ticks, Subjects: []string{"agogo.tick.>"}, MaxBytes: 1 << 20, Discard: jetstream.DiscardNew}); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "agogo.tick.lebenis.payouts.daily", strings.Repeat("x", 500))
}

func sealed(t *testing.T, js jetstream.JetStream) {
	cfg := jetstream.StreamConfig{Name: stream.Ticks, Subjects: []string{"agogo.tick.>"}}
	if _, err := js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Sealed = true
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

func TestProvisionRefusesAnAgeThatCutsEventsOff(t *testing.T) {
	t.Parallel()
	// Nothing can be made old on a real server, so the rule is asked directly.
	now := time.Date(2025, 1, 25, 0, 0, 0, 0, time.UTC)
	info := func(age time.Duration, first time.Time, n uint64) *jetstream.StreamInfo {
		return &jetstream.StreamInfo{
			Config: jetstream.StreamConfig{Name: stream.Events, MaxAge: age}, TimeStamp: now, State: jetstream.StreamState{Msgs: n, FirstTime: first},
		}
	}
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		is      *jetstream.StreamInfo
		want    time.Duration
		refused bool
	}{
		"longer":                      {info(14*day, now.Add(-13*day), 5), 30 * day, false},
		"shorter, old ones there":     {info(14*day, now.Add(-13*day), 5), 7 * day, true},
		"shorter, nothing that old":   {info(14*day, now.Add(-3*day), 5), 7 * day, false},
		"shorter, empty":              {info(14*day, time.Time{}, 0), 7 * day, false},
		"unlimited to 7 d, old there": {info(0, now.Add(-13*day), 5), 7 * day, true},
		"7 d to unlimited":            {info(7*day, now.Add(-6*day), 5), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := stream.Limits(c.is, jetstream.StreamConfig{MaxAge: c.want, MaxBytes: -1})
			if errors.Is(err, stream.ErrRefused) != c.refused {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestProvisionRefusesOptionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	js := natstest.Server(t).JS
	for name, o := range map[string]stream.Options{
		"no limit":       {MaxBytes: map[string]int64{stream.Events: -1}},
		"unknown stream": {MaxBytes: map[string]int64{"EVENT": 1 << 30}},
		"age":            {EventsAge: time.Minute},
	} {
		if err := stream.Provision(t.Context(), js, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestConsumersAreSoundAndDoNotCompete(t *testing.T) {
	t.Parallel()
	types := map[string]bool{}
	for _, m := range event.Machines() {
		for _, tr := range m.Transitions {
			types[tr.Event.Aggregate()+"."+tr.Event.Name()] = true
		}
	}
	seen := map[string]bool{}
	for _, c := range stream.Consumers() {
		if seen[c.Durable] {
			t.Errorf("%s is there twice", c.Durable)
		}
		seen[c.Durable] = true
		if c.Service == "" || c.Workers < 1 || len(c.BackOff) == 0 || len(c.BackOff) > c.MaxDeliver || c.MaxAckPending < stream.Apart*c.Workers {
			t.Errorf("%+v", c)
		}
		for _, f := range c.Filter {
			tokens := strings.Split(f, ".")
			if c.Durable == stream.Notifier && !types[tokens[4]+"."+tokens[5]] {
				t.Errorf("%s waits for %s, which no machine emits", c.Durable, f)
			}
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a consumer that is not there did not panic")
		}
	}()
	stream.Consumer("nobody")
}

func config(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}
