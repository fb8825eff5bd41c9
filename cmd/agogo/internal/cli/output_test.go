package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/agogopay/agogo/internal/daybook"
	payoutsv1 "github.com/agogopay/agogo/proto/gen/go/agogo/payouts/v1"
)

// TestNoTableObeysAStranger: text from outside neither clears the screen nor begins a line of its own, in lists, in single resources and in
// a day's report.
func TestNoTableObeysAStranger(t *testing.T) {
	t.Parallel()
	const evil = "\x1b[2J\r\n0 exceptions\u202e"
	var out bytes.Buffer
	a := &app{IO: IO{Out: &out}, output: "table"}
	table(&out, []string{evil}, []column[string]{col("words", func(s string) string { return s })})
	if err := one(a, &payoutsv1.Close{Reason: evil}, col("why", (*payoutsv1.Close).GetReason)); err != nil {
		t.Fatal(err)
	}
	a.showReport(daybook.Report{
		Head:  daybook.Head{Statement: "not_compared", WaivedBy: evil, WaivedBecause: evil},
		Items: []daybook.Item{{Reference: evil, Expected: evil, Found: evil}},
	})
	if got := out.String(); strings.ContainsAny(got, "\x1b\r\u202e") || strings.Contains(got, "\n0 exceptions") {
		t.Errorf("printed as it came:\n%q", got)
	} else if strings.Count(got, "␛[2J␍␊0 exceptions") != 6 {
		t.Errorf("not shown:\n%q", got)
	}
}
