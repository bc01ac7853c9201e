-- The buckets of the users who ordered changed products: their preferred category may be another now.
SELECT DISTINCT user_bucket AS bucket
FROM orders_by_product
JOIN changed_products ON changed_products.product_id = orders_by_product.product_id
WHERE orders_by_product.product_bucket IN UNNEST(@changed_product_buckets)
