package outcome_test

import (
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/agogopay/agogo/internal/pg"
	"github.com/agogopay/agogo/services/payouts/internal/payoutstest/sending"
)

func mustUUID(s string) uuid.UUID { return uuid.MustParse(s) }

func pgxTx(e *sending.Env, fn func(tx pgx.Tx) error) error { return pg.InTx(e.Ctx(), e.Pool, fn) }
