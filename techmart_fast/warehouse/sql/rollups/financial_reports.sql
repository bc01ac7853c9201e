-- financial_reports for every period that holds a day of @dates. A period without any transaction
-- has no row.
--
-- @dates are the touched days; @scan_dates every day of the periods they belong to, and
-- @period_starts the first days of these periods, both sent as literals (partition pruning).
--
-- Choices:
--   * Attributes of users and products (region, tier, price_usd) are the current ones.
--   * cost_of_goods_sold = Σ price_usd × @cost_ratio over completed orders; an order without a
--     product costs nothing. operating_expenses = net_revenue × @operating_expense_ratio.
--     gross_profit = net_revenue − cost, net_profit = gross_profit − expenses. Each figure is rounded
--     from exact values, not from figures that were rounded before.
--   * gross_margin = gross_profit ÷ net_revenue.
--   * All revenue_by_* are completed transactions only and add up to net_revenue, but for those by
--     region and tier while a user is not there yet; they hold the keys that have any, sorted by key.
--     share = revenue ÷ net_revenue.
MERGE financial_reports AS T
USING (
  WITH
  periods AS (
    SELECT 'daily' AS report_type, day AS period_start, day AS period_end
    FROM UNNEST(@dates) AS day
    UNION DISTINCT
    SELECT
      'weekly',
      DATE_TRUNC(day, ISOWEEK),
      DATE_ADD(DATE_TRUNC(day, ISOWEEK), INTERVAL 6 DAY)
    FROM UNNEST(@dates) AS day
    UNION DISTINCT
    SELECT 'monthly', DATE_TRUNC(day, MONTH), LAST_DAY(day, MONTH)
    FROM UNNEST(@dates) AS day
    UNION DISTINCT
    SELECT 'quarterly', DATE_TRUNC(day, QUARTER), LAST_DAY(day, QUARTER)
    FROM UNNEST(@dates) AS day
    UNION DISTINCT
    SELECT 'yearly', DATE_TRUNC(day, YEAR), LAST_DAY(day, YEAR)
    FROM UNNEST(@dates) AS day
  ),
  period_totals AS (
    SELECT
      report_type, period_start, currency, payment_method, status,
      SUM(amount) AS amount,
      SUM(amount_usd) AS amount_usd
    FROM periods
    JOIN partial_totals
      ON transaction_date BETWEEN period_start AND period_end
    WHERE transaction_date IN UNNEST(@scan_dates)
    GROUP BY report_type, period_start, currency, payment_method, status
  ),
  totals AS (
    SELECT
      report_type, period_start,
      SUM(IF(status = 'completed', amount_usd, NUMERIC '0')) AS net_revenue,
      SUM(IF(status = 'refunded', amount_usd, NUMERIC '0')) AS refunds
    FROM period_totals
    GROUP BY report_type, period_start
  ),
  costs AS (
    SELECT report_type, period_start, SUM(list_value_usd) * @cost_ratio AS cost
    FROM periods
    JOIN partial_finances ON transaction_date BETWEEN period_start AND period_end
    WHERE transaction_date IN UNNEST(@scan_dates)
    GROUP BY report_type, period_start
  ),
  customers AS (
    SELECT report_type, period_start, region, customer_tier, SUM(revenue) AS revenue
    FROM periods
    JOIN partial_finances ON transaction_date BETWEEN period_start AND period_end
    WHERE transaction_date IN UNNEST(@scan_dates) AND region != ''
    GROUP BY report_type, period_start, region, customer_tier
  ),
  regions AS (
    SELECT
      report_type, period_start,
      ARRAY_AGG(STRUCT(region, revenue) ORDER BY region) AS revenue_by_region
    FROM (
      SELECT report_type, period_start, region, SUM(revenue) AS revenue
      FROM customers
      GROUP BY report_type, period_start, region
    )
    GROUP BY report_type, period_start
  ),
  tiers AS (
    SELECT
      report_type, period_start,
      ARRAY_AGG(STRUCT(customer_tier, revenue) ORDER BY customer_tier) AS revenue_by_customer_tier
    FROM (
      SELECT report_type, period_start, customer_tier, SUM(revenue) AS revenue
      FROM customers
      GROUP BY report_type, period_start, customer_tier
    )
    GROUP BY report_type, period_start
  ),
  methods AS (
    SELECT
      report_type, period_start,
      ARRAY_AGG(STRUCT(payment_method, revenue, share) ORDER BY payment_method)
        AS revenue_by_payment_method
    FROM (
      SELECT
        period_totals.report_type, period_totals.period_start, payment_method,
        SUM(amount_usd) AS revenue,
        ROUND(10000 * SUM(amount_usd) / NULLIF(MAX(net_revenue), 0)) * NUMERIC '0.0001' AS share
      FROM period_totals
      JOIN totals
        ON totals.report_type = period_totals.report_type
        AND totals.period_start = period_totals.period_start
      WHERE status = 'completed'
      GROUP BY period_totals.report_type, period_totals.period_start, payment_method
    )
    GROUP BY report_type, period_start
  ),
  currencies AS (
    SELECT
      report_type, period_start,
      ARRAY_AGG(STRUCT(currency, amount, amount_usd) ORDER BY currency) AS revenue_by_currency
    FROM (
      SELECT
        report_type, period_start, currency,
        SUM(amount) AS amount,
        SUM(amount_usd) AS amount_usd
      FROM period_totals
      WHERE status = 'completed'
      GROUP BY report_type, period_start, currency
    )
    GROUP BY report_type, period_start
  ),
  exact AS (
    SELECT
      periods.report_type,
      periods.period_start,
      periods.period_end,
      totals.net_revenue,
      totals.refunds,
      COALESCE(costs.cost, NUMERIC '0') AS cost,
      totals.net_revenue - COALESCE(costs.cost, NUMERIC '0') AS profit,
      totals.net_revenue * @operating_expense_ratio AS expenses,
      regions.revenue_by_region,
      tiers.revenue_by_customer_tier,
      methods.revenue_by_payment_method,
      currencies.revenue_by_currency
    FROM periods
    LEFT JOIN totals
      ON totals.report_type = periods.report_type
      AND totals.period_start = periods.period_start
    LEFT JOIN costs
      ON costs.report_type = periods.report_type
      AND costs.period_start = periods.period_start
    LEFT JOIN regions
      ON regions.report_type = periods.report_type
      AND regions.period_start = periods.period_start
    LEFT JOIN tiers
      ON tiers.report_type = periods.report_type
      AND tiers.period_start = periods.period_start
    LEFT JOIN methods
      ON methods.report_type = periods.report_type
      AND methods.period_start = periods.period_start
    LEFT JOIN currencies
      ON currencies.report_type = periods.report_type
      AND currencies.period_start = periods.period_start
  )
  SELECT
    report_type,
    period_start,
    period_end,
    net_revenue + refunds AS gross_revenue,
    refunds,
    net_revenue,
    ROUND(cost, 2) AS cost_of_goods_sold,
    ROUND(profit, 2) AS gross_profit,
    ROUND(10000 * profit / NULLIF(net_revenue, 0)) * NUMERIC '0.0001' AS gross_margin,
    ROUND(expenses, 2) AS operating_expenses,
    ROUND(profit - expenses, 2) AS net_profit,
    revenue_by_region,
    revenue_by_customer_tier,
    revenue_by_payment_method,
    revenue_by_currency
  FROM exact
) AS S
ON T.period_start IN UNNEST(@period_starts)
  AND T.report_type = S.report_type
  AND T.period_start = S.period_start
