package outbox

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/agogopay/agogo/internal/crashpoint"
	"github.com/agogopay/agogo/internal/outbox/db"
	"github.com/agogopay/agogo/internal/stream"
)

const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
	maxStuck     = 200 // beyond it something is wrong with more than single messages, and the lane waits as a whole
	alarmEvery   = 10  // failures in a row between two alarms: most of a minute
)

// lane publishes what goes to one stream.
type lane struct {
	r      *relay
	stream string
	wake   chan struct{}
	failed int // batches in a row of which nothing went through

	// parked are parcels of which nothing is left but messages of keys that wait: they are not read until one of those is due.
	parked map[int64][]string

	mu    sync.Mutex
	stuck map[string]*stuckKey
}

// stuckKey is a key whose first message the stream does not take. Its messages wait, those of other keys go on.
type stuckKey struct {
	failed  int
	waiting bool // for its next try
}

func newLane(r *relay, stream string) *lane {
	return &lane{r: r, stream: stream, wake: make(chan struct{}, 1), stuck: map[string]*stuckKey{}, parked: map[int64][]string{}}
}

func (l *lane) awake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		}
		next := time.After(l.pace())
		for ctx.Err() == nil {
			more, err := l.step(ctx)
			if err != nil {
				l.backOff(ctx, err)
			} else if l.failed = 0; !more {
				break
			}
		}
		select {
		case <-ctx.Done():
		case <-next:
		}
	}
}

// eventPace is the least time between two batches of events. On a busy evening reading and marking a few costs as much as many.
const eventPace = 50 * time.Millisecond

// pace is how long a lane rests between two batches. Nobody's next step waits for an event; it does for a command or a tick.
func (l *lane) pace() time.Duration {
	if l.stream == stream.Events {
		return eventPace
	}
	return 0
}

// step relays one batch and tells whether there may be more. An error means that nothing went through.
func (l *lane) step(ctx context.Context) (more bool, err error) {
	held := l.r.leases.held()
	if len(held) == 0 || l.r.refused() {
		return false, nil // the next look wakes this lane again
	}
	if !l.r.js.Conn().IsConnected() {
		return false, errNoConnection // publishing would only fill the client's buffer with copies
	}
	// One look at what waits, for the reading and for the publishing: a key that becomes due in between would be published from
	// a later parcel before the one that was passed over.
	waiting := l.waitingKeys()
	params := db.BatchParams{Stream: l.stream, Parked: l.stillParked(waiting), Size: int32(l.r.cfg.Batch)}
	for part := range held {
		params.Parts = append(params.Parts, part)
	}
	rows, err := l.r.byIndex().Batch(ctx, params)
	if err != nil {
		return false, fmt.Errorf("read the outbox: %w", err)
	}
	if len(rows) == 0 {
		return false, nil
	}
	sent := l.publish(ctx, rows, held, waiting)
	if err := l.mark(ctx, rows, sent.acked); err != nil {
		return false, err // they will be published again, under the same ids
	}
	if err := l.settle(ctx, sent); err != nil {
		return false, err
	}
	return count(rows) >= l.r.cfg.Batch && ctx.Err() == nil, nil
}

// count is of all messages, published or not, as the reading counts them: a batch of parcels of which little is left is a full one.
func count(rows []db.BatchRow) (n int) {
	for _, r := range rows {
		n += len(r.Keys)
	}
	return n
}

