-- The report products: highest revenue first; ties by id.
SELECT
  product_id, product_name, category, supplier_id, base_price, price_tier, inventory_status,
  is_active, total_revenue, total_orders, unique_customers, average_order_value, refund_rate,
  inventory_turnover_ratio, days_in_inventory, revenue_rank_in_category, margin_estimate,
  seasonal_trend, performance_tier
FROM product_performance
ORDER BY total_revenue DESC, product_id
LIMIT @row_limit
