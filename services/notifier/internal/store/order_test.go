package store

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/agogopay/agogo/services/notifier/internal/notice"
)

// Two replicas that write some of the same notifications must take them in one order, whatever order their causes came in. Of one that comes
// twice the first counts.
func TestNotificationsAreWrittenInTheOrderOfTheirIDs(t *testing.T) {
	t.Parallel()
	of := func(id byte, subject string) row {
		return row{id: uuid.UUID{15: id}, Entry: Entry{Notice: notice.Notice{SubjectID: subject}}}
	}
	rows := []row{of(9, "a"), of(3, "b"), of(7, "c"), of(3, "d")}
	p := insertParams(rows, time.Time{})
	if !slices.IsSortedFunc(p.Ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }) {
		t.Errorf("in the order %v", p.Ids)
	}
	if diff := cmp.Diff([]string{"b", "d", "c", "a"}, p.SubjectIds); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
	if rows[0].Notice.SubjectID != "a" {
		t.Error("the events of the batch have lost their order")
	}
}
