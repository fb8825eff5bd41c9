package cli

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/agogopay/agogo/internal/event"
	"github.com/agogopay/agogo/internal/stream"
	"github.com/agogopay/agogo/internal/stream/natstest"
)

// fact is an event to be published; the zero id is the one that follows from the version.
type fact struct {
	of      string
	version int64
	body    string
	id      string
}

func tell(t *testing.T, js jetstream.JetStream, facts []fact) {
	t.Helper()
	for _, f := range facts {
		e := event.New(t.Context(), "payouts", "lebenis", "payout.succeeded", f.of, f.version, 0, time.Date(2025, 1, 24, 23, 59, 0, 0, time.UTC))
		if f.id != "" {
			e.ID = f.id
		}
		m := nats.NewMsg(e.StreamSubject())
		for k, v := range e.Headers() {
			m.Header[k] = []string{v}
		}
		if m.Data = []byte(f.body); f.body == "" {
			m.Data = []byte("{}")
		}
		if _, err := js.PublishMsg(t.Context(), m); err != nil { // without an id for JetStream, which would drop the second one
			t.Fatal(err)
		}
	}
}

// Promise 5, as far as a reader of the stream can judge it.
func TestEventsVerify(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first uint64 // of the stream; 0: it has its beginning
		facts []fact
		code  int
		says  string
	}{
		"whole":              {0, []fact{{"p", 1, "", ""}, {"q", 1, "", ""}, {"p", 2, "", ""}}, 0, "3 events of 2 aggregates, 0 gaps, 0 forks"},
		"told again":         {0, []fact{{"p", 1, "", ""}, {"p", 2, "", ""}, {"p", 2, "", ""}, {"p", 1, "", ""}, {"p", 3, "", ""}}, 0, "0 gaps, 0 forks"},
		"a gap":              {0, []fact{{"p", 1, "", ""}, {"p", 3, "", ""}}, 1, "p: version 3 follows 1"},
		"without beginning":  {0, []fact{{"p", 2, "", ""}}, 1, "p: version 2 follows 0"},
		"a fork":             {0, []fact{{"p", 1, "", ""}, {"p", 2, "", ""}, {"p", 2, "", "other"}}, 1, "1 forks"},
		"a fork, same id":    {0, []fact{{"p", 1, "", ""}, {"p", 2, "", ""}, {"p", 2, `{"state":"failed"}`, ""}}, 1, "p: version 2 is told twice"},
		"beginning expired":  {1000, []fact{{"p", 7, "", ""}, {"p", 8, "", ""}, {"q", 1, "", ""}}, 0, "0 gaps, 0 forks"},
		"expired, and a gap": {1000, []fact{{"p", 7, "", ""}, {"p", 9, "", ""}}, 1, "p: version 9 follows 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := natstest.Server(t)
			if _, err := n.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream.Events, Subjects: []string{"agogo.evt.>"}, FirstSeq: c.first}); err != nil {
				t.Fatal(err)
			}
			tell(t, n.JS, c.facts)
			code, said := siteOn(t, n).run("events", "verify")
			if code != c.code || !strings.Contains(said, c.says) {
				t.Errorf("exit %d, want %d and %q in\n%s", code, c.code, c.says, said)
			}
		})
	}
}

// unheard is a consumer that nobody answers for a number of times.
type unheard struct{ times, asked int }

func (u *unheard) Fetch(int, ...jetstream.FetchOpt) (jetstream.MessageBatch, error) {
	if u.asked++; u.asked <= u.times {
		return batch{nats.ErrNoResponders}, nil
	}
	return batch{}, nil
}

type batch struct{ err error }

func (batch) Messages() <-chan jetstream.Msg {
	c := make(chan jetstream.Msg)
	close(c)
	return c
}

func (b batch) Error() error { return b.err }

// A reader whose consumer was on a server that went does not take that for the end, nor for a fault.
func TestAReaderWaitsForAnElection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		each := func(jetstream.Msg) error { return nil }
		elected := &unheard{times: 9}
		if _, err := heard(t.Context(), elected, each, new(uint64)); err != nil || elected.asked != 10 {
			t.Errorf("asked %d times: %v", elected.asked, err)
		}
		gone := &unheard{times: 1 << 30}
		if _, err := heard(t.Context(), gone, each, new(uint64)); !errors.Is(err, nats.ErrNoResponders) || gone.asked != unheardMost+1 {
			t.Errorf("asked %d times: %v", gone.asked, err)
		}
	})
}

func TestEventsTailRefusesTypesThatDoNotExist(t *testing.T) {
	t.Parallel()
	n := natstest.Provisioned(t)
	s := siteOn(t, n)
	tell(t, n.JS, []fact{{"p", 1, "", ""}})
	for typ, want := range map[string]int{
		"payout.succeeded": 0, "payout.*": 0, "payout": 0, "*.succeeded": 0, "": 0,
		"nope": 2, "payout.nope": 2, "nope.*": 2, "payout.succeeded.x": 2, "*.nope": 2,
	} {
		code, said := s.run("events", "tail", "--follow=false", "--type", typ)
		if code != want || want == 0 && !strings.Contains(said, "payout.succeeded") || want == 2 && !strings.Contains(said, "docs/events") {
			t.Errorf("--type %q: exit %d, want %d\n%s", typ, code, want, said)
		}
	}
}
