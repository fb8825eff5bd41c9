package resting_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agogopay/agogo/internal/pg/pgtest"
	"github.com/agogopay/agogo/internal/provider"
	"github.com/agogopay/agogo/internal/webhook"
	"github.com/agogopay/agogo/services/payouts/internal/payout"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

// Absent is believed for an hour, unless a webhook says otherwise meanwhile: whoever ends it then is refused, and the provider asked anew.
func TestAWebhookEndsAnAbsence(t *testing.T) {
	t.Parallel()
	blind := &atomic.Bool{}
	blind.Store(true)
	s := rest(t, 1, "held", true, sending.Hooks{Lookup: sees(blind)})
	s.asks(3)
	if n := s.Count("SELECT count(*) FROM prechecks WHERE state = 'absent'"); n != 1 {
		t.Fatalf("%d absent", n)
	}
	s.InTx(func(tx pgx.Tx) error {
		fates, err := s.s.Worker.Match(s.Ctx(), tx, payoutstest.Tenant, s.Config.Name, []webhook.Notice{{
			Reference: payout.Reference(s.id(), 1), Says: provider.Found{Exists: true, Result: provider.Result{Class: provider.Succeeded}},
		}})
		if got := fates[payout.Reference(s.id(), 1)]; got != webhook.Asked {
			t.Errorf("the webhook's fate is %d", got)
		}
		return err
	})
	blind.Store(false) // whoever asks now is told
	if err := s.end(); err == nil {
		t.Errorf("ended a minute after the provider's webhook said that it was paid: %d payments are free", s.free())
	}
	s.Dispatch(s.s, s.Run(payoutstest.Daily("2025-01-25T23:59:00Z")))
	s.asks(4)
	moved := 0
	for _, entry := range s.Book() {
		moved += entry.Moved
	}
	if moved != 1 {
		t.Errorf("money moved %d times for one payment", moved)
	}
}

// The same of what is about to be sent, under its own reference, at a provider that does not deduplicate.
func TestAWebhookEndsAnAbsenceBeforeASend(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	restore := pgtest.Backup(t, e.Pool)
	e.Send(e.Sender(), 1)
	restore()
	now := e.Clock.Now()
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
	blind := &atomic.Bool{}
	blind.Store(true)
	sends := 0
	s := &scene{Env: e, t: t, s: e.Sender(sending.Hooks{Lookup: sees(blind), Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		sends++
		return real.Submit(ctx, tr)
	}})}
	s.run = e.Plan(1)
	e.SQL("UPDATE batches SET control = 'paused'")
	s.asks(3)
	if n := s.Count("SELECT count(*) FROM prechecks WHERE state = 'absent'"); n != 1 {
		t.Fatalf("%d absent", n)
	}
	s.InTx(func(tx pgx.Tx) error {
		_, err := s.s.Worker.Match(s.Ctx(), tx, payoutstest.Tenant, s.Config.Name, []webhook.Notice{{Reference: payout.Reference(s.id(), 1)}})
		return err
	})
	blind.Store(false)
	e.SQL("UPDATE batches SET control = 'open'")
	e.Dispatch(s.s, s.run)
	s.asks(2)
	moved := 0
	for _, entry := range s.Book() {
		moved += entry.Moved
	}
	if sends != 0 || moved != 1 {
		t.Errorf("sent %d times after a webhook had spoken of it; money moved %d times: %s", sends, moved, s.One())
	}
}

// Whatever a page of answers says that was being read when the webhook came, it is not believed; nor is a webhook of a later reference passed over.
func TestAnAnswerFromBeforeAWebhookIsNotRecorded(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 3; n++ {
		var s *scene
		var heard atomic.Bool
		s = rest(t, 1, "held", false, sending.Hooks{Lookup: func(ctx context.Context, tr provider.Transfer, real provider.Lookuper) (provider.Found, error) {
			if s.Count("SELECT count(*) FROM prechecks WHERE absent_reads > 0") == 1 && !heard.Swap(true) { // the read that would prove it
				s.speaks(n)
			}
			return real.Lookup(ctx, tr)
		}})
		for range 6 {
			s.SweepOnly()
			if err := s.s.Prechecks.Pass(s.Ctx()); err != nil {
				t.Fatal(err)
			}
			if heard.Load() {
				break
			}
			s.Clock.Advance(settled)
		}
		if got := s.Count("SELECT count(*) FROM prechecks WHERE state = 'asking' AND absent_reads = 0 AND version > 0"); !heard.Load() || got != 1 {
			t.Errorf("attempt %d: what was being read when the webhook came is recorded", n)
		}
		s.asks(3)
		if err := s.end(); err != nil {
			t.Errorf("attempt %d: it was asked since, and cannot be ended: %v", n, err)
		}
	}
}

