package outbox_test

import (
	"testing"

	"github.com/agogopay/agogo/internal/outbox"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

func TestRelayPublishesEachMessageOnceAndInOrderPerKey(t *testing.T) {
	t.Parallel()
	b := newBed(t, natstest.Server(t).JS)
	b.stream("A")
	b.stream("B")
	o := b.outbox()
	want := map[string]int{}
	var msgs []outbox.Message
	for n := range 7 {
		for _, key := range []string{"x", "y", "z", "w", "v"} {
			msgs = append(msgs, message("A", key, n), message("B", key, n))
			want[key]++
		}
	}
	b.append(o, msgs...)
	b.run(o)
	b.awaitMarked(len(msgs))
	b.checkStream("A", want)
	b.checkStream("B", want)
}
