-- The warehouse: facts, dimensions, partials, rollups and views, in BigQuery's dialect.
--
-- `techmart-fast run` applies this file by itself and sends only what is missing. By hand:
--
--     bq mk --dataset techmart
--     bq query --use_legacy_sql=false --dataset_id=techmart < schemas/bigquery_schema.sql
--
-- Table names carry no dataset, so the job's default dataset decides. BigQuery does not apply that
-- default inside a view, so the bodies of the views name it (`techmart.`): for another dataset
-- replace that prefix (`sed 's/techmart\./mine./g'`), as the loader does by itself.
--
-- The label `schema_version` of a table is the version of its statement here. A change adds nullable
-- columns at the end and raises the number; the loader then adds these columns to existing tables.
--
-- Money is NUMERIC, US dollars unless a column says otherwise. A row's source position is
-- (source_ordinal, source_offset): a row is written only if its position is newer than the stored one.

-- ---------------------------------------------------------------- facts

CREATE TABLE IF NOT EXISTS transactions (
  transaction_id STRING NOT NULL OPTIONS (description = "Identity of the transaction"),
  user_id STRING NOT NULL OPTIONS (description = "Key of users"),
  product_id STRING OPTIONS (description = "Key of products; NULL where the shop's contract allows it"),
  amount NUMERIC(12, 2) NOT NULL OPTIONS (description = "Amount in `currency`"),
  currency STRING NOT NULL OPTIONS (description = "ISO 4217 code"),
  amount_usd NUMERIC(12, 2) NOT NULL OPTIONS (description = "Amount in US dollars at the contract's rate"),
  timestamp TIMESTAMP NOT NULL OPTIONS (description = "When it happened, UTC"),
  payment_method STRING NOT NULL,
  status STRING NOT NULL OPTIONS (description = "pending, completed, failed, refunded or cancelled"),
  transaction_date DATE NOT NULL OPTIONS (description = "Day in the reporting time zone"),
  transaction_hour INT64 NOT NULL OPTIONS (description = "0 to 23, reporting time zone"),
  day_of_week INT64 NOT NULL OPTIONS (description = "ISO: Monday 1 to Sunday 7, reporting time zone"),
  is_high_value BOOL NOT NULL,
  is_international BOOL NOT NULL OPTIONS (description = "Not in the contract's base currency"),
  payment_method_risk STRING NOT NULL OPTIONS (description = "high or low"),
  transaction_risk STRING NOT NULL OPTIONS (description = "medium or low"),
  processing_priority STRING NOT NULL OPTIONS (description = "high, medium or standard, as decided when loaded"),
  source_ordinal INT64 NOT NULL OPTIONS (description = "Ordinal of the file in its feed"),
  source_offset INT64 NOT NULL OPTIONS (description = "Byte offset of the record in the file"),
  batch_id STRING NOT NULL OPTIONS (description = "Batch that wrote the row; lineage in PostgreSQL")
)
PARTITION BY transaction_date
CLUSTER BY user_id, product_id
OPTIONS (
  description = "One row a transaction: its newest version. Attributes of users and products are joined, never stored here.",
  require_partition_filter = TRUE,
  labels = [("app", "techmart"), ("schema_version", "2")]
);

CREATE TABLE IF NOT EXISTS rejected_transactions (
  source_ordinal INT64 NOT NULL OPTIONS (description = "With source_offset: identity of the rejected record"),
  source_offset INT64 NOT NULL,
  transaction_date DATE NOT NULL OPTIONS (description = "Day of the record; records without a readable day are not here"),
  code STRING NOT NULL OPTIONS (description = "First reason; the record itself is in PostgreSQL's quarantine"),
  batch_id STRING NOT NULL
)
PARTITION BY transaction_date
CLUSTER BY code
OPTIONS (
  description = "Rejected transaction records that name a day: what data_quality_score is computed from.",
  require_partition_filter = TRUE,
  labels = [("app", "techmart"), ("schema_version", "2")]
);

-- ---------------------------------------------------------------- dimensions

CREATE TABLE IF NOT EXISTS users (
  user_id STRING NOT NULL,
  email STRING NOT NULL OPTIONS (description = "Masked (a***@example.com): plain addresses stay in PostgreSQL"),
  registration_date DATE NOT NULL,
  country STRING NOT NULL OPTIONS (description = "ISO 3166-1 alpha-2"),
  region STRING NOT NULL OPTIONS (description = "north_america, europe, asia_pacific or other"),
  age_group STRING,
  customer_tier STRING NOT NULL,
  source_ordinal INT64 NOT NULL,
  source_offset INT64 NOT NULL,
  batch_id STRING NOT NULL
)
CLUSTER BY user_id
OPTIONS (
  description = "Users as they are now.",
  labels = [("app", "techmart"), ("schema_version", "1")]
);

