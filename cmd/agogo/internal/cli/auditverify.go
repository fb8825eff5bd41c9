package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/agogopay/agogo/cmd/agogo/internal/dev"
	"github.com/agogopay/agogo/internal/auth"
	auditv1 "github.com/agogopay/agogo/proto/gen/go/agogo/audit/v1"
)

// relayPatience is how long a line may be on its way from a table to the stream.
const relayPatience = 15 * time.Second

// verifyAudit holds two copies of the trail against each other: the stream, and the tables of each service. The stream is read
// first and the tables are asked then, so a table can only be ahead; what it is ahead by must arrive within a moment.
func (a *app) verifyAudit(ctx context.Context) error {
	r, err := a.auditReader()
	if err != nil {
		return err
	}
	v := verification{auditReader: r, ends: map[chainKey]auth.Line{}, ahead: map[chainKey]*auditv1.Chain{}}
	if err := r.toItsEnd(ctx, v.line); err != nil {
		return err
	}
	tables, err := a.auditTables(ctx, r.tenant)
	if err != nil {
		return err
	}
	v.compare(tables)
	if err := v.catchUp(ctx); err != nil {
		return err
	}
	line := fmt.Sprintf("%d entries, %d breaks, %d chains as in the tables", r.lines, r.breaks, v.same)
	if err := a.summary(line, map[string]int{"entries": r.lines, "breaks": r.breaks, "chains": v.same}); err != nil {
		return err
	}
	if r.breaks > 0 {
		return errFailed
	}
	return nil
}

// auditTables asks every service of the context about its tables.
func (a *app) auditTables(ctx context.Context, tenant string) (map[string][]*auditv1.Chain, error) {
	info, err := a.info()
	if err != nil {
		return nil, err
	}
	tables := map[string][]*auditv1.Chain{}
	for _, service := range slices.Sorted(maps.Keys(info.GRPC)) {
		c, err := a.conn(service)
		if err != nil {
			return nil, err
		}
		resp, err := auditv1.NewAuditServiceClient(c).VerifyAudit(ctx, &auditv1.VerifyAuditRequest{Tenant: tenant})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", service, err)
		}
		tables[service] = resp.GetChains()
	}
	for _, service := range dev.Services {
		if _, asked := tables[service]; !asked {
			fmt.Fprintf(a.Err, "%s is not in the context: its tables were not looked at\n", service)
		}
	}
	return tables, nil
}

type chainKey struct{ tenant, service string }

// verification compares chains by their ends: two chains that hold and end in one hash are one.
type verification struct {
	*auditReader
	ends  map[chainKey]auth.Line // the last line of each chain, so far
	ahead map[chainKey]*auditv1.Chain
	same  int
}

func (v *verification) line(e auditEntry) error {
	k := chainKey{e.Tenant, e.Service}
	if e.Seq >= v.ends[k].Seq || e.Action == auth.ActionRestored { // which takes a chain back to where its backup ended
		v.ends[k] = e.Line
	}
	if c, waited := v.ahead[k]; waited && e.Seq == c.GetEntries() {
		delete(v.ahead, k)
		v.ending(k, c, e.Hash)
	}
	return nil
}

func (v *verification) compare(tables map[string][]*auditv1.Chain) {
	found := map[chainKey]bool{}
	for _, service := range slices.Sorted(maps.Keys(tables)) {
		for _, c := range tables[service] {
			k := chainKey{c.GetTenant(), c.GetService()}
			found[k] = true
			v.chain(k, c)
		}
	}
	for k, end := range v.ends {
		if _, asked := tables[k.service]; asked && !found[k] {
			v.broken(k.tenant, k.service, end.Seq, "the stream ends with it, and the service's tables have no entry at all")
		}
	}
}

func (v *verification) chain(k chainKey, c *auditv1.Chain) {
	end := v.ends[k]
	switch b := c.GetBroken(); {
	case b != nil:
		v.broken(k.tenant, k.service, b.GetSeq(), "in the service's table: "+b.GetProblem())
	case c.GetEntries() < end.Seq:
		v.broken(k.tenant, k.service, end.Seq, fmt.Sprintf("the stream ends with it, but the service's table with entry %d", c.GetEntries()))
	case c.GetEntries() > end.Seq:
		v.ahead[k] = c
	default:
		v.ending(k, c, end.Hash)
	}
}

func (v *verification) ending(k chainKey, c *auditv1.Chain, hash string) {
	if hash != c.GetHash() {
		v.broken(k.tenant, k.service, c.GetEntries(), "the stream says something else than the service's table")
		return
	}
	v.same++
}

// catchUp waits for the lines that tables have and the stream had not.
func (v *verification) catchUp(ctx context.Context) error {
	if len(v.ahead) == 0 {
		return nil
	}
	waiting, done := context.WithTimeout(ctx, relayPatience)
	defer done()
	err := v.on(waiting, func(e auditEntry) error {
		err := v.line(e)
		if len(v.ahead) == 0 {
			done()
		}
		return err
	})
	for k, c := range v.ahead {
		v.broken(k.tenant, k.service, c.GetEntries(), fmt.Sprintf("the service's table ends with it, but the stream with entry %d", v.ends[k].Seq))
	}
	return err
}
