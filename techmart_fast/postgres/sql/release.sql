-- Held transactions whose parents have arrived.

-- name: parents
-- The distinct parents of the held rows that could be released next: those whose user and product
-- exist. $1 transaction_id to start after, $2 how many rows. Result: one row per held row.
-- name: stage
-- Stages the next held rows whose parents exist, in key order. $1 start after this transaction_id,
-- $2 how many rows. All versions of a transaction come together as far as the limit allows; "only
-- if newer" makes it right where it does not. The priority is decided now, from the user's tier.
INSERT INTO pg_temp.staged_transactions (n, missing, chained, {staged})
SELECT row_number() OVER (ORDER BY h.transaction_id, h.source_ordinal, h.source_offset) - 1,
       false, true, {staged_decided}
FROM techmart_loader.held_transactions AS h
JOIN public.users AS u ON u.user_id = h.user_id
WHERE h.transaction_id > $1
  AND (h.product_id IS NULL
       OR EXISTS (SELECT FROM public.products AS p WHERE p.product_id = h.product_id))
ORDER BY h.transaction_id, h.source_ordinal, h.source_offset
LIMIT $2
