package auth

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Line is an entry of the audit trail as it is published: all that is needed to follow its chain without the database.
type Line = line

// Follower checks the messages of the AUDIT stream as they come, from its beginning: nothing expires there, so every chain
// must begin with its first line, and from then on each must follow from the one before it.
type Follower struct {
	last map[[2]string]*Line
}

// Follow reads the body of one message; a break is a line that does not follow, an error a body that is no line.
func (f *Follower) Follow(body []byte) (Line, *Break, error) {
	var l Line
	if err := json.Unmarshal(body, &l); err != nil {
		return l, nil, fmt.Errorf("audit: not a line of the trail: %w", err)
	}
	if f.last == nil {
		f.last = map[[2]string]*Line{}
	}
	chain := [2]string{l.Tenant, l.Service}
	before := f.last[chain]
	if before != nil && l.Seq <= before.Seq && l.Hash == before.Hash {
		return l, nil, nil // delivered again
	}
	f.last[chain] = &l
	return l, l.follows(before), nil
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
