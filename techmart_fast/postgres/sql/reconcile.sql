-- What reconciliation asks of PostgreSQL, all of it in one snapshot.
--
-- The canonical text of a row, which both engines make and hash: texts as length:text, NULL as -,
-- everything else as a whole number and a semicolon (money in cents, days and microseconds since
-- 1970-01-01 UTC, booleans as 0 or 1). No value can be taken for another, or for two. The warehouse's
-- half is warehouse/sql/reconcile/hashed_*.sql; a test holds them together. Left out are columns that
-- the warehouse alone derives from these, and the position: a repeated record moves it on in
-- PostgreSQL only. A hash is the first 60 bits of the text's MD5.

-- name: hashed_users
-- Part: the first byte of the MD5 of the key. E-mail addresses as the warehouse has them: masked.
SELECT ('x' || substr(md5(t.user_id), 1, 2))::bit(8)::integer AS part,
       NULL::numeric AS amount,
       NULL::numeric AS amount_usd,
       t.batch_no,
       ('x' || substr(md5(t.user_id), 1, 15))::bit(60)::bigint AS key_hash,
       ('x' || substr(md5(concat(
           char_length(t.user_id), ':', t.user_id,
           char_length(e.masked), ':', e.masked,
           t.registration_date - DATE '1970-01-01', ';',
           char_length(t.country), ':', t.country,
           char_length(t.region), ':', t.region,
           coalesce(char_length(t.age_group) || ':' || t.age_group, '-'),
           char_length(t.customer_tier), ':', t.customer_tier
       )), 1, 15))::bit(60)::bigint AS row_hash
FROM public.users AS t
CROSS JOIN LATERAL (
    SELECT regexp_replace(t.email, '^([^@])[^@]*@', '\1***@') AS masked
) AS e

-- name: hashed_products
-- Part: the first byte of the MD5 of the key.
SELECT ('x' || substr(md5(t.product_id), 1, 2))::bit(8)::integer AS part,
       NULL::numeric AS amount,
       NULL::numeric AS amount_usd,
       t.batch_no,
       ('x' || substr(md5(t.product_id), 1, 15))::bit(60)::bigint AS key_hash,
       ('x' || substr(md5(concat(
           char_length(t.product_id), ':', t.product_id,
           char_length(t.name), ':', t.name,
           char_length(t.category), ':', t.category,
           (t.price * 100)::bigint, ';',
           char_length(t.currency), ':', t.currency,
           (t.price_usd * 100)::bigint, ';',
           t.inventory_count, ';',
           char_length(t.supplier_id), ':', t.supplier_id,
           char_length(t.inventory_status), ':', t.inventory_status,
           char_length(t.price_tier), ':', t.price_tier,
           t.is_active::integer, ';'
       )), 1, 15))::bit(60)::bigint AS row_hash
FROM public.products AS t

-- name: hashed_transactions
-- Part: the day. Only some days, where asked for: the bounds on the instant, which follow from those
-- on the day in any time zone, let the BRIN index leave blocks out.
SELECT t.transaction_date AS part,
       t.amount,
       t.amount_usd,
       t.batch_no,
       ('x' || substr(md5(t.transaction_id), 1, 15))::bit(60)::bigint AS key_hash,
       ('x' || substr(md5(concat(
           char_length(t.transaction_id), ':', t.transaction_id,
           char_length(t.user_id), ':', t.user_id,
           coalesce(char_length(t.product_id) || ':' || t.product_id, '-'),
           (t.amount * 100)::bigint, ';',
           char_length(t.currency), ':', t.currency,
           (t.amount_usd * 100)::bigint, ';',
           (extract(epoch FROM t."timestamp") * 1000000)::bigint, ';',
           char_length(t.payment_method), ':', t.payment_method,
           char_length(t.status), ':', t.status,
           t.transaction_date - DATE '1970-01-01', ';',
           char_length(t.processing_priority), ':', t.processing_priority
       )), 1, 15))::bit(60)::bigint AS row_hash
FROM public.transactions AS t
WHERE {within}

-- name: hashed_rejected_transactions
-- Part: the day. What was rejected once is told to the warehouse once, resolved or not; its reason may
-- change here when the file is read again, so only the position is compared.
SELECT t.record_date AS part,
       NULL::numeric AS amount,
       NULL::numeric AS amount_usd,
       t.batch_no,
       ('x' || substr(md5(concat(t.source_ordinal, ';', t.source_offset, ';')), 1, 15))
           ::bit(60)::bigint AS key_hash,
       ('x' || substr(md5(concat(t.source_ordinal, ';', t.source_offset, ';')), 1, 15))
           ::bit(60)::bigint AS row_hash
FROM techmart_loader.quarantine AS t
WHERE t.feed = 'transactions' AND t.record_date IS NOT NULL AND {within}

-- name: parts
-- Counts, money and the sum of hashes by part of a table. $1 batch_no of batches that wait in the
-- outbox; waiting: rows that they wrote last.
SELECT h.part,
       count(*) AS row_count,
       sum(h.amount) AS amount,
       sum(h.amount_usd) AS amount_usd,
       sum(h.row_hash) AS row_hash,
       count(*) FILTER (WHERE h.batch_no = ANY ($1::bigint[])) AS waiting
