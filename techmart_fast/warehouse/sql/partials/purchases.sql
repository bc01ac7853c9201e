-- partial_purchases for the days in @dates: completed orders by user, product and payment method,
-- and the instant of the last one. An order without a product has the empty product_id.
--
-- The category is not here: it is the product's current one, joined when it is needed.
MERGE partial_purchases AS T
USING (
  SELECT
    transaction_date, user_id, product_id, payment_method,
    SUM(orders) AS orders,
    MAX(last_order_at) AS last_order_at
  FROM (
    SELECT
      transaction_date, user_id, COALESCE(product_id, '') AS product_id, payment_method,
      1 AS orders, timestamp AS last_order_at
    FROM transactions
    WHERE transaction_date IN UNNEST(@dates) AND status = 'completed'
    UNION ALL
    SELECT transaction_date, user_id, product_id, payment_method, 0, NULL
    FROM partial_purchases
    WHERE transaction_date IN UNNEST(@dates)
  )
  GROUP BY transaction_date, user_id, product_id, payment_method
) AS S
ON T.transaction_date IN UNNEST(@dates)
  AND T.transaction_date = S.transaction_date
  AND T.user_id = S.user_id
  AND T.product_id = S.product_id
  AND T.payment_method = S.payment_method
WHEN MATCHED AND S.orders = 0 THEN DELETE
WHEN MATCHED AND (T.orders != S.orders OR T.last_order_at != S.last_order_at) THEN UPDATE SET
  orders = S.orders,
  last_order_at = S.last_order_at
WHEN NOT MATCHED THEN INSERT (
  transaction_date, user_id, product_id, payment_method, orders, last_order_at
) VALUES (
  S.transaction_date, S.user_id, S.product_id, S.payment_method, S.orders, S.last_order_at
)
