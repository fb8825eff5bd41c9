package outcome

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/attempt"
	"github.com/agogopay/agogo/internal/reconcile"
)

// Stated records what a statement says against the books. Attempts that it contradicts are treated as if a lookup had: the
// difference goes to suspense once, whichever of them came first, and nothing pays again what was paid.
func (o *Outcomes) Stated(ctx context.Context, tx pgx.Tx, findings []reconcile.Finding, contradicted []attempt.Update) error {
	if err := o.findings.Record(ctx, tx, contradicted); err != nil {
		return err
	}
	if err := o.Store.Contradict(ctx, tx, reconcile.Contradicted(contradicted)...); err != nil {
		return err
	}
	_, err := o.findings.Told(ctx, tx, findings)
	return err
}
