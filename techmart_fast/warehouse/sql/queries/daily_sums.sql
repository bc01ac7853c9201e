-- Rows and sum of money of the facts by day, from the facts themselves, to compare with PostgreSQL.
SELECT transaction_date, COUNT(*) AS transactions, SUM(amount_usd) AS amount_usd
FROM transactions
WHERE transaction_date BETWEEN @since AND @until
GROUP BY transaction_date
ORDER BY transaction_date
