-- partial_finances for the days in @dates: completed orders by region and tier of their user, their
-- revenue, and what their products cost in the shop. Attributes of users and products are the current
-- ones, so a day is computed anew when one of them changes. Few rows a day: a report on a year reads
-- these, and no orders but those of the days that changed.
--
-- An order whose user is not there has an empty region and tier; one without a product costs nothing.
-- The old keys of these days join in with zeros, as in partial_users.
MERGE partial_finances AS T
USING (
  SELECT
    transaction_date, region, customer_tier,
    SUM(orders) AS orders,
    SUM(revenue) AS revenue,
    SUM(list_value_usd) AS list_value_usd
  FROM (
    SELECT
      transaction_date,
      COALESCE(users.region, '') AS region,
      COALESCE(users.customer_tier, '') AS customer_tier,
      orders,
      revenue,
      orders * COALESCE(products.price_usd, NUMERIC '0') AS list_value_usd
    FROM partial_orders
    LEFT JOIN users ON users.user_id = partial_orders.user_id
    LEFT JOIN products ON products.product_id = partial_orders.product_id
    WHERE transaction_date IN UNNEST(@dates) AND orders > 0
    UNION ALL
    SELECT transaction_date, region, customer_tier, 0, NUMERIC '0', NUMERIC '0'
    FROM partial_finances
    WHERE transaction_date IN UNNEST(@dates)
  )
  GROUP BY transaction_date, region, customer_tier
) AS S
ON T.transaction_date IN UNNEST(@dates)
  AND T.transaction_date = S.transaction_date
  AND T.region = S.region
  AND T.customer_tier = S.customer_tier
WHEN MATCHED AND S.orders = 0 THEN DELETE
WHEN MATCHED AND (
  T.orders != S.orders OR T.revenue != S.revenue OR T.list_value_usd != S.list_value_usd
) THEN UPDATE SET
  orders = S.orders,
  revenue = S.revenue,
  list_value_usd = S.list_value_usd
WHEN NOT MATCHED THEN INSERT (
  transaction_date, region, customer_tier, orders, revenue, list_value_usd
) VALUES (
  S.transaction_date, S.region, S.customer_tier, S.orders, S.revenue, S.list_value_usd
)
