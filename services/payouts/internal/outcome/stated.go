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

// againstStatement keeps what was just found not to be paid from being paid again when a statement has a line that says it was: the
// two contradict each other, and only people can tell which is right.
func (o *Outcomes) againstStatement(ctx context.Context, tx pgx.Tx, moved []attempt.Moved) error {
	var unpaid []attempt.Attempt
	for _, m := range moved {
		if m.Attempt.State == attempt.Failed || m.Attempt.State == attempt.NotSent {
			unpaid = append(unpaid, m.Attempt)
		}
	}
	paid, err := o.Store.PaidThere(ctx, tx, unpaid)
	if err != nil || len(paid) == 0 {
		return err
	}
	updates := make([]attempt.Update, len(paid))
	for n, a := range paid {
		updates[n] = attempt.PaidThere(a)
		o.Alarm(ctx, a, "the provider's statement has as paid what it calls not paid")
	}
	return o.Stated(ctx, tx, nil, updates)
}
