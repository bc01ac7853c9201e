-- partial_users for the days in @dates: completed orders and their revenue by user.
--
-- The old keys of these days join in with zeros, so a user who has no order there any more is found
-- and removed by the same statement.
MERGE partial_users AS T
USING (
  SELECT transaction_date, user_id, SUM(orders) AS orders, SUM(revenue) AS revenue
  FROM (
    SELECT transaction_date, user_id, orders, revenue
    FROM partial_orders
    WHERE transaction_date IN UNNEST(@dates) AND orders > 0
    UNION ALL
    SELECT transaction_date, user_id, 0, NUMERIC '0'
    FROM partial_users
    WHERE transaction_date IN UNNEST(@dates)
  )
  GROUP BY transaction_date, user_id
) AS S
ON T.transaction_date IN UNNEST(@dates)
  AND T.transaction_date = S.transaction_date
  AND T.user_id = S.user_id
WHEN MATCHED AND S.orders = 0 THEN DELETE
WHEN MATCHED AND (T.orders != S.orders OR T.revenue != S.revenue) THEN UPDATE SET
  orders = S.orders,
  revenue = S.revenue
WHEN NOT MATCHED THEN INSERT (transaction_date, user_id, orders, revenue)
VALUES (S.transaction_date, S.user_id, S.orders, S.revenue)
