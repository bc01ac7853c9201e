-- Complete catalogues of products.

-- name: remember
-- The newest complete catalogue. $1 first ordinal. Result: the greater of it and the known one.
INSERT INTO techmart_loader.catalogues AS c (feed, since_ordinal) VALUES ('products', $1)
ON CONFLICT (feed) DO UPDATE SET since_ordinal = greatest(c.since_ordinal, excluded.since_ordinal)
RETURNING since_ordinal

-- name: deactivate
-- Products that the catalogue does not name. One whose record was rejected there is named. $1 first
-- ordinal of the catalogue, $2 batch_no.
UPDATE public.products AS p
SET is_active = false, batch_no = $2, updated_at = now()
WHERE p.is_active
  AND p.source_ordinal < $1
  AND NOT EXISTS (
      SELECT FROM techmart_loader.quarantine AS q
      WHERE q.feed = 'products' AND q.source_ordinal >= $1 AND q.resolved_at IS NULL
        AND q.record_key = p.product_id
  )

-- name: deactivated
-- What a batch deactivated, as candidates. {batch_no}: COPY takes no arguments.
SELECT {columns}
FROM public.products
WHERE batch_no = {batch_no} AND NOT is_active

-- name: named
-- Products of one file: those whose newest record stands there, and rejected records with an id.
-- $1 ordinal.
SELECT (SELECT count(*) FROM public.products WHERE source_ordinal = $1)
     + (SELECT count(*) FROM techmart_loader.quarantine
        WHERE feed = 'products' AND source_ordinal = $1 AND record_key IS NOT NULL) AS named

-- name: premium_users
-- Users of another tier than the default. $1 default tier.
SELECT user_id, customer_tier FROM public.users WHERE customer_tier <> $1
