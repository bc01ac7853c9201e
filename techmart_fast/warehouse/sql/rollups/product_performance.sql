-- product_performance: one row for every product, also those without orders. An order is a completed
-- transaction.
--
-- Totals are recomputed for touched products only: those with new rows of partial_orders in the touched
-- days (@dates), and the changed products. Their orders of all days are read from the partitions of
-- their buckets (@product_buckets). For all others totals are what this table already holds. What
-- moves with @as_of (the newest transaction_date of any status) or with the contract's parameters is
-- computed for every product whose row has another @basis, which names them both; the windows come
-- from the days in @window_dates then. Of other products only the rank may change. Days and buckets
-- are sent as literals.
--
-- Choices:
--   * base_price is price_usd, as money in the rollups is US dollars.
--   * Windows end with as_of and include it: 365 days for the turnover, @trend_days (28) for the
--     trend, and as many before.
--   * inventory_turnover_ratio is NULL without inventory; days_in_inventory = 365 × inventory ÷
--     orders of the 365 days, two decimals, NULL without orders or inventory.
--   * margin_estimate = (average_order_value − price_usd × @cost_ratio) ÷ average_order_value, from
--     the exact average: (revenue − orders × cost) ÷ revenue.
--   * seasonal_trend: 1.10 and 0.90 are part of the formula; both windows zero is steady.
--   * rank: highest revenue first within the current category; ties share a rank.
MERGE product_performance AS T
USING (
  WITH
  touched AS (
    SELECT product_id
    FROM partial_orders
    WHERE transaction_date IN UNNEST(@dates) AND refresh_number > @refreshed AND product_id != ''
    UNION DISTINCT
    SELECT product_id FROM changed_products
  ),
  history AS (
    SELECT
      orders_by_product.product_id, user_id, transaction_date, orders, revenue, refunded_orders
    FROM orders_by_product
    JOIN touched ON touched.product_id = orders_by_product.product_id
    WHERE orders_by_product.product_bucket IN UNNEST(@product_buckets)
  ),
  totals AS (
    SELECT
      product_id,
      SUM(orders) AS orders,
      SUM(revenue) AS revenue,
      SUM(refunded_orders) AS refunded_orders,
      COUNT(DISTINCT IF(orders > 0, user_id, NULL)) AS customers
    FROM history
    GROUP BY product_id
  ),
  windows AS (
    SELECT
      product_id,
      SUM(IF(transaction_date > DATE_SUB(@as_of, INTERVAL 365 DAY), orders, 0)) AS year_orders,
      SUM(IF(transaction_date > DATE_SUB(@as_of, INTERVAL @trend_days DAY), revenue, NUMERIC '0'))
        AS recent_revenue,
      SUM(IF(
        transaction_date > DATE_SUB(@as_of, INTERVAL 2 * @trend_days DAY)
          AND transaction_date <= DATE_SUB(@as_of, INTERVAL @trend_days DAY),
        revenue, NUMERIC '0'
      )) AS earlier_revenue
    FROM (
      SELECT product_id, transaction_date, orders, revenue FROM history
      UNION ALL
      SELECT partial_products.product_id, transaction_date, orders, revenue
      FROM partial_products
      LEFT JOIN touched ON touched.product_id = partial_products.product_id
      WHERE partial_products.transaction_date IN UNNEST(@window_dates)
        AND touched.product_id IS NULL
    )
    GROUP BY product_id
  ),
  figures AS (
    SELECT
      products.product_id,
      products.name AS product_name,
      products.category,
      products.supplier_id,
      products.price_usd,
      products.price_tier,
      products.inventory_status,
      products.inventory_count,
      products.is_active,
      COALESCE(IF(fresh, totals.revenue, stored.total_revenue), NUMERIC '0') AS total_revenue,
      COALESCE(IF(fresh, totals.orders, stored.total_orders), 0) AS total_orders,
      COALESCE(IF(fresh, totals.refunded_orders, stored.refunded_orders), 0) AS refunded_orders,
      COALESCE(IF(fresh, totals.customers, stored.unique_customers), 0) AS unique_customers,
      COALESCE(windows.year_orders, 0) AS year_orders,
      COALESCE(windows.recent_revenue, NUMERIC '0') AS recent_revenue,
      COALESCE(windows.earlier_revenue, NUMERIC '0') AS earlier_revenue,
      fresh OR stored.basis IS NULL OR stored.basis != @basis AS renewed
    FROM products
    LEFT JOIN (SELECT product_id, TRUE AS fresh FROM touched) AS touched
      ON touched.product_id = products.product_id
    LEFT JOIN totals ON totals.product_id = products.product_id
    LEFT JOIN windows ON windows.product_id = products.product_id
    LEFT JOIN product_performance AS stored ON stored.product_id = products.product_id
  ),
  costed AS (
    SELECT
      figures.*,
      total_revenue - price_usd * @cost_ratio * total_orders AS margin_usd
    FROM figures
  )
  SELECT
    product_id,
    product_name,
    category,
    supplier_id,
    price_usd AS base_price,
    price_tier,
    inventory_status,
    is_active,
    total_revenue,
    total_orders,
    refunded_orders,
    unique_customers,
    ROUND(100 * total_revenue / NULLIF(total_orders, 0)) * NUMERIC '0.01' AS average_order_value,
    ROUND(
      10000 * CAST(refunded_orders AS NUMERIC) / NULLIF(total_orders + refunded_orders, 0)
    ) * NUMERIC '0.0001' AS refund_rate,
    ROUND(10000 * CAST(year_orders AS NUMERIC) / NULLIF(inventory_count, 0)) * NUMERIC '0.0001'
      AS inventory_turnover_ratio,
    ROUND(
      CAST(100 * 365 * NULLIF(inventory_count, 0) AS NUMERIC) / NULLIF(year_orders, 0)
    ) * NUMERIC '0.01' AS days_in_inventory,
    RANK() OVER (PARTITION BY category ORDER BY total_revenue DESC) AS revenue_rank_in_category,
    ROUND(10000 * margin_usd / NULLIF(total_revenue, 0)) * NUMERIC '0.0001' AS margin_estimate,
    CASE
      WHEN 100 * recent_revenue > 110 * earlier_revenue THEN 'rising'
      WHEN 100 * recent_revenue < 90 * earlier_revenue THEN 'falling'
      ELSE 'steady'
    END AS seasonal_trend,
    CASE
      WHEN total_revenue > @high_performance_usd THEN 'high'
      WHEN total_revenue > @medium_performance_usd THEN 'medium'
      ELSE 'low'
    END AS performance_tier,
    renewed
  FROM costed
) AS S
ON T.product_id = S.product_id
WHEN MATCHED AND S.renewed THEN UPDATE SET
  product_name = S.product_name,
  category = S.category,
  supplier_id = S.supplier_id,
  base_price = S.base_price,
  price_tier = S.price_tier,
  inventory_status = S.inventory_status,
  is_active = S.is_active,
  total_revenue = S.total_revenue,
  total_orders = S.total_orders,
  unique_customers = S.unique_customers,
  average_order_value = S.average_order_value,
  refund_rate = S.refund_rate,
  inventory_turnover_ratio = S.inventory_turnover_ratio,
  days_in_inventory = S.days_in_inventory,
  revenue_rank_in_category = S.revenue_rank_in_category,
  margin_estimate = S.margin_estimate,
  seasonal_trend = S.seasonal_trend,
  performance_tier = S.performance_tier,
  refunded_orders = S.refunded_orders,
  basis = @basis
WHEN MATCHED AND T.revenue_rank_in_category != S.revenue_rank_in_category THEN UPDATE SET
  revenue_rank_in_category = S.revenue_rank_in_category
WHEN NOT MATCHED THEN INSERT (
  product_id, product_name, category, supplier_id, base_price, price_tier, inventory_status,
  is_active, total_revenue, total_orders, unique_customers, average_order_value, refund_rate,
  inventory_turnover_ratio, days_in_inventory, revenue_rank_in_category, margin_estimate,
  seasonal_trend, performance_tier, refunded_orders, basis
) VALUES (
  S.product_id, S.product_name, S.category, S.supplier_id, S.base_price, S.price_tier,
  S.inventory_status, S.is_active, S.total_revenue, S.total_orders, S.unique_customers,
  S.average_order_value, S.refund_rate, S.inventory_turnover_ratio, S.days_in_inventory,
  S.revenue_rank_in_category, S.margin_estimate, S.seasonal_trend, S.performance_tier,
  S.refunded_orders, @basis
)
