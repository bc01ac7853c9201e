-- Replaces the facts of some days by a group's staging table, at once: readers see the days as they
-- were or as they are to be. Every row of these days goes, whether staging has its key or not, so that
-- rows that are there twice, or should not be there at all, go as well.
-- Unlike a merge it does not ask which version is newer: it is for PostgreSQL's rows as they stand, sent
-- under the lease. @dates are sent as literals (partition pruning).
MERGE transactions AS T
USING (
  SELECT * FROM staging_transactions WHERE transaction_date IN UNNEST(@dates)
) AS S
ON FALSE
WHEN NOT MATCHED BY SOURCE AND T.transaction_date IN UNNEST(@dates) THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT (
  transaction_id, user_id, product_id, amount, currency, amount_usd, timestamp, payment_method,
  status, transaction_date, transaction_hour, day_of_week, is_high_value, is_international,
  payment_method_risk, transaction_risk, processing_priority, source_ordinal, source_offset, batch_id
) VALUES (
  S.transaction_id, S.user_id, S.product_id, S.amount, S.currency, S.amount_usd, S.timestamp,
  S.payment_method, S.status, S.transaction_date, S.transaction_hour, S.day_of_week,
  S.is_high_value, S.is_international, S.payment_method_risk, S.transaction_risk,
  S.processing_priority, S.source_ordinal, S.source_offset, S.batch_id
)
