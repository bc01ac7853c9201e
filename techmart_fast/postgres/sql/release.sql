-- Held transactions whose parents have arrived.

-- name: priority
-- The priority of a transaction, from the tier that its user has at this moment.
CASE u.customer_tier WHEN 'vip' THEN 'high' WHEN 'premium' THEN 'medium' ELSE 'standard' END

-- name: stage
-- Stages the next held rows whose parents exist, in key order. $1 the transaction_id to start from
-- (rows of a batch before are gone), $2 how many rows.
INSERT INTO pg_temp.staged_transactions (n, missing, chained, {staged})
SELECT row_number() OVER (ORDER BY next.transaction_id, next.source_ordinal, next.source_offset),
       false, true, {staged}
FROM (
    SELECT {decided}
    FROM techmart_loader.held_transactions AS h
    JOIN public.users AS u ON u.user_id = h.user_id
    WHERE h.transaction_id >= $1
      AND (h.product_id IS NULL
           OR EXISTS (SELECT FROM public.products AS p WHERE p.product_id = h.product_id))
    ORDER BY h.transaction_id, h.source_ordinal, h.source_offset
    LIMIT $2
) AS next

-- name: parents
-- Distinct keys of a parent among the staged rows.
SELECT DISTINCT s.{column} AS key
FROM pg_temp.staged_transactions AS s
WHERE s.{column} IS NOT NULL
ORDER BY 1

-- name: orphan
-- Marks staged rows whose parent was deleted in between. $1 keys.
UPDATE pg_temp.staged_transactions SET missing = true WHERE {column} = ANY ($1::text[])

-- name: last
-- Where the next batch starts.
SELECT max(transaction_id) AS last FROM pg_temp.staged_transactions

-- name: accepted
-- The rows whose content is written, with the priority that is kept.
SELECT {spooled}
FROM pg_temp.staged_transactions AS s
JOIN pg_temp.judged_transactions AS j USING (n)
WHERE j.action IN ('insert', 'correct')
ORDER BY s.n

-- name: let_go
-- Takes released rows out of the held ones. Result: how many of them were counted as held.
WITH released AS (
    DELETE FROM techmart_loader.held_transactions AS h
    USING pg_temp.staged_transactions AS s
    WHERE NOT s.missing AND h.transaction_id = s.transaction_id
      AND h.source_ordinal = s.source_ordinal AND h.source_offset = s.source_offset
    RETURNING h.counted
)
SELECT count(*) FILTER (WHERE counted) AS counted FROM released
