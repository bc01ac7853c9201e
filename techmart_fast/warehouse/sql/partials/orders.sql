-- partial_orders for the days in @dates: completed and refunded orders by user, product and payment
-- method. An order without a product has the empty product_id. The other partials of orders, by day
-- and by key, are made from it.
--
-- Refreshes are counted, and @refreshed is the number of the last one that came to its end. A row
-- that this one changes gets the number after it, so that rows with a higher number than @refreshed
-- are what the tables by key do not hold yet, however often a refresh is interrupted and repeated.
-- For the same reason a key that lost its orders stays, with zeros, until a later refresh of its day.
-- @again marks every row, changed or not.
--
-- A bucket is the first byte of the key's MD5: a key's rows are together, and keys evenly spread.
-- The category is not here: it is the product's current one, joined when it is needed.
MERGE partial_orders AS T
USING (
  SELECT
    transaction_date, user_id, product_id, payment_method,
    CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(user_id)), 1, 2)) AS INT64) AS user_bucket,
    CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(product_id)), 1, 2)) AS INT64) AS product_bucket,
    SUM(orders) AS orders,
    SUM(revenue) AS revenue,
    SUM(refunded_orders) AS refunded_orders,
    MAX(last_order_at) AS last_order_at
  FROM (
    SELECT
      transaction_date, user_id, COALESCE(product_id, '') AS product_id, payment_method,
      IF(status = 'completed', 1, 0) AS orders,
      IF(status = 'completed', amount_usd, NUMERIC '0') AS revenue,
      IF(status = 'refunded', 1, 0) AS refunded_orders,
      IF(status = 'completed', timestamp, NULL) AS last_order_at
    FROM transactions
    WHERE transaction_date IN UNNEST(@dates) AND status IN ('completed', 'refunded')
    UNION ALL
    SELECT transaction_date, user_id, product_id, payment_method, 0, NUMERIC '0', 0, NULL
    FROM partial_orders
    WHERE transaction_date IN UNNEST(@dates)
  )
  GROUP BY transaction_date, user_id, product_id, payment_method
) AS S
ON T.transaction_date IN UNNEST(@dates)
  AND T.transaction_date = S.transaction_date
  AND T.user_id = S.user_id
  AND T.product_id = S.product_id
  AND T.payment_method = S.payment_method
WHEN MATCHED
  AND S.orders = 0 AND S.refunded_orders = 0
  AND T.orders = 0 AND T.refunded_orders = 0
  AND T.refresh_number <= @refreshed
  THEN DELETE
WHEN MATCHED AND (
  @again
  OR T.orders != S.orders
  OR T.revenue != S.revenue
  OR T.refunded_orders != S.refunded_orders
  OR T.last_order_at IS DISTINCT FROM S.last_order_at
) THEN UPDATE SET
  orders = S.orders,
  revenue = S.revenue,
  refunded_orders = S.refunded_orders,
  last_order_at = S.last_order_at,
  refresh_number = @refreshed + 1
WHEN NOT MATCHED THEN INSERT (
  transaction_date, user_id, product_id, payment_method, orders, revenue, refunded_orders,
  last_order_at, user_bucket, product_bucket, refresh_number
) VALUES (
  S.transaction_date, S.user_id, S.product_id, S.payment_method, S.orders, S.revenue,
  S.refunded_orders, S.last_order_at, S.user_bucket, S.product_bucket, @refreshed + 1
)
