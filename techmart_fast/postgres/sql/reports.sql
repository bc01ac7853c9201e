-- What people ask of the operational database.

-- name: quarantine_list
-- Rejected records in source order, without their bytes. $1 feed, $2 code, $3 source, $4 run_id
-- (each NULL for any), $5 also resolved ones, $6 limit.
SELECT q.quarantine_id, q.feed, q.code, q.field, q.message, q.source_name, q.source_line,
       q.source_offset, q.record_key, q.record_date, q.rejected_at, q.resolved_at
FROM techmart_loader.quarantine AS q
WHERE ($1::text IS NULL OR q.feed = $1)
  AND ($2::text IS NULL OR q.code = $2)
  AND ($3::text IS NULL OR q.source_name = $3)
  AND ($4::uuid IS NULL OR q.batch_no IN (
      SELECT b.batch_no FROM techmart_loader.batches AS b WHERE b.run_id = $4))
  AND ($5 OR q.resolved_at IS NULL)
ORDER BY q.feed, q.source_ordinal, q.source_offset
LIMIT $6

-- name: quarantine_show
-- One rejected record with its bytes. $1 quarantine_id.
SELECT q.quarantine_id, q.feed, q.code, q.field, q.message, q.source_name, q.source_line,
       q.source_offset, q.record_key, q.record_date, q.rejected_at, q.resolved_at, q.raw
FROM techmart_loader.quarantine AS q
WHERE q.quarantine_id = $1

-- name: status
-- Counts of everything that is stored, and whether the lease's holder has its advisory lock (see
-- lease.sql): looked up, as taking the lock would get in the way of a run that starts just now.
SELECT (SELECT count(*) FROM public.users) AS users,
       (SELECT count(*) FROM public.products) AS products,
       (SELECT count(*) FROM public.products WHERE is_active) AS active_products,
       t.transactions,
       t.amount_usd,
       (SELECT count(*) FROM techmart_loader.held_transactions WHERE counted) AS held,
       (SELECT count(*) FROM techmart_loader.quarantine WHERE resolved_at IS NULL) AS quarantined,
       o.entries AS outbox_pending,
       o.row_count AS outbox_pending_rows,
       (SELECT min(index_name) FROM techmart_loader.deferred_indexes) AS owed_index,
       l.run_id AS lease_run_id,
       l.acquired_at AS lease_since,
       l.run_id IS NOT NULL AND EXISTS (
           SELECT FROM pg_locks
           WHERE locktype = 'advisory' AND granted AND classid = 1413827923
             AND objid = (l.epoch % 2147483647)::oid AND objsubid = 2
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       ) AS lease_held
FROM (SELECT count(*) AS transactions, coalesce(sum(amount_usd), 0) AS amount_usd
      FROM public.transactions) AS t
CROSS JOIN (SELECT count(*) AS entries, coalesce(sum(row_count), 0)::bigint AS row_count
            FROM techmart_loader.outbox WHERE published_at IS NULL) AS o
CROSS JOIN techmart_loader.lease AS l

-- name: daily_totals
-- Transactions and their money by stored date. $1 dates, or NULL for all.
SELECT transaction_date, count(*) AS transactions, sum(amount_usd) AS amount_usd
FROM public.transactions
WHERE $1::date[] IS NULL OR transaction_date = ANY ($1)
GROUP BY transaction_date
ORDER BY transaction_date
