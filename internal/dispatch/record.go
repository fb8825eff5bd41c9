package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/crashpoint"
	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/internal/provider"
)

// record takes answers as they come and commits them in batches: while one batch is being written the next one gathers.
// Slots are given back when outcomes are committed, not when answers arrive, for until then a crash forgets them.
func (l *lane) record(ctx context.Context) {
	for first := range l.answers {
		batch := l.gather(first)
		again := l.persist(ctx, batch, true)
		l.recorded = true
		l.slots.Free(len(batch) - again)
		l.open.Add(int64(-len(batch)))
		l.sending.Add(-len(batch))
		select {
		case l.progress <- struct{}{}:
		default:
		}
	}
}

// A transaction costs about the same for one answer as for twenty, so a batch of answers waits for more. A provider that takes
// its time is not kept waiting for longer than gatherFor, nor for longer than gatherLull after its last answer, for the slots of
// what has been answered stand idle: what was sent together is answered together, and then nothing for a while. One that answers
// quickly answers all of what was claimed together within gatherQuick, and a few of its answers in a transaction of their own
// would cost more than they gain.
const (
	gatherFor   = 5 * time.Millisecond
	gatherLull  = 1500 * time.Microsecond
	gatherQuick = 20 * time.Millisecond
	quick       = 40 * time.Millisecond
)

// gather takes the answers of the next moment, and does not wait when nothing else is open.
func (l *lane) gather(first answer) []answer {
	batch := []answer{first}
	wait, quiet := gatherFor, gatherLull
	if first.took < quick {
		wait, quiet = gatherQuick, gatherQuick
	}
	patience, lull := time.NewTimer(wait), time.NewTimer(quiet)
	defer patience.Stop()
	defer lull.Stop()
	for len(batch) < min(l.d.RecordMost, int(l.open.Load())) {
		select {
		case a, ok := <-l.answers:
			if !ok {
				return batch
			}
			batch = append(batch, a)
			lull.Reset(quiet)
		case <-lull.C:
			return batch
		case <-patience.C:
			return batch
		}
	}
	return batch
}

// persist writes a batch. If it cannot be written for a reason that time does not cure, its answers are written one by one,
// so that a defective one costs nothing but itself. It returns how many of the batch's slots are taken again, where that may be.
func (l *lane) persist(ctx context.Context, batch []answer, refill bool) (again int) {
	now := l.d.Clock.Now()
	for i := range batch {
		batch[i].notBefore, batch[i].rest = l.later(batch[i], now)
	}
	var err error
	done := false
	if refill {
		again, done = l.refill(ctx, batch)
	}
	if !done {
		err = l.commit(ctx, batch)
	}
	switch {
	case err == nil:
		crashpoint.Hit(l.d.Service + ".after_outcome_commit")
		l.d.Outbox.Nudge()
		l.release(batch)
	case len(batch) > 1 && !pg.Transient(err):
		for i := range batch {
			l.persist(ctx, batch[i:i+1], false)
		}
	default:
		l.d.Logger.ErrorContext(ctx, l.d.Service+": outcomes are not recorded; the attempts are taken over and looked up when their lease ends",
			"run", l.Run.ID, "provider", l.Connector.Provider, "outcomes", len(batch), "error", err)
		l.stopAlone(ctx, batch)
	}
	return again
}

// errHalted means that an answer asked to stop, and that nobody but this lane could be told.
var errHalted = errors.New("an answer asked to stop its connector, and neither it nor the stop could be recorded")

// stopAlone stops the connector where the outcome that asks for it is not recorded. Others would go on calling, and this lane would claim and
// call off for ever. Where that cannot be written either the lane ends; its command comes again.
func (l *lane) stopAlone(ctx context.Context, batch []answer) {
	var stops []provider.Result
	for _, a := range batch {
		if a.result.Stop {
			stops = append(stops, a.result)
		}
	}
	if len(stops) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	err := pg.InTx(ctx, l.d.Pool, func(tx pgx.Tx) error {
		_, err := l.d.States.Observe(ctx, tx, l.Connector.Connector, stops)
		return err
	})
	if err != nil {
		l.halted.Store(true)
		l.d.Logger.ErrorContext(ctx, l.d.Service+": a connector is not stopped though an answer asks for it; stop it by hand",
			"run", l.Run.ID, "provider", l.Connector.Provider, "error", err)
		return
	}
	l.d.Outbox.Nudge()
}

