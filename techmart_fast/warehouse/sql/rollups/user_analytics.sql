-- user_analytics: one row for every user, also those without orders. An order is a completed
-- transaction.
--
-- Sums, first and last order and preferences are recomputed for touched users only: those with new
-- rows of partial_orders in the touched days (@dates), the changed users themselves, and whoever
-- bought a product that changed (its category may be another). Their orders of all days are read from
-- the partitions of their buckets (@user_buckets). For all others they are what this table already
-- holds. What moves with @as_of (the newest transaction_date of any status) or with the contract's
-- parameters is computed for every user whose row has another @basis, which names them both.
-- Days and buckets are sent as literals.
--
-- Choices:
--   * preferred_*: most orders; ties: the one ordered last (instant of the newest order), then name.
--     The category is the product's current one; orders without a product have none.
--   * Without orders: total_spent 0.00, total_orders 0, rfm_segment 'no_orders'; averages, dates,
--     preferences, customer_lifetime_value and churn_risk_score are NULL.
--   * churn_risk_score = min(1, days_since_last_order ÷ @churn_days).
--   * customer_lifetime_value is written with one quotient, so that it is rounded once:
--     spent + (1 − min(d, c) ÷ c) × spent ÷ max(30, span) × 365
--       = spent + spent × 365 × (c − min(d, c)) ÷ (c × max(30, span)), d days since the last order,
--     c @churn_days, span days from the first order to as_of.
--   * rfm_segment: recency, frequency and monetary value score 3, 2 or 1 each by the contract's
--     limits (days: at most; orders and USD: at least); the sum 8–9 is champions, 6–7 loyal,
--     5 potential, 4 at_risk, 3 lost.
MERGE user_analytics AS T
USING (
  WITH
  touched AS (
    SELECT user_id
    FROM partial_orders
    WHERE transaction_date IN UNNEST(@dates) AND refresh_number > @refreshed
    UNION DISTINCT
    SELECT user_id FROM changed_users
    UNION DISTINCT
    SELECT orders_by_product.user_id
    FROM orders_by_product
    JOIN changed_products ON changed_products.product_id = orders_by_product.product_id
    WHERE orders_by_product.product_bucket IN UNNEST(@changed_product_buckets)
  ),
  purchases AS (
    SELECT
      orders_by_user.user_id, product_id, payment_method, transaction_date, orders, revenue,
      last_order_at
    FROM orders_by_user
    JOIN touched ON touched.user_id = orders_by_user.user_id
    WHERE orders_by_user.user_bucket IN UNNEST(@user_buckets)
  ),
  by_method AS (
    SELECT
      user_id, payment_method,
      SUM(orders) AS orders,
      SUM(revenue) AS revenue,
      MIN(transaction_date) AS first_order_date,
      MAX(transaction_date) AS last_order_date,
      MAX(last_order_at) AS last_order_at
    FROM purchases
    GROUP BY user_id, payment_method
  ),
  totals AS (
    SELECT
      user_id,
      SUM(orders) AS orders,
      SUM(revenue) AS revenue,
      MIN(first_order_date) AS first_order_date,
      MAX(last_order_date) AS last_order_date
    FROM by_method
    GROUP BY user_id
  ),
  methods AS (
    SELECT user_id, payment_method
    FROM by_method
    WHERE TRUE
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY user_id ORDER BY orders DESC, last_order_at DESC, payment_method
    ) = 1
  ),
  categories AS (
    SELECT user_id, category
    FROM (
      SELECT
        purchases.user_id, products.category,
        SUM(purchases.orders) AS orders,
        MAX(purchases.last_order_at) AS last_order_at
      FROM purchases
      JOIN products ON products.product_id = purchases.product_id
      GROUP BY purchases.user_id, products.category
    )
    WHERE TRUE
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY user_id ORDER BY orders DESC, last_order_at DESC, category
    ) = 1
  ),
  figures AS (
    SELECT
      users.user_id,
      users.email,
      users.registration_date,
      users.country,
      users.age_group,
      users.customer_tier,
      IF(fresh, COALESCE(totals.revenue, NUMERIC '0'), COALESCE(stored.total_spent, NUMERIC '0'))
        AS total_spent,
      IF(fresh, COALESCE(totals.orders, 0), COALESCE(stored.total_orders, 0)) AS total_orders,
      IF(fresh, totals.first_order_date, stored.first_order_date) AS first_order_date,
      IF(fresh, totals.last_order_date, stored.last_order_date) AS last_order_date,
      IF(fresh, methods.payment_method, stored.preferred_payment_method)
        AS preferred_payment_method,
      IF(fresh, categories.category, stored.preferred_product_category)
        AS preferred_product_category
    FROM users
    LEFT JOIN (SELECT user_id, TRUE AS fresh FROM touched) AS touched
      ON touched.user_id = users.user_id
    LEFT JOIN totals ON totals.user_id = users.user_id
    LEFT JOIN methods ON methods.user_id = users.user_id
    LEFT JOIN categories ON categories.user_id = users.user_id
    LEFT JOIN user_analytics AS stored ON stored.user_id = users.user_id
    WHERE fresh OR stored.basis IS NULL OR stored.basis != @basis
  ),
  dated AS (
    SELECT
      figures.*,
      DATE_DIFF(@as_of, last_order_date, DAY) AS days_since_last_order,
      LEAST(DATE_DIFF(@as_of, last_order_date, DAY), @churn_days) AS days_to_churn,
      GREATEST(30, DATE_DIFF(@as_of, first_order_date, DAY)) AS span_days
    FROM figures
  ),
  lifetimes AS (
    SELECT
      dated.*,
      CAST(365 * (@churn_days - days_to_churn) AS NUMERIC) * total_spent AS expected_dividend,
      CAST(@churn_days * span_days AS NUMERIC) AS expected_divisor
    FROM dated
  ),
  scored AS (
    SELECT
      lifetimes.*,
      CASE
        WHEN days_since_last_order <= @rfm_recency_days_3 THEN 3
        WHEN days_since_last_order <= @rfm_recency_days_2 THEN 2
        ELSE 1
      END
      + CASE
        WHEN total_orders >= @rfm_frequency_orders_3 THEN 3
        WHEN total_orders >= @rfm_frequency_orders_2 THEN 2
        ELSE 1
      END
      + CASE
        WHEN total_spent >= @rfm_monetary_usd_3 THEN 3
        WHEN total_spent >= @rfm_monetary_usd_2 THEN 2
        ELSE 1
      END AS rfm_score
    FROM lifetimes
  )
  SELECT
    user_id,
    email,
    registration_date,
    country,
    age_group,
    customer_tier,
    total_spent,
    total_orders,
    ROUND(100 * total_spent / NULLIF(total_orders, 0)) * NUMERIC '0.01' AS average_order_value,
    first_order_date,
    last_order_date,
    days_since_last_order,
    total_spent + ROUND(100 * expected_dividend / expected_divisor) * NUMERIC '0.01'
      AS customer_lifetime_value,
    preferred_payment_method,
    preferred_product_category,
    total_spent > @high_value_customer_usd AS is_high_value_customer,
    CASE
      WHEN total_orders = 0 THEN 'no_orders'
      WHEN rfm_score >= 8 THEN 'champions'
      WHEN rfm_score >= 6 THEN 'loyal'
      WHEN rfm_score = 5 THEN 'potential'
      WHEN rfm_score = 4 THEN 'at_risk'
      ELSE 'lost'
    END AS rfm_segment,
    ROUND(10000 * CAST(days_to_churn AS NUMERIC) / @churn_days) * NUMERIC '0.0001'
      AS churn_risk_score
  FROM scored
) AS S
ON T.user_id = S.user_id
WHEN MATCHED THEN UPDATE SET
  email = S.email,
  registration_date = S.registration_date,
  country = S.country,
  age_group = S.age_group,
  customer_tier = S.customer_tier,
  total_spent = S.total_spent,
  total_orders = S.total_orders,
  average_order_value = S.average_order_value,
  first_order_date = S.first_order_date,
  last_order_date = S.last_order_date,
  days_since_last_order = S.days_since_last_order,
  customer_lifetime_value = S.customer_lifetime_value,
  preferred_payment_method = S.preferred_payment_method,
  preferred_product_category = S.preferred_product_category,
  is_high_value_customer = S.is_high_value_customer,
  rfm_segment = S.rfm_segment,
  churn_risk_score = S.churn_risk_score,
  basis = @basis
WHEN NOT MATCHED THEN INSERT (
  user_id, email, registration_date, country, age_group, customer_tier, total_spent, total_orders,
  average_order_value, first_order_date, last_order_date, days_since_last_order,
  customer_lifetime_value, preferred_payment_method, preferred_product_category,
  is_high_value_customer, rfm_segment, churn_risk_score, basis
) VALUES (
  S.user_id, S.email, S.registration_date, S.country, S.age_group, S.customer_tier, S.total_spent,
  S.total_orders, S.average_order_value, S.first_order_date, S.last_order_date,
  S.days_since_last_order, S.customer_lifetime_value, S.preferred_payment_method,
  S.preferred_product_category, S.is_high_value_customer, S.rfm_segment, S.churn_risk_score,
  @basis
)
