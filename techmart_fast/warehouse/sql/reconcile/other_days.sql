-- Rows of the facts outside the days @first to @last: none, and nothing read, if all is well.
SELECT transaction_date AS part, COUNT(*) AS row_count
FROM transactions
WHERE transaction_date BETWEEN @since AND @until
  AND (transaction_date < @first OR transaction_date > @last)
GROUP BY transaction_date
