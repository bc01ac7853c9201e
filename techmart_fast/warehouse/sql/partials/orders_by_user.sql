-- orders_by_user: what partial_orders has new for the days in @dates, where a user's orders of all
-- days are together. Only the partitions of the buckets in @user_buckets are read and written.
MERGE orders_by_user AS T
USING (
  SELECT
    user_bucket, user_id, transaction_date, product_id, payment_method, orders, revenue,
    last_order_at
  FROM partial_orders
  WHERE transaction_date IN UNNEST(@dates) AND refresh_number > @refreshed
) AS S
ON T.user_bucket IN UNNEST(@user_buckets)
  AND T.user_bucket = S.user_bucket
  AND T.user_id = S.user_id
  AND T.transaction_date = S.transaction_date
  AND T.product_id = S.product_id
  AND T.payment_method = S.payment_method
WHEN MATCHED AND S.orders = 0 THEN DELETE
WHEN MATCHED THEN UPDATE SET
  orders = S.orders,
  revenue = S.revenue,
  last_order_at = S.last_order_at
WHEN NOT MATCHED AND S.orders > 0 THEN INSERT (
  user_bucket, user_id, transaction_date, product_id, payment_method, orders, revenue, last_order_at
) VALUES (
  S.user_bucket, S.user_id, S.transaction_date, S.product_id, S.payment_method, S.orders, S.revenue,
  S.last_order_at
)
