package auth

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"testing"
)

// chainOf makes a correct chain of n lines.
func chainOf(n int) []Line {
	prev := genesis("lebenis", "payouts")
	lines := make([]Line, n)
	for i := range lines {
		l := Line{PrevHash: hex.EncodeToString(prev), Tenant: "lebenis", Service: "payouts", Seq: int64(i + 1), At: "2025-01-24T23:59:00Z", Actor: "user:ada", Role: "admin", Action: "StopOutflow"}
		prev = digest(string(prev), l.Tenant, l.Service, strconv.FormatInt(l.Seq, 10), l.At, l.Actor, l.Role, l.Action, l.Target, l.Detail, l.RequestID, l.CorrelationID)
		l.Hash = hex.EncodeToString(prev)
		lines[i] = l
	}
	return lines
}

func breaks(t *testing.T, lines []Line) (found []int64) {
	t.Helper()
	var f Follower
	for _, l := range lines {
		body, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if _, b, err := f.Follow(body); err != nil {
			t.Fatal(err)
		} else if b != nil {
			found = append(found, b.Seq)
		}
	}
	return found
}

func TestFollowerAcceptsAChainAndRepeats(t *testing.T) {
	t.Parallel()
	chain := chainOf(5)
	for name, lines := range map[string][]Line{"whole": chain, "repeated": {chain[0], chain[1], chain[1], chain[2]}} {
		if b := breaks(t, lines); len(b) != 0 {
			t.Errorf("%s: breaks at %v", name, b)
		}
	}
}

func TestFollowerNamesWhatDoesNotFollow(t *testing.T) {
	t.Parallel()
	changed := chainOf(3)
	changed[1].Detail = "nothing happened"
	forged := chainOf(3)
	forged[2].PrevHash = forged[0].Hash
	first := chainOf(2)
	first[0].PrevHash = "00"
	for name, c := range map[string]struct {
		lines []Line
		want  int64
	}{
		"changed":               {changed, 2},
		"left out":              {append(chainOf(3)[:1:1], chainOf(3)[2]), 3},
		"other predecessor":     {forged, 3},
		"made-up beginning":     {first, 1},
		"without its beginning": {chainOf(5)[2:], 3},
	} {
		if b := breaks(t, c.lines); len(b) == 0 || b[0] != c.want {
			t.Errorf("%s: breaks at %v, want %d first", name, b, c.want)
		}
	}
	if _, _, err := new(Follower).Follow([]byte("{")); err == nil {
		t.Error("garbage was read as a line")
	}
}

// A restore takes a chain back to where its backup ended, and to nowhere else.
func TestFollowerTakesARestoreBackToItsBackup(t *testing.T) {
	t.Parallel()
	chain := chainOf(5)
	onward := func(after int, action string) Line {
		prev := genesis("lebenis", "payouts")
		if after > 0 {
			prev, _ = hex.DecodeString(chain[after-1].Hash)
		}
		l := Line{PrevHash: hex.EncodeToString(prev), Tenant: "lebenis", Service: "payouts", Seq: int64(after + 1), At: "2025-01-25T08:00:00Z", Actor: "user:ada", Role: "admin", Action: action}
		l.Hash = hex.EncodeToString(l.sum(prev))
		return l
	}
	elsewhere := onward(2, ActionRestored)
	elsewhere.PrevHash = chain[0].Hash
	prev, _ := hex.DecodeString(elsewhere.PrevHash)
	elsewhere.Hash = hex.EncodeToString(elsewhere.sum(prev))
	for name, c := range map[string]struct {
		next   []Line
		breaks int
	}{
		"to its third line":            {[]Line{onward(3, ActionRestored)}, 0},
		"to its beginning":             {[]Line{onward(0, ActionRestored)}, 0},
		"a line of the backup again":   {[]Line{chain[2], onward(3, ActionRestored), chain[1]}, 0},
		"twice":                        {[]Line{onward(3, ActionRestored), onward(2, ActionRestored)}, 0},
		"what is lost comes again":     {[]Line{onward(3, ActionRestored), chain[4]}, 1},
		"to a line that it never had":  {[]Line{elsewhere}, 1},
		"without a word about restore": {[]Line{onward(3, "StopOutflow")}, 1},
	} {
		if b := breaks(t, append(chain[:5:5], c.next...)); len(b) != c.breaks {
			t.Errorf("%s: breaks at %v, want %d", name, b, c.breaks)
		}
	}
}