CREATE TABLE IF NOT EXISTS products (
  product_id STRING NOT NULL,
  name STRING NOT NULL,
  category STRING NOT NULL,
  price NUMERIC(12, 2) NOT NULL OPTIONS (description = "Price in `currency`"),
  currency STRING NOT NULL,
  price_usd NUMERIC(12, 2) NOT NULL,
  inventory_count INT64 NOT NULL,
  supplier_id STRING NOT NULL,
  inventory_status STRING NOT NULL OPTIONS (description = "out_of_stock, low_stock or in_stock"),
  price_tier STRING NOT NULL OPTIONS (description = "budget, mid_range or premium"),
  source_ordinal INT64 NOT NULL,
  source_offset INT64 NOT NULL,
  is_active BOOL NOT NULL OPTIONS (description = "Whether the newest complete catalogue has it"),
  catalogue_ordinal INT64 NOT NULL OPTIONS (description = "Newest complete catalogue when the row was written, 0 without one; part of the position"),
  batch_id STRING NOT NULL
)
CLUSTER BY product_id
OPTIONS (
  description = "Products as they are now.",
  labels = [("app", "techmart"), ("schema_version", "1")]
);

-- ---------------------------------------------------------------- additive partials
-- Figures by day, recomputed from the facts of the touched days only. The rollups read these.

CREATE TABLE IF NOT EXISTS partial_totals (
  transaction_date DATE NOT NULL,
  currency STRING NOT NULL,
  payment_method STRING NOT NULL,
  status STRING NOT NULL,
  transactions INT64 NOT NULL,
  amount NUMERIC(18, 2) NOT NULL OPTIONS (description = "In `currency`"),
  amount_usd NUMERIC(18, 2) NOT NULL
)
PARTITION BY transaction_date
OPTIONS (
  description = "All transactions by day, currency, payment method and status.",
  labels = [("app", "techmart"), ("schema_version", "1")]
);

CREATE TABLE IF NOT EXISTS partial_orders (
  transaction_date DATE NOT NULL,
  user_id STRING NOT NULL,
  product_id STRING NOT NULL OPTIONS (description = "Empty for orders without a product"),
  payment_method STRING NOT NULL,
  orders INT64 NOT NULL OPTIONS (description = "Completed"),
  revenue NUMERIC(18, 2) NOT NULL OPTIONS (description = "Of completed orders"),
  refunded_orders INT64 NOT NULL,
  last_order_at TIMESTAMP OPTIONS (description = "Of the last completed order"),
  user_bucket INT64 NOT NULL OPTIONS (description = "First byte of the MD5 of user_id"),
  product_bucket INT64 NOT NULL OPTIONS (description = "First byte of the MD5 of product_id"),
  refresh_number INT64 NOT NULL OPTIONS (description = "Number of the refresh that changed the row")
)
PARTITION BY transaction_date
CLUSTER BY user_id, product_id
OPTIONS (
  description = "Orders by day, user, product and payment method: what the other partials of orders are made from. A key that lost its orders stays for a while, with zeros: it marks user and product as touched.",
  labels = [("app", "techmart"), ("schema_version", "1")]
);

CREATE TABLE IF NOT EXISTS partial_users (
  transaction_date DATE NOT NULL,
  user_id STRING NOT NULL,
  orders INT64 NOT NULL,
  revenue NUMERIC(18, 2) NOT NULL
)
PARTITION BY transaction_date
CLUSTER BY user_id
OPTIONS (
  description = "Completed orders by day and user.",
  labels = [("app", "techmart"), ("schema_version", "2")]
);

CREATE TABLE IF NOT EXISTS partial_products (
  transaction_date DATE NOT NULL,
  product_id STRING NOT NULL,
  orders INT64 NOT NULL,
  revenue NUMERIC(18, 2) NOT NULL,
  refunded_orders INT64 NOT NULL
)
PARTITION BY transaction_date
CLUSTER BY product_id
OPTIONS (
  description = "Completed and refunded orders by day and product.",
  labels = [("app", "techmart"), ("schema_version", "2")]
);

