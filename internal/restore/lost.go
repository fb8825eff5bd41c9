package restore

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/agogopay/agogo/internal/restore/db"
)

// keepLost stores a chunk of what was lost; of each subject what was told last.
func keepLost(ctx context.Context, q db.DBTX, chunk []lostEvent) error {
	newest := map[uuid.UUID]lostEvent{}
	for _, e := range chunk {
		if old, ok := newest[e.Subject]; !ok || e.epoch > old.epoch || e.epoch == old.epoch && e.version > old.version {
			newest[e.Subject] = e
		}
	}
	if len(newest) == 0 {
		return nil
	}
	var p db.KeepLostParams
	for id, e := range newest {
		p.SubjectIds, p.Tenants, p.OwnerIds = append(p.SubjectIds, id), append(p.Tenants, e.Tenant), append(p.OwnerIds, e.Owner)
		p.Providers, p.Amounts, p.States = append(p.Providers, e.Provider), append(p.Amounts, e.Amount), append(p.States, e.State)
		p.Epochs, p.Versions = append(p.Epochs, int32(e.epoch)), append(p.Versions, e.version)
	}
	if err := db.New(q).KeepLost(ctx, p); err != nil {
		return fmt.Errorf("keep what was published since the backup: %w", err)
	}
	return nil
}

// PassLost notes that a person has looked into what an owner was sent before a restore: it holds nothing else of theirs any more. What was told of
// a subject itself, through another provider, it leaves: nobody has spoken of that.
func PassLost(ctx context.Context, q db.DBTX, tenant, owner, actor string, at time.Time) error {
	if err := db.New(q).PassLost(ctx, db.PassLostParams{At: at, Actor: actor, Tenant: tenant, OwnerID: owner}); err != nil {
		return fmt.Errorf("pass what %s was sent before a restore: %w", owner, err)
	}
	return nil
}

// SettleLost notes a person's word that a subject was not paid through the provider that it was told of with.
func SettleLost(ctx context.Context, q db.DBTX, subject uuid.UUID, actor string, at time.Time) error {
	if err := db.New(q).SettleLost(ctx, db.SettleLostParams{At: at, Actor: actor, SubjectID: subject}); err != nil {
		return fmt.Errorf("settle what was told of %s before a restore: %w", subject, err)
	}
	return nil
}
