package cli

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/stream"
)

// verifyEvents reads EVENTS from its beginning: per aggregate and epoch, versions must count up by one, and each be told
// once. What is told again word for word is a redelivery and fine. After a restore the tables go on from a version that they still
// knew, in a new epoch: it begins after one that was told in an epoch before.
func (a *app) verifyEvents(ctx context.Context) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	cut, err := a.beginsLater(ctx, stream.Events)
	if err != nil {
		return err
	}
	v := versions{cut: cut, last: map[aggregate]told{}, fault: func(format string, args ...any) { fmt.Fprintf(a.Err, format+"\n", args...) }}
	err = a.read(ctx, stream.Events, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}, false, func(m jetstream.Msg) error {
		e, err := event.ParseHeaders(m.Headers().Get)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Subject(), err)
		}
		v.see(e, m.Data())
		return nil
	})
	if err != nil {
		return err
	}
	line := fmt.Sprintf("%d events of %d aggregates, %d gaps, %d forks", v.events, len(v.last), v.gaps, v.forks)
	err = a.summary(line, map[string]int{"events": v.events, "aggregates": len(v.last), "gaps": v.gaps, "forks": v.forks})
	if err != nil {
		return err
	}
	if v.gaps+v.forks > 0 {
		return errFailed
	}
	return nil
}

// beginsLater reports whether the beginning of a stream has expired. From its archive on such a stream is whole; here,
// aggregates older than the stream begin with whatever version came first.
func (a *app) beginsLater(ctx context.Context, name string) (bool, error) {
	js, done, err := a.jetStream(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	s, err := stream.Find(ctx, js, name)
	if err != nil {
		return false, fmt.Errorf("stream %s: %w", name, err)
	}
	return s.CachedInfo().State.FirstSeq > 1, nil
}

// aggregate is what versions belong to.
type aggregate struct {
	tenant, kind, id string
	epoch            int
}

// told is an aggregate's newest event. Its id follows from the version, so two stories of one version mostly share it, and
// are told apart by their words.
type told struct {
	version int64
	id      string
	words   [sha256.Size]byte
}

// versions checks events in the order of the stream.
type versions struct {
	cut   bool // the stream's beginning has expired
	last  map[aggregate]told
	fault func(format string, args ...any)

	events, gaps, forks int
}

func (v *versions) see(e event.Envelope, body []byte) {
	v.events++
	k := aggregate{e.Tenant, e.Type.Aggregate(), e.Subject, e.Epoch}
	now := told{version: e.Version, id: e.ID, words: sha256.Sum256(append([]byte(e.Type+"\n"), body...))}
	before, known := v.last[k]
	switch {
	case !known && (v.cut || v.continues(k, e.Version)):
	case e.Version > before.version+1:
		v.gaps++
		v.fault("%s %s %s: version %d follows %d", e.Tenant, e.Type, e.Subject, e.Version, before.version)
	case e.Version == before.version && now != before:
		v.forks++
		v.fault("%s %s %s: version %d is told twice, as %s and as %s, and differently", e.Tenant, e.Type, e.Subject, e.Version, before.id, e.ID)
	}
	if !known || e.Version > before.version {
		v.last[k] = now
	}
}

// continues reports whether a version is the first of its epoch and follows one of an epoch before.
func (v *versions) continues(k aggregate, version int64) bool {
	for epoch := range k.epoch {
		earlier := k
		earlier.epoch = epoch
		if t, told := v.last[earlier]; told && t.version >= version-1 {
			return true
		}
	}
	return false
}
