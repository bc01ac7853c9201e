-- partial_totals for the days in @dates: all transactions by currency, payment method and status.
--
-- The old keys of these days join in with zeros, so a key that has no transaction any more is found
-- and removed by the same statement.
MERGE partial_totals AS T
USING (
  SELECT
    transaction_date, currency, payment_method, status,
    SUM(transactions) AS transactions,
    SUM(amount) AS amount,
    SUM(amount_usd) AS amount_usd
  FROM (
    SELECT transaction_date, currency, payment_method, status, 1 AS transactions, amount, amount_usd
    FROM transactions
    WHERE transaction_date IN UNNEST(@dates)
    UNION ALL
    SELECT transaction_date, currency, payment_method, status, 0, NUMERIC '0', NUMERIC '0'
    FROM partial_totals
    WHERE transaction_date IN UNNEST(@dates)
  )
  GROUP BY transaction_date, currency, payment_method, status
) AS S
ON T.transaction_date IN UNNEST(@dates)
  AND T.transaction_date = S.transaction_date
  AND T.currency = S.currency
  AND T.payment_method = S.payment_method
  AND T.status = S.status
WHEN MATCHED AND S.transactions = 0 THEN DELETE
WHEN MATCHED AND (
  T.transactions != S.transactions OR T.amount != S.amount OR T.amount_usd != S.amount_usd
) THEN UPDATE SET
  transactions = S.transactions,
  amount = S.amount,
  amount_usd = S.amount_usd
WHEN NOT MATCHED THEN INSERT (
  transaction_date, currency, payment_method, status, transactions, amount, amount_usd
) VALUES (
  S.transaction_date, S.currency, S.payment_method, S.status, S.transactions, S.amount, S.amount_usd
)
