package simulator_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agogopay/agogo/simulator"
)

const waveDay = "2025-01-24"

// lineOf makes a rule about the line of a payout.
func lineOf(reference string, kind simulator.Fault, message string) simulator.Rule {
	return simulator.Rule{Provider: simulator.Wave, Operation: "line", Match: simulator.Match{Reference: reference}, Fault: kind, Message: message}
}

// paid is a world with three payouts, in pages of two lines.
func paid(t *testing.T, rules ...simulator.Rule) *world {
	w := start(t, simulator.Config{Wave: simulator.WaveConfig{PageSize: 2}}, rules...)
	for i := range 3 {
		w.want(w.payout(fmt.Sprintf("key-%d", i), fmt.Sprintf("ref-%d", i)), 200, nil)
	}
	return w
}

func TestWaveTellsAWrongStatement(t *testing.T) {
	const line = "api_payout -24240 240"
	for name, tc := range map[string]struct {
		rules []simulator.Rule
		want  []string
	}{
		"true":           {nil, []string{line, line, line}},
		"missing":        {[]simulator.Rule{lineOf("ref-1", simulator.LineMissing, "")}, []string{line, line}},
		"all missing":    {[]simulator.Rule{lineOf("", simulator.LineMissing, "")}, nil},
		"extra":          {[]simulator.Rule{lineOf("ref-1", simulator.LineExtra, "")}, []string{line, line, line, line}},
		"one more":       {[]simulator.Rule{lineOf("", simulator.LineAmount, "")}, []string{"api_payout -24241 240", "api_payout -24241 240", "api_payout -24241 240"}},
		"another amount": {[]simulator.Rule{lineOf("", simulator.LineAmount, "9000")}, []string{"api_payout -9240 240", "api_payout -9240 240", "api_payout -9240 240"}},
		"no amount":      {[]simulator.Rule{lineOf("", simulator.LineAmount, "plenty")}, []string{"api_payout plenty 240", "api_payout plenty 240", "api_payout plenty 240"}},
		"twice":          {[]simulator.Rule{lineOf("*", simulator.LineTwice, "")}, []string{line, line, line, line, line, line}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := paid(t, tc.rules...)
			for range 2 { // whoever reads it again is told the same
				if diff := cmp.Diff(tc.want, w.statement(waveDay)); diff != "" {
					t.Error(diff)
				}
			}
			for i := range 3 {
				if e := w.waveEntry(fmt.Sprintf("key-%d", i)); e.Moved > 1 {
					t.Errorf("a wrong statement moved money: %+v", e)
				}
			}
		})
	}
}

type waveLine struct {
	ID        string `json:"transaction_id"`
	Reference string `json:"client_reference"`
}

// lines are the first page's.
func (w *world) lines() []waveLine {
	w.t.Helper()
	var page struct {
		Items []waveLine `json:"items"`
	}
	w.want(w.wave("GET", "/transactions?date="+waveDay, "", ""), 200, &page)
	return page.Items
}

func TestWaveExtraLineHasAnIDOfItsOwnAndARepeatedOneHasNot(t *testing.T) {
	for kind, want := range map[simulator.Fault]int{simulator.LineExtra: 4, simulator.LineTwice: 2} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := paid(t, lineOf("", kind, "theirs"))
			ids, theirs := map[string]bool{}, 0
			for _, l := range w.lines() {
				ids[l.ID] = true
				if l.Reference == "theirs" {
					theirs++
				}
			}
			if len(ids) != want || kind == simulator.LineExtra && theirs != 2 || kind == simulator.LineTwice && theirs != 0 {
				t.Errorf("%d ids, want %d; %d lines are somebody else's", len(ids), want, theirs)
			}
		})
	}
}

func TestWaveCutsAPageOnce(t *testing.T) {
	w := paid(t, simulator.Rule{Provider: simulator.Wave, Operation: "transactions", Fault: simulator.PageCut, Times: 1})
	cut := w.wave("GET", "/transactions?date="+waveDay, "", "")
	if cut.status != 200 || !bytes.HasPrefix(cut.body, []byte("{")) || json.Valid(cut.body) {
		t.Errorf("the page is whole, or no page: %d %q", cut.status, cut.body)
	}
	if n := len(w.statement(waveDay)); n != 3 {
		t.Errorf("%d lines when it is read again", n)
	}
}
