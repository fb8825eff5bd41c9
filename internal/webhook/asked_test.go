package webhook_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/webhook"
)

// inTx runs fn in a transaction.
func (b *bundle) inTx(t *testing.T, fn func(pgx.Tx) error) {
	t.Helper()
	if err := pgx.BeginFunc(t.Context(), b.pool, fn); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) askable(t *testing.T, name string, most int) (ids []string) {
	t.Helper()
	b.inTx(t, func(tx pgx.Tx) (err error) {
		ids, err = webhook.Askable(t.Context(), tx, b.clock.Now(), "lebenis", name, most)
		return err
	})
	slices.Sort(ids)
	return ids
}

func (b *bundle) unnamed(t *testing.T, missed bool) (oldest time.Time) {
	t.Helper()
	b.inTx(t, func(tx pgx.Tx) (err error) {
		oldest, err = webhook.Unnamed(t.Context(), tx, "lebenis", "orange", missed)
		return err
	})
	return oldest
}

func (b *bundle) answered(t *testing.T, told map[string]string, missed ...string) {
	t.Helper()
	b.inTx(t, func(tx pgx.Tx) error { return webhook.Answered(t.Context(), tx, "lebenis", "orange", told, missed) })
}

// Ids are asked about that webhooks wait by, the longest waiting first, once at a time, and again as often as the webhook is tried. What was told is not
// asked again, and what has left the queue holds nothing.
func TestIDsAreAskedAboutWhileTheirWebhooksWait(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wants := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	came := b.clock.Now()
	b.known["ref-known"] = webhook.Known
	b.post("POST", here, "Basic right", "id-1 id-2 ref-known")
	b.clock.Advance(time.Second)
	b.post("POST", here, "Basic right", "id-3")
	wants("not tried yet", b.askable(t, "orange", 10))
	b.step(t)
	wants("of another provider", b.askable(t, "wave", 10))
	wants("the longest waiting", b.askable(t, "orange", 2), "id-1", "id-2")
	wants("the next", b.askable(t, "orange", 2), "id-3")
	wants("at once again", b.askable(t, "orange", 2))
	if got := b.unnamed(t, false); !got.Equal(came) {
		t.Errorf("asked about, the first came at %v, want %v", got, came)
	}
	if got := b.unnamed(t, true); !got.IsZero() {
		t.Errorf("nothing was asked about in vain, and the first came at %v", got)
	}
	b.answered(t, map[string]string{"id-1": "ref-1", "id-2": ""}, "id-3")
	if got := b.unnamed(t, true); !got.Equal(came.Add(time.Second)) {
		t.Errorf("asked about in vain, the first came at %v", got)
	}
	for reference, want := range map[string]bool{"ref-1": true, "ref-2": false, "id-1": false} {
		if got, err := webhook.Named(t.Context(), b.pool, "lebenis", "orange", reference); err != nil || got != want {
			t.Errorf("%s is named: %t, %v", reference, got, err)
		}
	}
	asks := 0
	for range 26 * 60 {
		b.clock.Advance(time.Minute)
		b.step(t)
		ids := b.askable(t, "orange", 10)
		if asks += len(ids); slices.Contains(ids, "id-1") || slices.Contains(ids, "id-2") {
			t.Fatalf("asked again: %v", ids)
		}
	}
	if asks < 20 || asks > 40 {
		t.Errorf("asked about %d times in its day", asks)
	}
	if got := b.unnamed(t, false); !got.IsZero() {
		t.Errorf("given up, and the first came at %v", got)
	}
	b.answered(t, map[string]string{"id-3": "ref-3"}, "id-1")
	if named, err := webhook.Named(t.Context(), b.pool, "lebenis", "orange", "ref-1"); !named || err != nil {
		t.Errorf("an answer that fails has undone one that was told: %v", err)
	}
}

// Two replicas do not ask about the same id.
func TestAnIDIsAskedAboutByOneReplica(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.post("POST", here, "Basic right", "id-1")
	b.step(t)
	b.inTx(t, func(tx pgx.Tx) error {
		ids, err := webhook.Askable(t.Context(), tx, b.clock.Now(), "lebenis", "orange", 10)
		if err != nil || len(ids) != 1 {
			t.Errorf("the first has %v, %v", ids, err)
		}
		return err
	})
	if ids := b.askable(t, "orange", 10); len(ids) != 0 {
		t.Errorf("the second has %v", ids)
	}
}

// What was told is forgotten when webhooks of its age are.
func TestWhatIDsAreOfIsForgotten(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.post("POST", here, "Basic right", "id-1")
	b.step(t)
	b.askable(t, "orange", 10)
	b.answered(t, map[string]string{"id-1": "ref-1"})
	for _, c := range []struct {
		after time.Duration
		named bool
	}{{29 * 24 * time.Hour, true}, {2 * 24 * time.Hour, false}} {
		b.clock.Advance(c.after)
		if _, err := b.receiver.Retention().Delete(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		if named, err := webhook.Named(t.Context(), b.pool, "lebenis", "orange", "ref-1"); named != c.named || err != nil {
			t.Errorf("%v later: %t, %v", c.after, named, err)
		}
	}
}
