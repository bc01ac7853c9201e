-- The days that have any transaction, of any status; the newest is as_of.
SELECT transaction_date
FROM partial_totals
GROUP BY transaction_date
ORDER BY transaction_date
