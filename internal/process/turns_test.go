package process

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// line is what a database does: it gives the turn to one at a time, until who has it returns it or ends.
type line struct {
	mu    sync.Mutex
	head  *place
	away  bool
	takes time.Duration // for an answer, or for none
}

type place struct{ *line }

func (p *place) Take(context.Context) (bool, error) {
	<-time.After(p.takes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		p.head = nil
		return false, errors.New("no database")
	}
	if p.head == nil {
		p.head = p
	}
	return p.head == p, nil
}

func (p *place) Return(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.head == p {
		p.head = nil
	}
	return nil
}

func (l *line) goesAway() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = true
}

func (l *line) isFree() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head == nil
}

// ends waits until replicas have ended and says when each did. Between its end and its process's the turn stays taken.
func ends(t *testing.T, replicas []*watched, within, shutdown time.Duration) (at []time.Duration) {
	t.Helper()
	began, limit, ended := time.Now(), time.After(within), make(chan *watched)
	for _, w := range replicas {
		go func() {
			<-w.ended
			ended <- w
		}()
	}
	for range replicas {
		select {
		case w := <-ended:
			at = append(at, time.Since(began))
			time.AfterFunc(shutdown, func() { _ = w.place.Return(t.Context()) })
		case <-limit:
			t.Fatalf("%d of %d have ended within %s", len(at), len(replicas), within)
		}
	}
	return at
}

func TestReplicasEndOneAfterAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const spread, shutdown = 30 * time.Second, 10 * time.Second
		l := &line{}
		var replicas []*watched
		for range 8 {
			replicas = append(replicas, waiting(t, l, spread, fine))
		}
		for _, w := range replicas {
			w.write("second")
		}
		at := ends(t, replicas, 8*(spread+shutdown+2*watchEvery), shutdown)
		for i := range at[1:] {
			if gap := at[i+1] - at[i]; gap < spread+shutdown {
				t.Errorf("one ended %s after the one before it began to: %v", gap, at)
			}
		}
	})
}

// Nobody waits for ever for a replica that hangs, or for a database; and who has waited in vain does not end with all others.
func TestATurnThatNeverComes(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]*line{
		"somebody has it": {head: &place{}}, "no database": {away: true}, "a database that swallows what it is asked": {away: true, takes: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var replicas []*watched
				for range 8 {
					replicas = append(replicas, waiting(t, l, time.Minute, fine))
				}
				for _, w := range replicas {
					w.write("second")
				}
				at := ends(t, replicas, 21*time.Minute, time.Second)
				if at[0] < 10*time.Minute || len(slices.Compact(slices.Clone(at))) < 3 {
					t.Errorf("ended after %v", at)
				}
			})
		})
	}
}

// A database that fails over has forgotten whose turn it was: who had it has to take it anew, and waits anew.
func TestATurnThatIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &line{}
		w := waiting(t, l, 10*time.Second, fine)
		w.write("second")
		if w.endsWithin(8 * time.Second) {
			t.Fatal("it ended before its time")
		}
		l.goesAway()
		if w.endsWithin(5 * time.Minute) {
			t.Error("it ended with a turn that it had lost")
		}
	})
}

// A database that is slow to answer prolongs nothing: it is the time with the turn that counts, and not how often it is asked for.
func TestATurnOfASlowDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const spread, slow = 30 * time.Second, 9 * time.Second
		w := waiting(t, &line{takes: slow}, spread, fine)
		w.write("second")
		if w.endsWithin(watchEvery + slow + spread - time.Nanosecond) {
			t.Fatal("it ended before its time")
		}
		if !w.endsWithin(watchEvery + slow) {
			t.Error("each answer of the database is waited for")
		}
	})
}
