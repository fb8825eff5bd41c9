package outbox

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/outbox/db"
)

func testLane() *lane {
	o := &Outbox{cfg: Config{}.withDefaults(), metrics: newMetrics("test", nil), deps: Deps{Logger: slog.New(slog.DiscardHandler)}}
	return newLane(&relay{Outbox: o}, "A")
}

func TestSettleBlamesTheMessageOrTheStream(t *testing.T) {
	t.Parallel()
	ok := []item{{BatchRow: &db.BatchRow{Keys: []string{"ok"}}}}
	refused, down := failure{reason: "refused", message: true, err: errors.New("too large")}, failure{reason: "no_stream", err: jetstream.ErrNoStreamResponse}
	for name, tc := range map[string]struct {
		sent      outcome
		laneWaits bool
		stuck     int
	}{
		"all well":                          {outcome{acked: ok}, false, 0},
		"refused, others went":              {outcome{acked: ok, failed: map[string]failure{"a": refused}}, false, 1},
		"refused, alone":                    {outcome{failed: map[string]failure{"a": refused}}, false, 1},
		"no answer at all":                  {outcome{failed: map[string]failure{"a": down, "b": down}}, true, 0},
		"no answer for one, others went":    {outcome{acked: ok, failed: map[string]failure{"a": down}}, false, 1},
		"more refused than can be messages": {outcome{acked: ok, failed: many(maxStuck+1, refused)}, true, maxStuck},
	} {
		l := testLane()
		if err := l.settle(t.Context(), tc.sent); (err != nil) != tc.laneWaits || l.stuckCount() != tc.stuck {
			t.Errorf("%s: error %v, %d keys held, want %v and %d", name, err, l.stuckCount(), tc.laneWaits, tc.stuck)
		}
	}
}

func many(n int, f failure) map[string]failure {
	m := map[string]failure{}
	for i := range n {
		m[fmt.Sprint(i)] = f
	}
	return m
}

func TestHeldKeyIsTriedLaterAndLaterAndForgottenWhenItGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := testLane()
		refused := outcome{failed: map[string]failure{"a": {message: true}}}
		var waits []time.Duration
		for range 9 {
			if err := l.settle(t.Context(), refused); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]bool{"a": true}, l.waitingKeys()); diff != "" {
				t.Fatal(diff)
			}
			begin := time.Now()
			<-l.wake
			waits = append(waits, time.Since(begin))
			if keys := l.waitingKeys(); len(keys) != 0 {
				t.Fatalf("%v is due and still held", keys)
			}
		}
		for i, w := range waits {
			want := min(firstBackoff<<i, lastBackoff)
			if w < want/2 || w > want {
				t.Errorf("wait %d was %s, want between %s and %s", i, w, want/2, want)
			}
		}
		if err := l.settle(t.Context(), outcome{acked: []item{{BatchRow: &db.BatchRow{Keys: []string{"a"}}}}}); err != nil || l.stuckCount() != 0 {
			t.Errorf("after success: %v, %d keys remembered", err, l.stuckCount())
		}
	})
}

func TestClassify(t *testing.T) {
	t.Parallel()
	type verdict struct {
		Reason  string
		Message bool
	}
	for _, tc := range []struct {
		err  error
		want verdict
	}{
		{&jetstream.APIError{Code: 503, ErrorCode: 10077}, verdict{"full", false}},
		{&jetstream.APIError{Code: 409, ErrorCode: 10158}, verdict{"in_process", true}},
		{&jetstream.APIError{Code: 400, ErrorCode: 10060}, verdict{"refused", true}},
		{&jetstream.APIError{Code: 400, ErrorCode: 10054}, verdict{"refused", true}},
		{&jetstream.APIError{Code: 503, ErrorCode: 10008}, verdict{"unavailable", false}},
		{jetstream.ErrNoStreamResponse, verdict{"no_stream", false}},
		{jetstream.ErrAsyncPublishTimeout, verdict{"timeout", false}},
		{jetstream.ErrTooManyStalledMsgs, verdict{"stalled", false}},
		{nats.ErrDisconnected, verdict{"disconnected", false}},
		{nats.ErrConnectionClosed, verdict{"disconnected", false}},
		{nats.ErrMaxPayload, verdict{"refused", true}},
		{nats.ErrBadSubject, verdict{"refused", true}},
		{errHeader, verdict{"refused", true}},
	} {
		var got verdict
		if got.Reason, got.Message = classify(fmt.Errorf("outer: %w", tc.err)); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.err, got, tc.want)
		}
	}
}

func TestPartsSpreadAndStay(t *testing.T) {
	t.Parallel()
	seen := map[int16]int{}
	for i := range 16_000 {
		seen[partOf(fmt.Sprintf("tenant-%d/payout/0198", i))]++
	}
	if len(seen) != parts {
		t.Errorf("%d parts used", len(seen))
	}
	for part, n := range seen {
		if n < 700 || n > 1300 {
			t.Errorf("part %d has %d of 16000 tenants", part, n)
		}
	}
	for _, key := range []string{"lebenis/payout/0198", "lebenis/payee/7", "lebenis"} {
		if got := partOf(key); got != 15 {
			t.Errorf("part %d of %s: it must not change, or two relays would share a key after an upgrade", got, key)
		}
	}
}

// A parcel is left alone while all that is left of it waits, and read again as soon as one of its keys is due.
func TestParcelsOfKeysThatWaitAreParked(t *testing.T) {
	t.Parallel()
	l := testLane()
	rows := []db.BatchRow{{Seq: 1, Keys: []string{"a", "b", "c"}}, {Seq: 2, Keys: []string{"b"}, Waiting: []int32{1}}, {Seq: 3, Keys: []string{"a"}}}
	l.park(rows, map[int64]map[int]bool{1: {0: true}, 3: {0: true}})
	for _, c := range []struct {
		waiting map[string]bool
		want    []int64
	}{
		{map[string]bool{"b": true, "c": true}, []int64{1, 2}},
		{map[string]bool{"b": true}, []int64{2}},
		{map[string]bool{"b": true, "c": true}, []int64{2}}, // the first one is to be looked at again
		{map[string]bool{}, []int64{}},
	} {
		got := l.stillParked(c.waiting)
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("while %v wait: %s", c.waiting, diff)
		}
	}
}

func FuzzHeaderLines(f *testing.F) {
	f.Add("ce-id", "a:b", "empty", "")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		want := map[string]string{k1: v1, k2: v2}
		text, err := lines(want, nil)
		if err != nil {
			return
		}
		got, err := header(text)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%q became %v, %v", want, got, err)
		}
		for k, v := range want {
			if len(got[k]) != 1 || got[k][0] != v {
				t.Errorf("%q: %q became %q", k, v, got[k])
			}
		}
	})
}