WHEN MATCHED AND S.net_revenue IS NULL THEN DELETE
WHEN MATCHED THEN UPDATE SET
  period_end = S.period_end,
  gross_revenue = S.gross_revenue,
  refunds = S.refunds,
  net_revenue = S.net_revenue,
  cost_of_goods_sold = S.cost_of_goods_sold,
  gross_profit = S.gross_profit,
  gross_margin = S.gross_margin,
  operating_expenses = S.operating_expenses,
  net_profit = S.net_profit,
  revenue_by_region = S.revenue_by_region,
  revenue_by_customer_tier = S.revenue_by_customer_tier,
  revenue_by_payment_method = S.revenue_by_payment_method,
  revenue_by_currency = S.revenue_by_currency
WHEN NOT MATCHED AND S.net_revenue IS NOT NULL THEN INSERT (
  report_type, period_start, period_end, gross_revenue, refunds, net_revenue, cost_of_goods_sold,
  gross_profit, gross_margin, operating_expenses, net_profit, revenue_by_region,
  revenue_by_customer_tier, revenue_by_payment_method, revenue_by_currency
) VALUES (
  S.report_type, S.period_start, S.period_end, S.gross_revenue, S.refunds, S.net_revenue,
  S.cost_of_goods_sold, S.gross_profit, S.gross_margin, S.operating_expenses, S.net_profit,
  S.revenue_by_region, S.revenue_by_customer_tier, S.revenue_by_payment_method,
  S.revenue_by_currency
)
