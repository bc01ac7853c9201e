-- daily_sales_summary for the days in @dates. A day without any transaction has no row.
--
-- Revenue is completed transactions only. Rounding: money is exact to the cent; the average is
-- rounded once, half away from zero. Every quotient here and in the other rollups is written
-- ROUND(100 * x / y) * 0.01 (or 10000 and 0.0001): BigQuery's NUMERIC quotient is itself rounded to
-- nine decimals, and scaling first keeps that from deciding the last digit shown (exact up to
-- denominators of 10^9, where ROUND(x / y, 2) is not).
-- revenue_by_* hold the keys that have completed transactions that day, sorted by key.
MERGE daily_sales_summary AS T
USING (
  WITH
  totals AS (
    SELECT
      transaction_date,
      SUM(transactions) AS accepted,
      SUM(IF(status = 'completed', transactions, 0)) AS completed,
      SUM(IF(status = 'completed', amount_usd, NUMERIC '0')) AS revenue,
      SUM(IF(status = 'refunded', transactions, 0)) AS refunded,
      SUM(IF(status = 'refunded', amount_usd, NUMERIC '0')) AS refunded_amount,
      SUM(IF(status = 'failed', transactions, 0)) AS failed,
      SUM(IF(status = 'pending', transactions, 0)) AS pending,
      SUM(IF(status = 'cancelled', transactions, 0)) AS cancelled
    FROM partial_totals
    WHERE transaction_date IN UNNEST(@dates)
    GROUP BY transaction_date
  ),
  customers AS (
    SELECT transaction_date, COUNT(*) AS customers
    FROM partial_users
    WHERE transaction_date IN UNNEST(@dates) AND orders > 0
    GROUP BY transaction_date
  ),
  currencies AS (
    SELECT
      transaction_date,
      ARRAY_AGG(STRUCT(currency, amount, amount_usd) ORDER BY currency) AS revenue_by_currency
    FROM (
      SELECT
        transaction_date, currency, SUM(amount) AS amount, SUM(amount_usd) AS amount_usd
      FROM partial_totals
      WHERE transaction_date IN UNNEST(@dates) AND status = 'completed'
      GROUP BY transaction_date, currency
    )
    GROUP BY transaction_date
  ),
  methods AS (
    SELECT
      transaction_date,
      ARRAY_AGG(STRUCT(payment_method, revenue, transactions) ORDER BY payment_method)
        AS revenue_by_payment_method
    FROM (
      SELECT
        transaction_date, payment_method,
        SUM(amount_usd) AS revenue,
        SUM(transactions) AS transactions
      FROM partial_totals
      WHERE transaction_date IN UNNEST(@dates) AND status = 'completed'
      GROUP BY transaction_date, payment_method
    )
    GROUP BY transaction_date
  ),
  best AS (
    SELECT transaction_date, product_id, revenue, orders
    FROM partial_products
    WHERE transaction_date IN UNNEST(@dates) AND orders > 0
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY transaction_date ORDER BY revenue DESC, product_id
    ) <= 10
  ),
  top AS (
    SELECT
      best.transaction_date,
      ARRAY_AGG(
        STRUCT(
          best.product_id AS product_id,
          products.name AS product_name,
          best.revenue AS revenue,
          best.orders AS transactions
        )
        ORDER BY best.revenue DESC, best.product_id
      ) AS top_products
    FROM best
    LEFT JOIN products ON products.product_id = best.product_id
    GROUP BY best.transaction_date
  ),
  rejections AS (
    SELECT transaction_date, COUNT(*) AS rejected
    FROM rejected_transactions
    WHERE transaction_date IN UNNEST(@dates)
    GROUP BY transaction_date
  )
  SELECT
    day AS date,
    totals.accepted,
    totals.revenue AS total_revenue,
    totals.completed AS total_transactions,
    COALESCE(customers.customers, 0) AS unique_customers,
    ROUND(100 * totals.revenue / NULLIF(totals.completed, 0)) * NUMERIC '0.01'
      AS average_order_value,
    totals.refunded_amount,
    totals.refunded AS refunded_transactions,
    totals.failed AS failed_transactions,
    totals.pending AS pending_transactions,
    totals.cancelled AS cancelled_transactions,
    currencies.revenue_by_currency,
    methods.revenue_by_payment_method,
    top.top_products,
    -- From the state of the tables, not from a run's counts: reruns and the order of arrival do not
    -- matter. Accepted are the facts that have this date, of any status.
    ROUND(
      10000 * CAST(totals.accepted AS NUMERIC)
      / (totals.accepted + COALESCE(rejections.rejected, 0))
    ) * NUMERIC '0.0001' AS data_quality_score
  FROM UNNEST(@dates) AS day
  LEFT JOIN totals ON totals.transaction_date = day
  LEFT JOIN customers ON customers.transaction_date = day
  LEFT JOIN currencies ON currencies.transaction_date = day
  LEFT JOIN methods ON methods.transaction_date = day
  LEFT JOIN top ON top.transaction_date = day
  LEFT JOIN rejections ON rejections.transaction_date = day
) AS S
ON T.date IN UNNEST(@dates) AND T.date = S.date
WHEN MATCHED AND S.accepted IS NULL THEN DELETE
WHEN MATCHED THEN UPDATE SET
  total_revenue = S.total_revenue,
  total_transactions = S.total_transactions,
  unique_customers = S.unique_customers,
  average_order_value = S.average_order_value,
  refunded_amount = S.refunded_amount,
  refunded_transactions = S.refunded_transactions,
  failed_transactions = S.failed_transactions,
  pending_transactions = S.pending_transactions,
  cancelled_transactions = S.cancelled_transactions,
  revenue_by_currency = S.revenue_by_currency,
  revenue_by_payment_method = S.revenue_by_payment_method,
  top_products = S.top_products,
  data_quality_score = S.data_quality_score
WHEN NOT MATCHED AND S.accepted IS NOT NULL THEN INSERT (
  date, total_revenue, total_transactions, unique_customers, average_order_value, refunded_amount,
  refunded_transactions, failed_transactions, pending_transactions, cancelled_transactions,
  revenue_by_currency, revenue_by_payment_method, top_products, data_quality_score
) VALUES (
  S.date, S.total_revenue, S.total_transactions, S.unique_customers, S.average_order_value,
  S.refunded_amount, S.refunded_transactions, S.failed_transactions, S.pending_transactions,
  S.cancelled_transactions, S.revenue_by_currency, S.revenue_by_payment_method, S.top_products,
  S.data_quality_score
)
