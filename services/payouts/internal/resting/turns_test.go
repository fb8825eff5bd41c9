package resting_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// turns is a payout that its provider has denied before a restore. It goes again only while the denial and what the provider says of the restore
// are both younger than an hour, and the provider falls silent for longer whenever it has said one of them.
type turns struct {
	*sending.Env
	t            *testing.T
	s            *sending.Sender
	asked, sends int
	quiet        time.Time // until then the provider does not answer
}

func newTurns(t *testing.T) *turns {
	t.Helper()
	f := &turns{Env: sending.NewOf(t, sending.Wave()), t: t}
	f.Config.LookupAfter = []time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute}
	for h := range 30 {
		f.Config.LookupAfter = append(f.Config.LookupAfter, time.Duration(h+1)*time.Hour)
	}
	f.s = f.Sender(sending.Hooks{Submit: func(context.Context, provider.Transfer, provider.Submitter) provider.Result {
		f.sends++
		return provider.Result{Class: provider.Ambiguous, Code: "timeout"}
	}, Lookup: func(context.Context, provider.Transfer, provider.Lookuper) (provider.Found, error) {
		if f.asked++; f.Clock.Now().Before(f.quiet) {
			return provider.Found{}, errors.New("no answer")
		}
		return provider.Found{}, nil
	}})
	f.Send(f.s, 1)
	f.SQL("UPDATE batches SET control = 'paused'")
	for range 20 {
		f.goOn(time.Minute)
	}
	if n := f.Count("SELECT count(*) FROM attempts WHERE state = 'not_sent' AND code = 'proven_never_created'"); n != 1 {
		t.Fatalf("not denied: %s", f.One())
	}
	now := f.Clock.Now()
	f.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
	f.SQL("UPDATE batches SET control = 'open'")
	return f
}

// goOn lets time pass, and has everything happen that happens by itself.
func (f *turns) goOn(d time.Duration) {
	f.t.Helper()
	f.Clock.Advance(d)
	if err := f.s.Prechecks.Pass(f.Ctx()); err != nil {
		f.t.Fatal(err)
	}
	f.Commands(f.s)
	f.Pass(f.s)
	f.SweepMoving(f.s)
}

// said is what the provider has said, and when.
func (f *turns) said() (said string) {
	f.t.Helper()
	f.InTx(func(tx pgx.Tx) error {
		return tx.QueryRow(f.Ctx(), `SELECT concat_ws(' ', a.state, a.denied_at, w.state, w.proven_at) FROM attempts a
			LEFT JOIN prechecks w ON w.subject_id = a.subject_id`).Scan(&said)
	})
	return said
}

// A denial and an absence that lapse in turns, each while the provider is asked about the other: a turn takes more than an hour, in which the
// provider is asked a few times, and when the day of the first send is over people decide. Nothing goes round for ever, and nothing is sent.
func TestWhatLapsesInTurnsComesToAnEnd(t *testing.T) {
	t.Parallel()
	f := newTurns(t)
	began, lapses, last, state := f.Clock.Now(), 0, f.said(), f.One()
	for f.Clock.Now().Sub(began) < 36*time.Hour && !strings.HasPrefix(state, "manual_review") {
		f.goOn(5 * time.Minute)
		if said := f.said(); said != last {
			last, f.quiet = said, f.Clock.Now().Add(70*time.Minute)
		}
		now := f.One()
		if now != state && now == "unknown/denial_lapsed" {
			lapses++
		}
		state = now
	}
	took := f.Clock.Now().Sub(began)
	if !strings.HasPrefix(state, "manual_review") || took > 26*time.Hour {
		t.Errorf("after %s it is %s", took, state)
	}
	if lapses < 3 || lapses > 24 {
		t.Errorf("it was in doubt anew %d times, want a few", lapses)
	}
	if f.asked > 20*(lapses+1) || f.sends != 1 {
		t.Errorf("asked %d times in %d turns, sent %d times", f.asked, lapses, f.sends)
	}
	t.Logf("%d turns in %s, asked %d times, then %s", lapses, took, f.asked, state)
	f.Check()
}
