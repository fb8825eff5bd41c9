package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/agogopay/agogo/bench/installation"
)

// tables are copies of Agogo's, with their indexes and checks, in a schema of their own.
type tables struct {
	pool *pgxpool.Pool
	run  uuid.UUID
}

const copies = `CREATE SCHEMA floor;
	CREATE TABLE floor.payments (LIKE payouts.payments INCLUDING ALL); CREATE TABLE floor.payouts (LIKE payouts.payouts INCLUDING ALL);
	CREATE TABLE floor.payout_items (LIKE payouts.payout_items INCLUDING ALL); CREATE TABLE floor.attempts (LIKE payouts.attempts INCLUDING ALL);
	CREATE TABLE floor.ledger_postings (LIKE payouts.ledger_postings INCLUDING ALL); CREATE TABLE floor.outbox_parcels (LIKE payouts.outbox_parcels INCLUDING ALL);
	CREATE TABLE floor.webhooks (LIKE payouts.webhooks INCLUDING ALL); CREATE TABLE floor.notifications (LIKE notifier.notifications INCLUDING ALL);
	ALTER TABLE floor.outbox_parcels ALTER seq SET DEFAULT nextval('payouts.outbox_seq');
	INSERT INTO floor.payments SELECT * FROM payouts.payments; ANALYZE floor.payments`

// openTables imports a payment for each of n payees and copies the tables.
func openTables(ctx context.Context, in *installation.Installation, n int) (*tables, error) {
	var b strings.Builder
	b.WriteString("payment_id,payee_id,payee_name,phone,amount,currency,method,status,completed_at\n")
	for i := range n {
		fmt.Fprintf(&b, "pay-%07d,payee-%07d,,+22507%08d,%d,XOF,orange_money,completed,2025-03-01T22:59:00Z\n", i, i, i, 1000+i%9000)
	}
	if _, err := in.CLI(ctx, strings.NewReader(b.String()), "payments", "import", "-"); err != nil {
		return nil, err
	}
	pool, err := pgxpool.New(ctx, in.Info.PostgresDSN)
	if err != nil {
		return nil, err
	}
	t := &tables{pool: pool, run: uuid.New()}
	if _, err := pool.Exec(ctx, copies); err != nil {
		pool.Close()
		return nil, fmt.Errorf("copy the tables: %w", err)
	}
	return t, nil
}

func (t *tables) close() { t.pool.Close() }

// step is one transaction: its statements, of which each takes the same arguments, and a parcel of what it tells.
func (t *tables) step(ctx context.Context, tells int, ids []uuid.UUID, statements ...string) error {
	return pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(ctx, s, ids, t.run); err != nil {
				return fmt.Errorf("%s: %w", s[:min(len(s), 60)], err)
			}
		}
		return parcel(ctx, tx, tells, ids)
	})
}

// parcel stores what the outbox would hold until its relay has published it, and notes that it has.
func parcel(ctx context.Context, tx pgx.Tx, tells int, ids []uuid.UUID) error {
	var keys, headers []string
	var payloads [][]byte
	for range tells {
		for _, id := range ids {
			keys, headers, payloads = append(keys, id.String()), append(headers, own(id)), append(payloads, body(id))
		}
	}
	_, err := tx.Exec(ctx, `WITH p AS (INSERT INTO floor.outbox_parcels (created_at, part, stream, messages, common, keys, msg_ids, subjects, headers, payloads)
		VALUES (now(), 1, 'FLOOR', $1, '', $2, $2, $2, $3, $4) RETURNING seq) SELECT count(*) FROM p`, len(keys), keys, headers, payloads)
	return err
}

