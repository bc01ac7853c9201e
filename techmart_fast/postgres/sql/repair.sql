-- Sending rows to the warehouse again.

-- name: begin
-- A repair begins. $1 staging_table, $2 run_id.
INSERT INTO techmart_loader.repairs (staging_table, run_id) VALUES ($1, $2)
ON CONFLICT (staging_table) DO NOTHING

-- name: open
-- Repairs that have not ended, but for those of the run $1.
SELECT staging_table FROM techmart_loader.repairs WHERE ended_at IS NULL AND run_id <> $1

-- name: end
-- $1 staging tables.
UPDATE techmart_loader.repairs SET ended_at = now()
WHERE staging_table = ANY ($1::text[]) AND ended_at IS NULL

-- name: cover_entries
-- What a repair sent contains the rows of these entries. $1 entry ids.
UPDATE techmart_loader.outbox SET published_at = now()
WHERE entry_id = ANY ($1::bigint[]) AND published_at IS NULL

-- name: cover_groups
-- Groups that have no open entry any more are done.
UPDATE techmart_loader.load_groups AS g SET published_at = now()
WHERE g.published_at IS NULL
  AND NOT EXISTS (
      SELECT FROM techmart_loader.outbox AS o
      WHERE o.group_id = g.group_id AND o.published_at IS NULL
  )

-- name: blocks
-- How many blocks a table has. $1 table.
SELECT (pg_relation_size($1::regclass) / current_setting('block_size')::bigint)::bigint AS blocks

-- name: page_users
-- Users as the warehouse is sent them, of some blocks of the table and some parts.
SELECT t.user_id, t.email, t.registration_date, t.country, t.region, t.age_group, t.customer_tier,
       t.source_ordinal, t.source_offset, {batch_id} AS batch_id
FROM public.users AS t
LEFT JOIN techmart_loader.batches AS b USING (batch_no)
WHERE t.ctid >= '({first},0)'::tid AND t.ctid < '({end},0)'::tid AND {within}

-- name: page_products
-- Products, the same. The newest catalogue is that which deactivated what is inactive: an active one's
-- position is newer than any catalogue that did not name it.
SELECT t.product_id, t.name, t.category, t.price, t.currency, t.price_usd, t.inventory_count,
       t.supplier_id, t.inventory_status, t.price_tier, t.source_ordinal, t.source_offset,
       t.is_active,
       CASE WHEN t.is_active THEN 0 ELSE coalesce(
           (SELECT c.since_ordinal FROM techmart_loader.catalogues AS c WHERE c.feed = 'products'),
           0) END AS catalogue_ordinal,
       {batch_id} AS batch_id
FROM public.products AS t
LEFT JOIN techmart_loader.batches AS b USING (batch_no)
WHERE t.ctid >= '({first},0)'::tid AND t.ctid < '({end},0)'::tid AND {within}

-- name: page_transactions
-- Transactions, the same, but for the columns that follow from these by the contract.
SELECT t.transaction_id, t.user_id, t.product_id, t.amount, t.currency, t.amount_usd, t."timestamp",
       t.payment_method, t.status, t.transaction_date, t.processing_priority, t.source_ordinal,
       t.source_offset, {batch_id} AS batch_id
FROM public.transactions AS t
LEFT JOIN techmart_loader.batches AS b USING (batch_no)
WHERE t.ctid >= '({first},0)'::tid AND t.ctid < '({end},0)'::tid AND {within}

-- name: page_rejected_transactions
-- Rejected transactions, the same.
SELECT t.source_ordinal, t.source_offset, t.record_date AS transaction_date, t.code,
       {batch_id} AS batch_id
FROM techmart_loader.quarantine AS t
LEFT JOIN techmart_loader.batches AS b USING (batch_no)
WHERE t.ctid >= '({first},0)'::tid AND t.ctid < '({end},0)'::tid
  AND t.feed = 'transactions' AND t.record_date IS NOT NULL AND {within}

-- name: owed
-- Rows of the batches of some outbox entries.
t.batch_no IN (SELECT o.batch_no FROM techmart_loader.outbox AS o WHERE o.entry_id IN ({entries}))

-- name: batch_id
-- The warehouse knows rows that were released or deactivated by their run.
coalesce(CASE WHEN b.kind IN ('load', 'replay') THEN b.batch_id ELSE b.run_id END::text, '')
