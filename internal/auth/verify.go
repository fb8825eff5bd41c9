package auth

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"

	"github.com/agogopay/agogo/internal/auth/db"
)

// Break is the first place where a chain does not hold.
type Break struct {
	Service string
	Seq     int64 // of the entry that is wrong or missing
	Problem string
}

// Chain is what a verification found of one chain.
type Chain struct {
	Tenant, Service string
	Entries         int64  // those that hold, from the first on
	Hash            string // hexadecimal, of the last one that holds
	Break           *Break // nil: the whole chain holds
}

// Verify walks the tenant's chains in this service's schema (those of all tenants with "") up to their present ends, and
// names the first break of each. It reads in pages and holds no lock, so entries appended meanwhile are simply not looked at.
func Verify(ctx context.Context, conn db.DBTX, tenant string) ([]Chain, error) {
	q := db.New(conn)
	rows, err := q.Chains(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("audit: list the chains of %q: %w", tenant, err)
	}
	chains := make([]Chain, len(rows))
	for i, c := range rows {
		w := walk{q: q, tenant: c.Tenant, end: c, hash: genesis(c.Tenant, c.Service)}
		broken, err := w.run(ctx)
		if err != nil {
			return nil, err
		}
		chains[i] = Chain{Tenant: c.Tenant, Service: c.Service, Entries: w.seq, Hash: hex.EncodeToString(w.hash), Break: broken}
	}
	return chains, nil
}

// verifyPage bounds what a verification holds in memory.
const verifyPage = 1000

// walk follows one chain.
type walk struct {
	q      *db.Queries
	tenant string
	end    db.ChainsRow
	seq    int64 // of the last entry that holds
	hash   []byte
}

func (w *walk) run(ctx context.Context) (*Break, error) {
	if len(w.end.Hash) == 0 {
		return w.broken("the chain's head is gone"), nil
	}
	for w.seq < w.end.Seq {
		page, err := w.q.Entries(ctx, db.EntriesParams{Tenant: w.tenant, Service: w.end.Service, After: w.seq, Size: verifyPage})
		if err != nil {
			return nil, fmt.Errorf("audit: read the chain %s/%s after %d: %w", w.tenant, w.end.Service, w.seq, err)
		}
		if len(page) == 0 {
			return w.broken(fmt.Sprintf("the chain ends here, but its head says %d entries", w.end.Seq)), nil
		}
		for _, e := range page {
			if b := w.step(e); b != nil {
				return b, nil
			}
			if w.seq == w.end.Seq {
				break
			}
		}
	}
	if !bytes.Equal(w.hash, w.end.Hash) {
		return &Break{Service: w.end.Service, Seq: w.seq, Problem: "the last entry is not the one that the chain's head names"}, nil
	}
	return nil, nil
}

func (w *walk) step(e db.AuditEntry) *Break {
	switch {
	case e.Seq != w.seq+1:
		return w.broken(fmt.Sprintf("missing: the next entry is %d", e.Seq))
	case !bytes.Equal(e.PrevHash, w.hash):
		return w.broken("it does not follow from the entry before it")
	case !bytes.Equal(hashOf(e), e.Hash):
		return w.broken("its content is not what was recorded")
	}
	w.seq, w.hash = e.Seq, e.Hash
	return nil
}

// broken is a break at the entry after the last good one.
func (w *walk) broken(problem string) *Break {
	return &Break{Service: w.end.Service, Seq: w.seq + 1, Problem: problem}
}
