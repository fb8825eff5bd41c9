-- Evenings that are over: bench.old payments, ten to a payout, on as many days as it takes for each payee to get one a day.
INSERT INTO payees (tenant, payee_id, phone, updated_at)
SELECT 'bench', 'payee-' || lpad(i::text, 7, '0'), '+22507' || lpad(i::text, 8, '0'), '2024-01-01'
FROM generate_series(0, current_setting('bench.payees')::int - 1) i;

INSERT INTO outflows (tenant, changed_at) VALUES ('bench', '2024-01-01') ON CONFLICT DO NOTHING;

CREATE TEMP TABLE day AS
SELECT d, md5('run' || d)::uuid AS run_id, md5('batch' || d)::uuid AS batch_id, date '2025-02-28' - d AS period_date
FROM generate_series(0, ((current_setting('bench.old')::bigint / 10 - 1) / current_setting('bench.payees')::int)::int) d
WHERE current_setting('bench.old')::int > 0;

INSERT INTO runs (run_id, tick_id, tenant, schedule, job, nominal_time, local_date, window_start, window_end, timezone, trigger, state,
                  planned, version, created_at, started_at, finished_at)
SELECT run_id, 'bench/old/' || d, 'bench', 'old', 'payouts/daily', period_date + time '23:59', period_date, period_date, period_date + 1, 'UTC',
       'schedule', 'completed', true, 2, period_date, period_date, period_date FROM day;

INSERT INTO batches (batch_id, tenant, run_id, period_date, state, currency, version, created_at)
SELECT batch_id, 'bench', run_id, period_date, 'completed', 'XOF', 2, period_date FROM day;

CREATE TEMP TABLE old AS
SELECT n, 'payee-' || lpad((n % payees)::text, 7, '0') AS payee_id, md5('payout' || n)::uuid AS payout_id, n / payees AS d
FROM (SELECT n, current_setting('bench.payees')::int AS payees FROM generate_series(0, current_setting('bench.old')::bigint / 10 - 1) n) s;

INSERT INTO payouts (payout_id, tenant, payee_id, run_id, batch_id, page, period_date, kind, seq, state, currency, gross, commission, net,
                     item_count, provider, destination, attempt, counted, reference, cap_date, nominal_time, version, created_at, updated_at)
SELECT o.payout_id, 'bench', o.payee_id, t.run_id, t.batch_id, (o.n % 100000) / 500, t.period_date, 'payouts/daily', 1, 'succeeded', 'XOF', 10000, 2000, 8000,
       10, 'orange', '+22507', 1, 0, o.payout_id::text, t.period_date, t.period_date + time '23:59', 4, t.period_date, t.period_date
FROM old o JOIN day t ON t.d = o.d;

INSERT INTO payments (tenant, payment_id, payee_id, currency, gross, commission, net, method, status, completed_at, payout_id, recorded_at)
SELECT 'bench', 'old-' || o.n || '-' || i, o.payee_id, 'XOF', 1000, 200, 800, 'orange_money', 'completed', t.period_date + time '12:00', o.payout_id, t.period_date
FROM old o JOIN day t ON t.d = o.d CROSS JOIN generate_series(1, 10) i;

INSERT INTO payout_items (payout_id, tenant, item_kind, item_id, gross, commission, net)
SELECT o.payout_id, 'bench', 'payment', 'old-' || o.n || '-' || i, 1000, 200, 800 FROM old o CROSS JOIN generate_series(1, 10) i;

INSERT INTO attempts (subject_id, number, tenant, provider, reference, amount, currency, destination, state, submitted_at, closed_at, version)
SELECT o.payout_id, 1, 'bench', 'orange', o.payout_id::text, 8000, 'XOF', '+22507', 'succeeded', t.period_date, t.period_date, 2
FROM old o JOIN day t ON t.d = o.d;

INSERT INTO ledger_postings (tenant, kind, ref, leg, debit, credit, currency, amount, occurred_at)
SELECT 'bench', k.kind, o.payout_id || '/1', k.leg, replace(k.debit, '?', o.payee_id), k.credit, 'XOF', 8000, t.period_date
FROM old o JOIN day t ON t.d = o.d
CROSS JOIN (VALUES ('attempt.submitted', 1, 'payable:?', 'in_transit:orange'), ('attempt.succeeded', 0, 'in_transit:orange', 'float:orange')) k (kind, leg, debit, credit);