CREATE TABLE IF NOT EXISTS partial_finances (
  transaction_date DATE NOT NULL,
  region STRING NOT NULL OPTIONS (description = "Of the user; empty where there is none"),
  customer_tier STRING NOT NULL OPTIONS (description = "Of the user; empty where there is none"),
  orders INT64 NOT NULL OPTIONS (description = "Completed"),
  revenue NUMERIC(18, 2) NOT NULL,
  list_value_usd NUMERIC(18, 2) NOT NULL OPTIONS (description = "At the current prices of their products")
)
PARTITION BY transaction_date
OPTIONS (
  description = "Completed orders by day and the region and tier of their user.",
  labels = [("app", "techmart"), ("schema_version", "1")]
);

-- The same orders by key: a late day reads the orders that its users and products have in all days,
-- and those of few others. 256 buckets keep a hundred refreshes of everything under the 30,000
-- partitions that may be modified in a day, should DML count for that limit.

CREATE TABLE IF NOT EXISTS orders_by_user (
  user_bucket INT64 NOT NULL OPTIONS (description = "First byte of the MD5 of user_id"),
  user_id STRING NOT NULL,
  transaction_date DATE NOT NULL,
  product_id STRING NOT NULL OPTIONS (description = "Empty for orders without a product"),
  payment_method STRING NOT NULL,
  orders INT64 NOT NULL OPTIONS (description = "Completed"),
  revenue NUMERIC(18, 2) NOT NULL,
  last_order_at TIMESTAMP NOT NULL
)
PARTITION BY RANGE_BUCKET(user_bucket, GENERATE_ARRAY(0, 256, 1))
CLUSTER BY user_id
OPTIONS (
  description = "Completed orders of partial_orders, a user's together: for sums over all days and preferences.",
  labels = [("app", "techmart"), ("schema_version", "1")]
);

CREATE TABLE IF NOT EXISTS orders_by_product (
  product_bucket INT64 NOT NULL OPTIONS (description = "First byte of the MD5 of product_id"),
  product_id STRING NOT NULL,
  transaction_date DATE NOT NULL,
  user_id STRING NOT NULL,
  payment_method STRING NOT NULL,
  orders INT64 NOT NULL OPTIONS (description = "Completed"),
  revenue NUMERIC(18, 2) NOT NULL,
  refunded_orders INT64 NOT NULL,
  user_bucket INT64 NOT NULL OPTIONS (description = "First byte of the MD5 of user_id")
)
PARTITION BY RANGE_BUCKET(product_bucket, GENERATE_ARRAY(0, 256, 1))
CLUSTER BY product_id
OPTIONS (
  description = "Orders of partial_orders that have a product, a product's together: for sums over all days and distinct customers.",
  labels = [("app", "techmart"), ("schema_version", "1")]
);

-- ---------------------------------------------------------------- rollups

CREATE TABLE IF NOT EXISTS daily_sales_summary (
  date DATE NOT NULL,
  total_revenue NUMERIC(18, 2) NOT NULL OPTIONS (description = "Completed only, as everywhere"),
  total_transactions INT64 NOT NULL OPTIONS (description = "Completed"),
  unique_customers INT64 NOT NULL OPTIONS (description = "Users with a completed transaction"),
  average_order_value NUMERIC(18, 2),
  refunded_amount NUMERIC(18, 2) NOT NULL,
  refunded_transactions INT64 NOT NULL,
  failed_transactions INT64 NOT NULL,
  pending_transactions INT64 NOT NULL,
  cancelled_transactions INT64 NOT NULL,
  revenue_by_currency ARRAY<STRUCT<currency STRING, amount NUMERIC(18, 2), amount_usd NUMERIC(18, 2)>>,
  revenue_by_payment_method ARRAY<STRUCT<payment_method STRING, revenue NUMERIC(18, 2), transactions INT64>>,
  top_products ARRAY<STRUCT<product_id STRING, product_name STRING, revenue NUMERIC(18, 2), transactions INT64>>
    OPTIONS (description = "Ten by revenue, ties by id"),
  data_quality_score NUMERIC(5, 4) OPTIONS (description = "Accepted ÷ (accepted + rejected) of the records that have this date")
)
PARTITION BY date
OPTIONS (
  description = "One row for every day that has any transaction.",
  labels = [("app", "techmart"), ("schema_version", "1")]
);