// What was sent since it was proven absent has lookups of its own: its webhooks open no question about the restore.
func TestAWebhookOfWhatWasSentSinceAsksNothing(t *testing.T) {
	t.Parallel()
	s := rest(t, 1, "approved", false)
	s.asks(3)
	s.SQL("UPDATE batches SET control = 'open'")
	s.Dispatch(s.s, s.run)
	s.asks(1)
	s.wants("succeeded", 0)
	s.speaks(1)
	if n := s.Count("SELECT count(*) FROM prechecks WHERE state <> 'absent'"); n != 0 {
		t.Error("it is asked about, though it was sent")
	}
}

// speaks is a webhook about the n-th reference of the first payout.
func (s *scene) speaks(n int) {
	s.t.Helper()
	s.speaksOf(payout.Reference(s.id(), n))
}

func (s *scene) speaksOf(reference string) {
	s.t.Helper()
	s.InTx(func(tx pgx.Tx) error {
		_, err := s.s.Worker.Match(s.Ctx(), tx, payoutstest.Tenant, s.Config.Name, []webhook.Notice{{Reference: reference}})
		return err
	})
}

// A webhook that came before its reference was asked about waits for its next try, at most an hour. What it says is heard before absence is
// proven: the payout is not sent a second time.
func TestAWebhookThatWaitsIsHeardBeforeASend(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	restore := pgtest.Backup(t, e.Pool)
	e.Send(e.Sender(), 1)
	sent := payout.Reference((&scene{Env: e, t: t}).id(), 1)
	restore()
	now := e.Clock.Now()
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
	blind := &atomic.Bool{}
	blind.Store(true)
	sends := 0
	s := &scene{Env: e, t: t, s: e.Sender(sending.Hooks{Lookup: sees(blind), Submit: func(ctx context.Context, tr provider.Transfer, real provider.Submitter) provider.Result {
		sends++
		return real.Submit(ctx, tr)
	}})}
	hooks := s.receiver()
	e.SQL("INSERT INTO webhooks (tenant, provider, digest, body, refs, received_at) VALUES ($1, $2, '', '', ARRAY[$3, 'of-nobody'], $4)",
		payoutstest.Tenant, s.Config.Name, sent, now.Add(-50*time.Minute))
	e.SQL("INSERT INTO webhook_queue (webhook_id, next_try_at) SELECT id, received_at FROM webhooks")
	s.matches(hooks)
	s.run = e.Plan(1)
	e.Dispatch(s.s, s.run)
	for range 3 { // the last of them would prove it
		if err := s.s.Prechecks.Pass(s.Ctx()); err != nil {
			t.Fatal(err)
		}
		s.Clock.Advance(settled)
	}
	e.Dispatch(s.s, s.run)
	if sends != 0 {
		t.Errorf("sent %d times, though a webhook that speaks of it is stored: %s", sends, s.One())
	}
	blind.Store(false)
	s.matches(hooks)
	s.asks(3)
	e.Dispatch(s.s, s.run)
	s.asks(1)
	if n := len(s.Book()); sends != 0 || n != 1 || s.One() != "succeeded" {
		t.Errorf("sent %d times, %d transfers in the provider's book, and it is %s", sends, n, s.One())
	}
}

