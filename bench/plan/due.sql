-- What is due this evening.
INSERT INTO payments (tenant, payment_id, payee_id, currency, gross, commission, net, method, status, completed_at, recorded_at)
SELECT 'bench', 'due-' || i, 'payee-' || lpad((i % current_setting('bench.payees')::int)::text, 7, '0'), 'XOF', 1000, 200, 800,
       'orange_money', 'completed', '2025-03-01 12:00+00', '2025-03-01 12:00+00'
FROM generate_series(0, current_setting('bench.payments')::int - 1) i;