FROM ({hashed}) AS h
GROUP BY h.part

-- name: batches
-- The same by part and batch, for some parts of a table. The warehouse knows rows that were
-- released or deactivated by their run.
SELECT h.part,
       coalesce(CASE WHEN b.kind IN ('load', 'replay') THEN b.batch_id ELSE b.run_id END::text, '') AS batch_id,
       count(*) AS row_count,
       sum(h.row_hash) AS row_hash
FROM ({hashed}) AS h
LEFT JOIN techmart_loader.batches AS b USING (batch_no)
WHERE h.part IN ({parts})
GROUP BY 1, 2

-- name: rows
-- Hashes of key and row of some parts of a table. $1 batch ids, as `batches` tells them;
-- $2 how many rows at most.
SELECT h.part, h.key_hash, h.row_hash
FROM ({hashed}) AS h
LEFT JOIN techmart_loader.batches AS b USING (batch_no)
WHERE h.part IN ({parts})
  AND coalesce(CASE WHEN b.kind IN ('load', 'replay') THEN b.batch_id ELSE b.run_id END::text, '')
      = ANY ($1::text[])
LIMIT $2

-- name: waiting
-- What the outbox owes to the warehouse, one row for each file.
SELECT o.entry_id, o.batch_no, o.table_name, o.row_count, o.dates
FROM techmart_loader.outbox AS o
WHERE o.published_at IS NULL

-- name: newest_entries
-- The numbers of the newest entries: which are later ones, can be told by them. Numbers are not
-- committed in their order, but nearly.
SELECT coalesce(array_agg(entry_id), '{{}}') AS entries
FROM (SELECT entry_id FROM techmart_loader.outbox ORDER BY entry_id DESC LIMIT {newest}) AS newest

-- name: later_entries
-- Entries that were not there yet when the newest ones were $1.
SELECT o.table_name, o.row_count, o.dates
FROM techmart_loader.outbox AS o
WHERE o.entry_id > coalesce((SELECT max(known) FROM unnest($1::bigint[]) AS known), 0) - {newest}
  AND NOT o.entry_id = ANY ($1::bigint[])

-- name: gaps
-- Bytes between batches of a file that no batch took in, by lane.
WITH ranges AS (
    SELECT b.feed, b.fingerprint, b.lane, b.first_byte,
           coalesce(max(b.end_byte) OVER (
               PARTITION BY b.feed, b.fingerprint, b.contract_version, b.lanes, b.lane
               ORDER BY b.first_byte, b.end_byte ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
           ), 0) AS reached
    FROM techmart_loader.batches AS b
    WHERE b.kind = 'load'
)
SELECT r.feed, coalesce(f.name, '') AS name, r.lane, r.reached AS first_byte,
       r.first_byte AS end_byte
FROM ranges AS r
LEFT JOIN techmart_loader.files AS f USING (feed, fingerprint)
WHERE r.first_byte > r.reached
ORDER BY r.feed, name, r.lane, r.reached
LIMIT 20

-- name: unbalanced_batches
-- Batches that do not account for every record that they read.
SELECT b.batch_id
FROM techmart_loader.batches AS b
WHERE b.records_read <> b.loaded + b.rejected + b.held + b.duplicate
LIMIT 20

-- name: unbalanced_runs
-- Completed runs that do not account for every record that they read, or that say other numbers of
-- loaded and held records than their batches.
WITH told AS (
    SELECT r.run_id, f.key AS feed,
           (f.value ->> 'read')::bigint AS read,
           (f.value ->> 'loaded')::bigint AS loaded,
           (f.value ->> 'rejected')::bigint AS rejected,
           (f.value ->> 'held')::bigint AS held,
           (f.value ->> 'duplicate')::bigint AS duplicate
    FROM techmart_loader.runs AS r
    CROSS JOIN LATERAL jsonb_each(r.feeds) AS f
    WHERE r.status = 'completed'
), committed AS (
    SELECT b.run_id, b.feed, sum(b.loaded) AS loaded, sum(b.held) AS held
    FROM techmart_loader.batches AS b
    WHERE b.kind IN ('load', 'replay')
    GROUP BY b.run_id, b.feed
)
SELECT t.run_id, t.feed
FROM told AS t
LEFT JOIN committed AS c USING (run_id, feed)
WHERE t.read <> t.loaded + t.rejected + t.held + t.duplicate
   OR t.loaded <> coalesce(c.loaded, 0)
   OR t.held <> coalesce(c.held, 0)
LIMIT 20

-- name: held_balance
-- Held records by the books (all ever held, less released, less superseded), and those there are.
SELECT coalesce((SELECT sum(held - released - superseded) FROM techmart_loader.batches), 0)
           ::bigint AS expected,
       (SELECT count(*) FROM techmart_loader.held_transactions WHERE counted) AS actual
