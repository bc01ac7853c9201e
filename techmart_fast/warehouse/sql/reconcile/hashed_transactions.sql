-- The facts of the days in @dates, each row with a hash of its key and of its canonical text, which
-- PostgreSQL makes in the same way (postgres/sql/reconcile.sql says how). Not in the text: what the
-- warehouse alone derives from these columns, the source position, and the batch.
SELECT
  transaction_date AS part,
  amount,
  amount_usd,
  batch_id,
  CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(transaction_id)), 1, 15)) AS INT64) AS key_hash,
  CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(CONCAT(
    CAST(CHAR_LENGTH(transaction_id) AS STRING), ':', transaction_id,
    CAST(CHAR_LENGTH(user_id) AS STRING), ':', user_id,
    COALESCE(CONCAT(CAST(CHAR_LENGTH(product_id) AS STRING), ':', product_id), '-'),
    CAST(CAST(amount * 100 AS INT64) AS STRING), ';',
    CAST(CHAR_LENGTH(currency) AS STRING), ':', currency,
    CAST(CAST(amount_usd * 100 AS INT64) AS STRING), ';',
    CAST(UNIX_MICROS(timestamp) AS STRING), ';',
    CAST(CHAR_LENGTH(payment_method) AS STRING), ':', payment_method,
    CAST(CHAR_LENGTH(status) AS STRING), ':', status,
    CAST(UNIX_DATE(transaction_date) AS STRING), ';',
    CAST(CHAR_LENGTH(processing_priority) AS STRING), ':', processing_priority
  ))), 1, 15)) AS INT64) AS row_hash
FROM transactions
WHERE transaction_date IN UNNEST(@dates)
