package webhook

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Names finds our references by the ids that a provider has given its transfers; what it does not find is left out.
type Names func(ctx context.Context, tx pgx.Tx, tenant, provider string, ids []string) (references map[string]string, err error)

// ByProviderID is match for providers whose webhooks name a transfer by their own id, and for those that name it by our
// reference, side by side. An id is known once an answer or a lookup has told it; until then its webhook waits, as one
// does that is faster than our own commit.
func ByProviderID(names Names, match Matcher) Matcher {
	return func(ctx context.Context, tx pgx.Tx, tenant, provider string, notices []Notice) (map[string]Fate, error) {
		said := make([]string, len(notices))
		for i, n := range notices {
			said[i] = n.Reference
		}
		references, err := names(ctx, tx, tenant, provider, said)
		if err != nil {
			return nil, err
		}
		ours := make([]Notice, len(notices))
		for i, n := range notices {
			if reference, ok := references[n.Reference]; ok {
				n.Reference = reference
			}
			ours[i] = n
		}
		fates, err := match(ctx, tx, tenant, provider, ours)
		if err != nil {
			return nil, err
		}
		told := make(map[string]Fate, len(fates))
		for i, n := range notices {
			if fate, ok := fates[ours[i].Reference]; ok {
				told[n.Reference] = fate
			}
		}
		return told, nil
	}
}
