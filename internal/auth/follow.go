package auth

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Line is an entry of the audit trail as it is published: all that is needed to follow its chain without the database.
type Line = line

// ActionRestored is the action of people who say that the tables were restored from a backup. Its line is the first that a chain has
// after that, and follows from the last one that the backup had.
const ActionRestored = "MarkRestore"

// Follower checks the messages of the AUDIT stream as they come, from its beginning: nothing expires there, so every chain
// must begin with its first line, and from then on each must follow from the one before it; a restore may take it back to any.
type Follower struct {
	// Restored is told how many lines a restore took out of a chain; may be nil.
	Restored func(l Line, lost int64)

	last map[[2]string]*Line
	past map[[2]string][]string // the hashes of a chain's lines, from the first on
}

// Follow reads the body of one message; a break is a line that does not follow, an error a body that is no line.
func (f *Follower) Follow(body []byte) (Line, *Break, error) {
	var l Line
	if err := json.Unmarshal(body, &l); err != nil {
		return l, nil, fmt.Errorf("audit: not a line of the trail: %w", err)
	}
	if f.last == nil {
		f.last, f.past = map[[2]string]*Line{}, map[[2]string][]string{}
	}
	chain := [2]string{l.Tenant, l.Service}
	before := f.last[chain]
	if past := f.past[chain]; l.Seq >= 1 && l.Seq <= int64(len(past)) && past[l.Seq-1] == l.Hash {
		return l, nil, nil // delivered again
	}
	if before != nil && l.Seq <= before.Seq && l.Action == ActionRestored {
		before = f.back(chain, l)
	}
	f.last[chain] = &l
	b := l.follows(before)
	if b == nil {
		f.past[chain] = append(f.past[chain], l.Hash)
	}
	return l, b, nil
}

// back takes a chain back to where a restore says it goes on, if it ever was there, and returns the line before that.
func (f *Follower) back(chain [2]string, l Line) *Line {
	past, last := f.past[chain], f.last[chain]
	if l.Seq < 1 || l.Seq > int64(len(past)) || l.Seq > 1 && past[l.Seq-2] != l.PrevHash {
		return last // as a line that follows from nothing
	}
	if f.Restored != nil {
		f.Restored(l, last.Seq-l.Seq+1)
	}
	f.past[chain] = past[:l.Seq-1]
	if l.Seq == 1 {
		return nil
	}
	return &Line{Tenant: l.Tenant, Service: l.Service, Seq: l.Seq - 1, Hash: l.PrevHash}
}

func (l Line) follows(before *Line) *Break {
	broken := func(problem string) *Break { return &Break{Service: l.Service, Seq: l.Seq, Problem: problem} }
	prev, err := hex.DecodeString(l.PrevHash)
	if err != nil {
		return broken("its prev_hash is not hexadecimal")
	}
	switch {
	case hex.EncodeToString(l.sum(prev)) != l.Hash:
		return broken("its content is not what was recorded")
	case before == nil && l.Seq != 1:
		return broken("missing: what came before it, from entry 1 on")
	case before != nil && l.Seq != before.Seq+1:
		return broken(fmt.Sprintf("missing: it follows entry %d", before.Seq))
	case before != nil && l.PrevHash != before.Hash, l.Seq == 1 && l.PrevHash != hex.EncodeToString(genesis(l.Tenant, l.Service)):
		return broken("it does not follow from the entry before it")
	}
	return nil
}