// plan claims n payments, each for a payout of its own.
func (t *tables) plan(ctx context.Context, from, n int) ([]uuid.UUID, error) {
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.New()
	}
	numbered := fmt.Sprintf("SELECT id, %d + n - 1 AS n FROM unnest($1::uuid[]) WITH ORDINALITY AS u (id, n)", from)
	return ids, t.step(ctx, 2, ids,
		`INSERT INTO floor.payouts (payout_id, tenant, payee_id, run_id, batch_id, page, period_date, kind, seq, state, currency, gross, commission, net,
			item_count, provider, destination, nominal_time, version, created_at, updated_at)
		SELECT id, 'bench', 'payee-' || n, $2::uuid, $2::uuid, n / 500, '2025-03-01', 'payouts/daily', 1, 'approved', 'XOF', 1000, 200, 800, 1, 'orange',
			'+225', now(), 2, now(), now() FROM (`+numbered+`) AS u`,
		`INSERT INTO floor.payout_items (payout_id, tenant, item_kind, item_id, gross, commission, net)
		SELECT id, 'bench', 'payment', 'pay-' || n || left($2::text, 0), 1000, 200, 800 FROM (`+numbered+`) AS u`,
		`UPDATE floor.payments p SET payout_id = u.id FROM (`+numbered+`) AS u WHERE p.tenant = 'bench' AND p.payment_id = 'pay-' || lpad(u.n::text, 7, '0') || left($2::text, 0)`)
}

// posting is one double entry for each payout.
func posting(kind string) string {
	return `INSERT INTO floor.ledger_postings (tenant, kind, ref, leg, debit, credit, currency, amount, occurred_at)
		SELECT 'bench', '` + kind + `', id::text, 1, 'payable:' || id || left($2::text, 0), '` + kind + `', 'XOF', 800, now() FROM unnest($1::uuid[]) AS id`
}

// moved changes the state of payouts.
func moved(to string) string {
	return "UPDATE floor.payouts SET state = '" + to + "', version = version + 1, updated_at = now() WHERE payout_id = ANY($1::uuid[]) AND run_id = $2::uuid"
}

func (t *tables) begin(ctx context.Context, ids []uuid.UUID) error {
	return t.step(ctx, 1, ids,
		`INSERT INTO floor.attempts (subject_id, number, tenant, provider, reference, amount, currency, destination, state, lease_expires_at, submitted_at)
		SELECT id, 1, 'bench', 'orange', id::text || left($2::text, 0), 800, 'XOF', '+225', 'submitting', now() + interval '1 minute', now() FROM unnest($1::uuid[]) AS id`,
		moved("submitting"), posting("in_transit"))
}

func (t *tables) record(ctx context.Context, ids []uuid.UUID) error {
	return t.step(ctx, 1, ids,
		`UPDATE floor.attempts SET state = 'succeeded', lease_expires_at = NULL, closed_at = now() WHERE subject_id = ANY($1::uuid[]) AND number = 1 AND $2::uuid IS NOT NULL`,
		moved("succeeded"), posting("paid"))
}

func (t *tables) notify(ctx context.Context, ids []uuid.UUID) error {
	return t.step(ctx, 1, ids,
		`INSERT INTO floor.notifications (id, tenant, recipient_kind, recipient_id, kind, subject_id, subject_order, locale, title, body, data, state, pushes, correlation, version,
			created_at, updated_at)
		SELECT id, 'bench', 'payee', 'payee-' || id, 'payout.succeeded', id::text, 4, 'fr-CI', 'Versement', 'Votre versement de 800 F CFA du 1 mars est parti.', '{}', 'suppressed', 0,
			$2::text, 1, now(), now() FROM unnest($1::uuid[]) AS id`)
}

// hooks stores callbacks.
func (t *tables) hooks(ctx context.Context, bodies [][]byte) error {
	_, err := t.pool.Exec(ctx, `INSERT INTO floor.webhooks (tenant, provider, digest, body, refs, received_at)
		SELECT 'bench', 'orange', sha256(b), b, ARRAY[left(encode(b, 'escape'), 36)], $2 FROM unnest($1::bytea[]) AS b`, bodies, time.Now())
	return err
}
