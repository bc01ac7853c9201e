-- The report financials: the newest periods that start in the range, by length, oldest first. An
-- empty @report_type stands for all lengths.
SELECT
  report_type, period_start, period_end, gross_revenue, refunds, net_revenue, cost_of_goods_sold,
  gross_profit, gross_margin, operating_expenses, net_profit, revenue_by_region,
  revenue_by_customer_tier, revenue_by_payment_method, revenue_by_currency
FROM financial_reports
WHERE period_start BETWEEN @since AND @until
  AND (@report_type = '' OR report_type = @report_type)
QUALIFY ROW_NUMBER() OVER (ORDER BY period_start DESC, report_type) <= @row_limit
ORDER BY report_type, period_start
