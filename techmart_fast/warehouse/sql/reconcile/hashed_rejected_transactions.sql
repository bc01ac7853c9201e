-- The rejected transactions of the days in @dates, by their positions. Why one was rejected is not
-- compared: PostgreSQL's quarantine has the newest reason, the warehouse the first.
SELECT
  transaction_date AS part,
  CAST(NULL AS NUMERIC) AS amount,
  CAST(NULL AS NUMERIC) AS amount_usd,
  batch_id,
  CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(CONCAT(
    CAST(source_ordinal AS STRING), ';', CAST(source_offset AS STRING), ';'
  ))), 1, 15)) AS INT64) AS key_hash,
  CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(CONCAT(
    CAST(source_ordinal AS STRING), ';', CAST(source_offset AS STRING), ';'
  ))), 1, 15)) AS INT64) AS row_hash
FROM rejected_transactions
WHERE transaction_date IN UNNEST(@dates)
