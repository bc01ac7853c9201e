-- The report daily-sales: the newest days of the range, oldest first.
SELECT
  date, total_revenue, total_transactions, unique_customers, average_order_value, refunded_amount,
  refunded_transactions, failed_transactions, pending_transactions, cancelled_transactions,
  revenue_by_currency, revenue_by_payment_method, top_products, data_quality_score
FROM daily_sales_summary
WHERE date BETWEEN @since AND @until
QUALIFY ROW_NUMBER() OVER (ORDER BY date DESC) <= @row_limit
ORDER BY date