// One that goes on waiting for what else it names has been heard, and keeps nothing back: what is absent is sent.
func TestAWebhookThatWasHeardKeepsNothingBack(t *testing.T) {
	t.Parallel()
	e := sending.New(t)
	now := e.Clock.Now()
	e.SQL("INSERT INTO restore_marks VALUES (1, $1, $2, $3, 'test', 'user:test')", now, now.Add(-time.Hour), now.AddDate(0, 0, 2))
	s := &scene{Env: e, t: t, s: e.Sender()}
	hooks := s.receiver()
	s.run = e.Plan(1)
	e.SQL("INSERT INTO webhooks (tenant, provider, digest, body, refs, received_at) VALUES ($1, $2, '', '', ARRAY[$3, 'of-nobody'], $4)",
		payoutstest.Tenant, s.Config.Name, payout.Reference(s.id(), 2), now.Add(-50*time.Minute))
	e.SQL("INSERT INTO webhook_queue (webhook_id, next_try_at) SELECT id, received_at FROM webhooks")
	s.matches(hooks)
	e.Dispatch(s.s, s.run)
	for range 7 {
		s.asks(1)
		s.matches(hooks)
	}
	e.Dispatch(s.s, s.run)
	s.asks(1)
	if s.One() != "succeeded" || s.Count("SELECT count(*) FROM webhook_queue") != 1 {
		t.Errorf("it is %s, and %d webhooks wait", s.One(), s.Count("SELECT count(*) FROM webhook_queue"))
	}
}

// References are kept while a webhook about one of them would say something new, and noted again when their question is put anew.
func TestReferencesAreForgottenWhenTheyTellNothingAnyMore(t *testing.T) {
	t.Parallel()
	s := rest(t, 5, "held", false)
	s.asks(3)
	if n := s.Count("SELECT count(*) FROM precheck_references"); n != 5*5 {
		t.Fatalf("%d references", n)
	}
	month := 30 * 24 * time.Hour
	ids := make([]uuid.UUID, 0, 5)
	for id := range s.Payouts() {
		ids = append(ids, uuid.MustParse(id))
	}
	s.SQL("UPDATE prechecks SET proven_at = $1", s.Clock.Now().Add(-month-time.Second))
	s.SQL("UPDATE prechecks SET proven_at = $1 WHERE subject_id = $2", s.Clock.Now().Add(-month), ids[1])
	s.SQL("UPDATE prechecks SET state = 'asking' WHERE subject_id = $1", ids[2])
	s.SQL("UPDATE prechecks SET state = 'found', found = 1 WHERE subject_id = $1", ids[3])
	s.SQL("UPDATE prechecks SET state = 'adopted', found = 1, proven_at = NULL WHERE subject_id = $1", ids[4])
	rule := s.s.Prechecks.Gate.Retention(s.Pool)
	forget := func(limit int32, want int64) {
		t.Helper()
		if n, err := rule.Delete(t.Context(), limit); err != nil || n != want {
			t.Errorf("forgot %d of at most %d, want %d: %v", n, limit, want, err)
		}
	}
	s.InTx(func(tx pgx.Tx) error { // a question that somebody puts anew at this moment
		_, err := tx.Exec(s.Ctx(), "SELECT FROM prechecks WHERE subject_id = $1 FOR UPDATE", ids[0])
		forget(100, 5)
		return err
	})
	forget(3, 3)
	forget(3, 2)
	forget(3, 0)
	if n := s.Count("SELECT count(*) FROM precheck_references WHERE subject_id = ANY($1)", ids[1:4]); n != 3*5 {
		t.Errorf("%d references of what is asked about, found or was denied less than a month ago", n)
	}
	s.SQL("UPDATE prechecks SET wanted = true WHERE subject_id = $1", ids[0])
	s.asks(1)
	if n := s.Count("SELECT count(*) FROM precheck_references WHERE subject_id = $1", ids[0]); n != 5 {
		t.Errorf("%d references are noted of what is asked about anew", n)
	}
}

// receiver matches what was stored.
func (s *scene) receiver() *webhook.Receiver {
	return webhook.New("payouts", nil, webhook.Deps{
		Pool: s.Pool, Clock: s.Clock, Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Match: s.s.Worker.Match,
	})
}

func (s *scene) matches(r *webhook.Receiver) {
	s.t.Helper()
	if _, err := r.Step(s.Ctx()); err != nil {
		s.t.Fatal(err)
	}
}