// mark records what the stream has acknowledged, also when the context has ended meanwhile.
func (l *lane) mark(ctx context.Context, rows []db.BatchRow, acked []item) error {
	if len(acked) == 0 {
		l.park(rows, nil)
		return nil
	}
	crashpoint.Hit("outbox.after_publish")
	done := make(map[int64]map[int]bool, len(rows)) // places by parcel
	p := db.MarkParams{Oldest: acked[0].CreatedAt, Newest: acked[0].CreatedAt}
	for _, i := range acked {
		if done[i.Seq] == nil {
			done[i.Seq] = map[int]bool{}
		}
		done[i.Seq][i.at] = true
		if i.CreatedAt.Before(p.Oldest) {
			p.Oldest = i.CreatedAt
		}
		if i.CreatedAt.After(p.Newest) {
			p.Newest = i.CreatedAt
		}
	}
	some := db.MarkSomeParams{Oldest: p.Oldest, Newest: p.Newest}
	for _, row := range rows {
		switch rest := without(left(row), done[row.Seq]); {
		case len(rest) == 0 && row.Waiting == nil:
			p.Seqs = append(p.Seqs, row.Seq)
		case done[row.Seq] != nil:
			some.Seqs, some.Waiting = append(some.Seqs, row.Seq), append(some.Waiting, places(rest))
			some.Was = append(some.Was, was(row))
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	var err error
	if len(some.Seqs) > 0 {
		err = l.r.byIndex().MarkSome(ctx, some)
	}
	if err == nil && len(p.Seqs) > 0 {
		err = l.r.byIndex().Mark(ctx, p)
	}
	if err != nil {
		return fmt.Errorf("mark %d messages as published: %w", len(acked), err)
	}
	l.park(rows, done)
	l.r.metrics.published.WithLabelValues(l.r.cfg.Service, l.stream).Add(float64(len(acked)))
	return nil
}

func without(all []int, done map[int]bool) []int {
	return slices.DeleteFunc(all, func(at int) bool { return done[at] })
}

// places is the text of an array of places, which count from 1 in Postgres.
func places(of []int) string {
	texts := make([]string, len(of))
	for i, at := range of {
		texts[i] = strconv.Itoa(at + 1)
	}
	return "{" + strings.Join(texts, ",") + "}"
}

// was is the text of what waited when the parcel was read, empty for all of it.
func was(row db.BatchRow) string {
	if row.Waiting == nil {
		return ""
	}
	return places(left(row))
}

// park remembers whose messages are left of the parcels.
func (l *lane) park(rows []db.BatchRow, done map[int64]map[int]bool) {
	for _, row := range rows {
		delete(l.parked, row.Seq)
		for _, at := range without(left(row), done[row.Seq]) {
			if key := row.Keys[at]; !slices.Contains(l.parked[row.Seq], key) {
				l.parked[row.Seq] = append(l.parked[row.Seq], key)
			}
		}
	}
}

// stillParked lists the parcels that have nothing for us but keys that wait, and forgets the others.
func (l *lane) stillParked(waiting map[string]bool) []int64 {
	seqs := []int64{} // not nil: NULL would match nothing
	for seq, keys := range l.parked {
		if slices.ContainsFunc(keys, func(key string) bool { return !waiting[key] }) {
			delete(l.parked, seq)
			continue
		}
		seqs = append(seqs, seq)
	}
	return seqs
}

// settle decides whose fault the failures are. If anything went through, or the stream named the message, it is the
// message's: its key waits alone. Otherwise it is the stream's or the connection's, and the lane waits.
func (l *lane) settle(ctx context.Context, sent outcome) error {
	l.forget(sent.acked)
	for key, f := range sent.failed {
		l.r.metrics.retries.WithLabelValues(l.r.cfg.Service, l.stream, f.reason).Inc()
		if len(sent.acked) == 0 && !f.message || l.stuckCount() >= maxStuck {
			return f
		}
		l.hold(ctx, key, f)
	}
	return nil
}

func (l *lane) forget(acked []item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.stuck) == 0 {
		return
	}
	for _, i := range acked {
		delete(l.stuck, i.key())
	}
}

func (l *lane) stuckCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.stuck)
}

func (l *lane) waitingKeys() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := map[string]bool{}
	for key, s := range maps.All(l.stuck) {
		if s.waiting {
			keys[key] = true
		}
	}
	return keys
}

// hold keeps a key out of the batches until its next try is due.
func (l *lane) hold(ctx context.Context, key string, f failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.stuck[key]
	if !ok {
		s = &stuckKey{}
		l.stuck[key] = s
	}
	s.failed++
	s.waiting = true
	if f.message && s.failed == 1 || s.failed%alarmEvery == 0 {
		l.r.metrics.refused.WithLabelValues(l.r.cfg.Service, l.stream).Inc()
		l.r.deps.Logger.ErrorContext(ctx, "outbox message is refused: it and all later ones of its key wait",
			"stream", l.stream, "id", f.id, "subject", f.subject, "tries", s.failed, "err", f.err)
	}
	time.AfterFunc(backoff(s.failed), func() {
		l.mu.Lock()
		s.waiting = false
		l.mu.Unlock()
		l.awake()
	})
}

// backOff waits before the next batch. There is no last try: the row is there until the stream has it.
func (l *lane) backOff(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	l.failed++
	if l.failed == 1 {
		l.r.deps.Logger.WarnContext(ctx, "outbox retries", "stream", l.stream, "err", err)
	}
	if l.failed%alarmEvery == 0 {
		l.r.deps.Logger.ErrorContext(ctx, "outbox is stalled", "stream", l.stream, "tries", l.failed, "err", err)
	}
	t := time.NewTimer(backoff(l.failed))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func backoff(failed int) time.Duration {
	d := min(firstBackoff<<min(failed-1, 10), lastBackoff)
	return d/2 + rand.N(d/2)
}
