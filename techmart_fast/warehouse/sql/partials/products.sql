-- partial_products for the days in @dates: completed orders, their revenue and refunded orders by
-- product. Transactions without a product are not here.
--
-- The old keys of these days join in with zeros, as in partial_users.
MERGE partial_products AS T
USING (
  SELECT
    transaction_date, product_id,
    SUM(orders) AS orders,
    SUM(revenue) AS revenue,
    SUM(refunded_orders) AS refunded_orders
  FROM (
    SELECT transaction_date, product_id, orders, revenue, refunded_orders
    FROM partial_orders
    WHERE transaction_date IN UNNEST(@dates)
      AND product_id != ''
      AND (orders > 0 OR refunded_orders > 0)
    UNION ALL
    SELECT transaction_date, product_id, 0, NUMERIC '0', 0
    FROM partial_products
    WHERE transaction_date IN UNNEST(@dates)
  )
  GROUP BY transaction_date, product_id
) AS S
ON T.transaction_date IN UNNEST(@dates)
  AND T.transaction_date = S.transaction_date
  AND T.product_id = S.product_id
WHEN MATCHED AND S.orders = 0 AND S.refunded_orders = 0 THEN DELETE
WHEN MATCHED AND (
  T.orders != S.orders OR T.revenue != S.revenue OR T.refunded_orders != S.refunded_orders
) THEN UPDATE SET
  orders = S.orders,
  revenue = S.revenue,
  refunded_orders = S.refunded_orders
WHEN NOT MATCHED THEN INSERT (transaction_date, product_id, orders, revenue, refunded_orders)
VALUES (S.transaction_date, S.product_id, S.orders, S.revenue, S.refunded_orders)