CREATE TABLE IF NOT EXISTS user_analytics (
  user_id STRING NOT NULL,
  email STRING NOT NULL OPTIONS (description = "Masked"),
  registration_date DATE NOT NULL,
  country STRING NOT NULL,
  age_group STRING,
  customer_tier STRING NOT NULL,
  total_spent NUMERIC(18, 2) NOT NULL,
  total_orders INT64 NOT NULL,
  average_order_value NUMERIC(18, 2),
  first_order_date DATE,
  last_order_date DATE,
  days_since_last_order INT64 OPTIONS (description = "To as_of, the newest transaction_date of any status"),
  customer_lifetime_value NUMERIC(18, 2),
  preferred_payment_method STRING,
  preferred_product_category STRING,
  is_high_value_customer BOOL NOT NULL,
  rfm_segment STRING NOT NULL,
  churn_risk_score NUMERIC(5, 4),
  basis STRING OPTIONS (description = "What the row was computed with: as_of and a digest of the contract's parameters")
)
PARTITION BY DATE_TRUNC(registration_date, MONTH)
CLUSTER BY customer_tier, country
OPTIONS (
  description = "One row for every user, also those without orders.",
  labels = [("app", "techmart"), ("schema_version", "2")]
);

CREATE TABLE IF NOT EXISTS product_performance (
  product_id STRING NOT NULL,
  product_name STRING NOT NULL,
  category STRING NOT NULL,
  supplier_id STRING NOT NULL,
  base_price NUMERIC(12, 2) NOT NULL OPTIONS (description = "price_usd"),
  price_tier STRING NOT NULL,
  inventory_status STRING NOT NULL,
  is_active BOOL NOT NULL,
  total_revenue NUMERIC(18, 2) NOT NULL,
  total_orders INT64 NOT NULL,
  unique_customers INT64 NOT NULL,
  average_order_value NUMERIC(18, 2),
  refund_rate NUMERIC(5, 4),
  inventory_turnover_ratio NUMERIC(18, 4),
  days_in_inventory NUMERIC(18, 2),
  revenue_rank_in_category INT64 NOT NULL,
  margin_estimate NUMERIC(18, 4),
  seasonal_trend STRING NOT NULL OPTIONS (description = "rising, steady or falling"),
  performance_tier STRING NOT NULL OPTIONS (description = "high, medium or low"),
  refunded_orders INT64,
  basis STRING OPTIONS (description = "What the row was computed with: as_of and a digest of the contract's parameters")
)
CLUSTER BY category, performance_tier
OPTIONS (
  description = "One row for every product, also those without orders.",
  labels = [("app", "techmart"), ("schema_version", "2")]
);

CREATE TABLE IF NOT EXISTS financial_reports (
  report_type STRING NOT NULL OPTIONS (description = "daily, weekly (ISO), monthly, quarterly or yearly"),
  period_start DATE NOT NULL,
  period_end DATE NOT NULL OPTIONS (description = "Inclusive"),
  gross_revenue NUMERIC(18, 2) NOT NULL OPTIONS (description = "Completed + refunded"),
  refunds NUMERIC(18, 2) NOT NULL,
  net_revenue NUMERIC(18, 2) NOT NULL OPTIONS (description = "gross_revenue − refunds: completed only"),
  cost_of_goods_sold NUMERIC(18, 2) NOT NULL,
  gross_profit NUMERIC(18, 2) NOT NULL,
  gross_margin NUMERIC(18, 4) OPTIONS (description = "gross_profit ÷ net_revenue"),
  operating_expenses NUMERIC(18, 2) NOT NULL,
  net_profit NUMERIC(18, 2) NOT NULL,
  revenue_by_region ARRAY<STRUCT<region STRING, revenue NUMERIC(18, 2)>>,
  revenue_by_customer_tier ARRAY<STRUCT<customer_tier STRING, revenue NUMERIC(18, 2)>>,
  revenue_by_payment_method ARRAY<STRUCT<payment_method STRING, revenue NUMERIC(18, 2), share NUMERIC(5, 4)>>,
  revenue_by_currency ARRAY<STRUCT<currency STRING, amount NUMERIC(18, 2), amount_usd NUMERIC(18, 2)>>
)
PARTITION BY period_start
CLUSTER BY report_type
OPTIONS (
  description = "One row for every period that has any transaction.",
  labels = [("app", "techmart"), ("schema_version", "1")]
);

CREATE TABLE IF NOT EXISTS data_quality_metrics (
  run_id STRING NOT NULL,
  check_date DATE NOT NULL,
  table_name STRING NOT NULL OPTIONS (description = "Feed, or all"),
  dimension STRING NOT NULL,
  metric STRING NOT NULL OPTIONS (description = "score, or the column that was judged"),
  value NUMERIC(5, 4) OPTIONS (description = "0 to 1; NULL where nothing was there to judge"),
  threshold NUMERIC(5, 4),
  status STRING NOT NULL OPTIONS (description = "PASS, WARN, FAIL or -"),
  details STRING NOT NULL
)
PARTITION BY check_date
CLUSTER BY table_name, dimension
OPTIONS (
  description = "Quality of what each run read.",
  labels = [("app", "techmart"), ("schema_version", "1")]
);

