-- orders_by_product: what partial_orders has new for the days in @dates, where a product's orders of
-- all days are together; orders without a product are not here. Only the partitions of the buckets in
-- @product_buckets are read and written.
MERGE orders_by_product AS T
USING (
  SELECT
    product_bucket, product_id, transaction_date, user_id, payment_method, orders, revenue,
    refunded_orders, user_bucket
  FROM partial_orders
  WHERE transaction_date IN UNNEST(@dates) AND refresh_number > @refreshed AND product_id != ''
) AS S
ON T.product_bucket IN UNNEST(@product_buckets)
  AND T.product_bucket = S.product_bucket
  AND T.product_id = S.product_id
  AND T.transaction_date = S.transaction_date
  AND T.user_id = S.user_id
  AND T.payment_method = S.payment_method
WHEN MATCHED AND S.orders = 0 AND S.refunded_orders = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET
  orders = S.orders,
  revenue = S.revenue,
  refunded_orders = S.refunded_orders
WHEN NOT MATCHED AND (S.orders > 0 OR S.refunded_orders > 0) THEN INSERT (
  product_bucket, product_id, transaction_date, user_id, payment_method, orders, revenue,
  refunded_orders, user_bucket
) VALUES (
  S.product_bucket, S.product_id, S.transaction_date, S.user_id, S.payment_method, S.orders,
  S.revenue, S.refunded_orders, S.user_bucket
)
