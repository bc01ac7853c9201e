-- The report users: who spent most first; ties by id.
SELECT
  user_id, email, registration_date, country, age_group, customer_tier, total_spent, total_orders,
  average_order_value, first_order_date, last_order_date, days_since_last_order,
  customer_lifetime_value, preferred_payment_method, preferred_product_category,
  is_high_value_customer, rfm_segment, churn_risk_score
FROM user_analytics
ORDER BY total_spent DESC, user_id
LIMIT @row_limit
