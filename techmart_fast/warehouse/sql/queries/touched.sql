-- The buckets of the keys that a refresh touches: those with new rows of partial_orders in the days in
-- @dates, and those of the changed users and products themselves.
SELECT 'user' AS kind, user_bucket AS bucket
FROM partial_orders
WHERE transaction_date IN UNNEST(@dates) AND refresh_number > @refreshed
UNION DISTINCT
SELECT 'product', product_bucket
FROM partial_orders
WHERE transaction_date IN UNNEST(@dates) AND refresh_number > @refreshed AND product_id != ''
UNION DISTINCT
SELECT 'changed_user', CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(user_id)), 1, 2)) AS INT64)
FROM changed_users
UNION DISTINCT
SELECT 'changed_product', CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(product_id)), 1, 2)) AS INT64)
FROM changed_products