CREATE TABLE IF NOT EXISTS pipeline_monitoring (
  run_id STRING NOT NULL,
  start_date DATE NOT NULL OPTIONS (description = "UTC day of started_at"),
  started_at TIMESTAMP NOT NULL,
  ended_at TIMESTAMP NOT NULL,
  status STRING NOT NULL,
  records_read INT64 NOT NULL,
  records_loaded INT64 NOT NULL,
  records_rejected INT64 NOT NULL,
  records_held INT64 NOT NULL,
  records_duplicate INT64 NOT NULL,
  seconds NUMERIC(18, 3) NOT NULL,
  rows_per_second NUMERIC(18, 1) NOT NULL,
  bytes_per_second NUMERIC(18, 1) NOT NULL,
  peak_memory_bytes INT64 NOT NULL,
  contract_version STRING NOT NULL,
  error STRING
)
PARTITION BY start_date
OPTIONS (
  description = "One row a run, failed ones too.",
  labels = [("app", "techmart"), ("schema_version", "1")]
);

-- ---------------------------------------------------------------- views

-- Every transaction with the current attributes of its user and product.
CREATE OR REPLACE VIEW transactions_enriched
OPTIONS (
  description = "Facts joined with the dimensions as they are now. Filter on transaction_date.",
  labels = [("app", "techmart"), ("schema_version", "1")]
) AS
SELECT
  t.transaction_id,
  t.user_id,
  t.product_id,
  t.amount,
  t.currency,
  t.amount_usd,
  t.timestamp,
  t.payment_method,
  t.status,
  t.transaction_date,
  t.transaction_hour,
  t.day_of_week,
  t.is_high_value,
  t.is_international,
  t.payment_method_risk,
  t.transaction_risk,
  t.processing_priority,
  u.country,
  u.region,
  u.age_group,
  u.customer_tier,
  u.registration_date,
  p.name AS product_name,
  p.category,
  p.supplier_id,
  p.price_usd,
  p.price_tier,
  p.inventory_status,
  p.is_active
FROM techmart.transactions AS t
LEFT JOIN techmart.users AS u ON u.user_id = t.user_id
LEFT JOIN techmart.products AS p ON p.product_id = t.product_id;

-- The 30 days to as_of (the newest day that has any transaction), with the week before each day.
CREATE OR REPLACE VIEW daily_kpis
OPTIONS (
  description = "Key figures of the 30 days to the newest day that has any transaction.",
  labels = [("app", "techmart"), ("schema_version", "1")]
) AS
SELECT
  d.date,
  d.total_revenue,
  d.total_transactions,
  d.unique_customers,
  d.average_order_value,
  d.refunded_amount,
  -- Share of the day's transactions that were completed, of any status.
  ROUND(
    10000 * CAST(d.total_transactions AS NUMERIC) / NULLIF(
      d.total_transactions + d.refunded_transactions + d.failed_transactions
        + d.pending_transactions + d.cancelled_transactions, 0)
  ) * NUMERIC '0.0001' AS completion_rate,
  d.data_quality_score
FROM techmart.daily_sales_summary AS d
CROSS JOIN (SELECT MAX(date) AS as_of FROM techmart.daily_sales_summary) AS newest
WHERE d.date > DATE_SUB(newest.as_of, INTERVAL 30 DAY);

-- The hundred users who spent most; ties share a rank.
CREATE OR REPLACE VIEW top_customers
OPTIONS (
  description = "The users of the hundred highest ranks by total spent; ties share a rank.",
  labels = [("app", "techmart"), ("schema_version", "1")]
) AS
SELECT
  RANK() OVER (ORDER BY total_spent DESC) AS spending_rank,
  user_id,
  email,
  country,
  customer_tier,
  total_spent,
  total_orders,
  average_order_value,
  last_order_date,
  customer_lifetime_value,
  rfm_segment,
  churn_risk_score
FROM techmart.user_analytics
WHERE total_orders > 0
QUALIFY spending_rank <= 100;

-- Every product with its rank by revenue, in the shop and in its category; ties share a rank.
CREATE OR REPLACE VIEW product_rankings
OPTIONS (
  description = "Products ranked by revenue, in the shop and in their category; ties share a rank.",
  labels = [("app", "techmart"), ("schema_version", "1")]
) AS
SELECT
  RANK() OVER (ORDER BY total_revenue DESC) AS revenue_rank,
  revenue_rank_in_category,
  product_id,
  product_name,
  category,
  is_active,
  total_revenue,
  total_orders,
  unique_customers,
  refund_rate,
  seasonal_trend,
  performance_tier
FROM techmart.product_performance;
