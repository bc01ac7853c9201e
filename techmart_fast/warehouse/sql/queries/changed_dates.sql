-- The days on which changed users or products had completed orders: their attributes (tier, region,
-- price, name) stand in the rollups of these days and of the periods that hold them.
SELECT transaction_date
FROM partial_users
JOIN changed_users ON changed_users.user_id = partial_users.user_id
WHERE orders > 0
UNION DISTINCT
SELECT transaction_date
FROM partial_products
JOIN changed_products ON changed_products.product_id = partial_products.product_id
WHERE orders > 0