// commit is transaction B, tried until it succeeds or is of no use any more. The database may be away for a while; the
// answers are in this process only. Once the lease is long over others have asked the provider themselves. A commit whose
// outcome stays open is made again, which is harmless: only a send that is still open can be closed.
func (l *lane) commit(ctx context.Context, batch []answer) error {
	ctx, cancel := context.WithTimeout(ctx, 2*l.Connector.Policy.Lease+time.Minute)
	defer cancel()
	pause := 50 * time.Millisecond
	for {
		err := pg.InTx(ctx, l.d.Pool, func(tx pgx.Tx) error { return l.outcomes(ctx, tx, batch) })
		if err == nil || !pg.Transient(err) {
			return err
		}
		l.d.Logger.WarnContext(ctx, l.d.Service+": recording outcomes failed, trying again", "run", l.Run.ID, "outcomes", len(batch), "in", pause, "error", err)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// release makes what was not sent claimable again, now that the database says so too.
func (l *lane) release(batch []answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range batch {
		if a.result.Class != provider.NotSent {
			continue
		}
		if !a.rest.IsZero() && !a.late {
			l.rest[a.attempt.Subject] = a.rest
		}
		l.again.Store(true) // also when it was late: a claim that was not committed has left its rows as they were
	}
}

func (l *lane) outcomes(ctx context.Context, tx pgx.Tx, batch []answer) error {
	now := l.d.Clock.Now()
	outcomes := make([]attempt.Outcome, 0, len(batch))
	for _, a := range batch {
		outcomes = append(outcomes, l.outcome(a, now))
	}
	recorded, err := attempt.Record(ctx, tx, now, outcomes)
	if err != nil {
		return err
	}
	moved, late := l.split(batch, outcomes, recorded)
	if err := l.d.Book.Apply(ctx, tx, moved); err != nil {
		return err
	}
	if len(late) > 0 {
		if err := l.d.Book.Late(ctx, tx, late); err != nil {
			return err
		}
	}
	results := make([]provider.Result, 0, len(batch))
	for _, a := range batch {
		results = append(results, a.result)
	}
	if err := l.watch(ctx, tx, results); err != nil { // it may lock more of the book, and the connector's row comes after all of that
		return err
	}
	if _, err := l.d.States.Observe(ctx, tx, l.Connector.Connector, results); err != nil {
		return err
	}
	for _, a := range batch { // one at most: while it is open nobody begins another
		if !a.trial {
			continue
		}
		if err := l.d.States.EndTrial(ctx, tx, l.Connector.Connector, l.owner, a.result); err != nil {
			return err
		}
	}
	return nil
}

// outcome is the attempt's next state. Whatever is neither proof nor a promise of the provider is doubt.
func (l *lane) outcome(a answer, now time.Time) attempt.Outcome {
	o := attempt.Outcome{Key: a.attempt.Key, Owner: a.owner, Sends: a.attempt.Sends, Result: a.result}
	switch a.result.Class {
	case provider.NotSent:
		o.State = attempt.NotSent
	case provider.RejectedFinal, provider.RejectedRetryable:
		o.State = attempt.Failed
	case provider.Succeeded:
		o.State = attempt.Succeeded
	case provider.Accepted:
		o.State = attempt.Processing
	default:
		o.State = attempt.Unknown
	}
	if o.State.Open() {
		next := l.Connector.Policy.NextLookup(a.attempt.SubmittedAt, now)
		o.NextLookup = &next
	}
	return o
}

// split separates the outcomes that closed their send from those that came after somebody else had taken over.
func (l *lane) split(batch []answer, outcomes []attempt.Outcome, recorded []attempt.Attempt) (moved []attempt.Moved, late []attempt.Outcome) {
	byKey := make(map[attempt.Key]attempt.Attempt, len(recorded))
	for _, a := range recorded {
		byKey[a.Key] = a
	}
	sent := make(map[attempt.Key]bool, len(batch)) // by a claim that is there: the lost one beside it was rolled back
	for _, a := range batch {
		if !a.lost {
			sent[a.attempt.Key] = true
		}
	}
	for i, a := range batch {
		rec, ok := byKey[a.attempt.Key]
		ok = ok && (!a.lost || !sent[a.attempt.Key])
		if batch[i].late = !ok; !ok {
			late = append(late, outcomes[i])
			continue
		}
		moved = append(moved, attempt.Moved{Attempt: rec, Result: a.result, NotBefore: a.notBefore})
	}
	return moved, late
}

// later decides when a row that was not sent goes again. Short pauses are kept in this process, for the page is being
// worked on and its run stays open; longer ones are written down and count as waiting.
func (l *lane) later(a answer, now time.Time) (notBefore *time.Time, rest time.Time) {
	if a.result.Class != provider.NotSent || a.calledOff || a.result.Stop || a.result.SlowDown {
		return nil, time.Time{} // the next claim finds what is in the way: a stop, or a connector that rests
	}
	until := now.Add(max(a.result.RetryAfter, backoff(a.attempt.Sends)))
	if until.Sub(now) > l.d.Patience {
		return &until, time.Time{}
	}
	return nil, until
}

// backoff doubles with every send, from 1 s to 10 min.
func backoff(sends int) time.Duration {
	return min(time.Second<<min(sends-1, 20), 10*time.Minute)
}

// watch tells the book how many faults in a row there were. Sends that provably never left are no faults here: the
// connector rests then, and nothing is in doubt.
func (l *lane) watch(ctx context.Context, tx pgx.Tx, results []provider.Result) error {
	faults, answered := 0, false
	for _, r := range results {
		switch {
		case r.Class == provider.NotSent:
		case r.Fault():
			faults++
		default:
			faults, answered = 0, true
		}
	}
	return l.d.Book.Watch(ctx, tx, l.Lane, faults, answered)
}
