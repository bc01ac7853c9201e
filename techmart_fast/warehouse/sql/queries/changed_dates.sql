-- The days on which changed users or products had completed orders: their attributes (tier, region,
-- price, name) stand in the rollups of these days and of the periods that hold them.
SELECT transaction_date
FROM orders_by_user
JOIN changed_users ON changed_users.user_id = orders_by_user.user_id
WHERE orders_by_user.user_bucket IN UNNEST(@changed_user_buckets)
UNION DISTINCT
SELECT transaction_date
FROM orders_by_product
JOIN changed_products ON changed_products.product_id = orders_by_product.product_id
WHERE orders_by_product.product_bucket IN UNNEST(@changed_product_buckets) AND orders > 0
