package store_test

import (
	"regexp"
	"testing"

	"github.com/agogopay/agogo/services/payouts/internal/payoutstest"
)

// An update that changes nothing which an index names, in its columns or its condition, writes the row beside itself and into no index.
// That is a third of the work, for each payout that is paid, so nothing that its outcome changes may be named by any of them.
func TestAnOutcomeIsWrittenIntoNoIndex(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	changed := regexp.MustCompile(`\b(state|reason_class|reason_scope|reason_code|provider_code|fee|attempt|counted|reference|version|updated_at)\b`)
	named, room := 0, ""
	e.Each("SELECT indexname::text, indexdef, 0::bigint FROM pg_indexes WHERE schemaname = current_schema() AND tablename = 'payouts'", func(name, definition string, _ int64) {
		named++
		if word := changed.FindString(definition); word != "" {
			t.Errorf("%s names %s, which an outcome changes: %s", name, word, definition)
		}
	})
	if named == 0 {
		t.Error("payouts has no index")
	}
	e.Each("SELECT array_to_string(reloptions, ','), '', 0::bigint FROM pg_class WHERE oid = 'payouts'::regclass", func(options, _ string, _ int64) { room = options })
	if room != "fillfactor=60" {
		t.Errorf("pages of payouts are filled by %q: without room for a second version the row goes to another page, and into every index", room)
	}
}

// What indexes know of a payout's state follows from it: what is sent and paid leaves them, and what waits is found there.
func TestIndexesKnowTheStatesThatWait(t *testing.T) {
	t.Parallel()
	e := payoutstest.New(t)
	id := planned(t, e, 1)[0]
	for state, want := range map[string]string{
		"submitting": "", "succeeded": "", "skipped": "", "created": "created", "awaiting_approval": "awaiting_approval", "approved": "approved",
		"rejected": "rejected", "held": "held", "processing": "processing", "unknown": "unknown", "manual_review": "manual_review",
		"failed": "failed", "reversed": "reversed", "cancelled": "cancelled",
	} {
		e.SQL("UPDATE payouts SET state = $2, retry_at = NULL WHERE payout_id = $1", id, state)
		if n := e.Count("SELECT count(*) FROM payouts WHERE COALESCE(indexed_state, '') = $1", want); n != 1 {
			t.Errorf("%s is not %q to indexes", state, want)
		}
	}
	e.SQL("UPDATE payouts SET state = 'failed', retry_at = '2025-01-26' WHERE payout_id = $1", id)
	if n := e.Count("SELECT count(*) FROM payouts WHERE indexed_state = 'retrying'"); n != 1 {
		t.Error("one that will be tried again is like one that has failed for good")
	}
}
