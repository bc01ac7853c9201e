-- Merges a group's staging table into the facts.
--
-- Folded first: of several versions of one id in the group, the one with the newest source position
-- wins. Then "only if newer" against the stored row, so any order of arrival ends in the same state.
-- @dates: every day at which a row of the group stands or stood. It is sent as literals, as nothing
-- else prunes partitions in a MERGE; it must hold the *old* day of a row that moved, or that row
-- would be inserted a second time.
MERGE transactions AS T
USING (
  SELECT *
  FROM (
    SELECT *
    FROM staging_transactions
    WHERE TRUE
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY transaction_id ORDER BY source_ordinal DESC, source_offset DESC
    ) = 1
  )
  WHERE transaction_date IN UNNEST(@new_dates)
) AS S
ON T.transaction_id = S.transaction_id
  AND T.transaction_date IN UNNEST(@dates)
WHEN MATCHED AND (
  S.source_ordinal > T.source_ordinal
  OR (S.source_ordinal = T.source_ordinal AND S.source_offset > T.source_offset)
) THEN UPDATE SET
  user_id = S.user_id,
  product_id = S.product_id,
  amount = S.amount,
  currency = S.currency,
  amount_usd = S.amount_usd,
  timestamp = S.timestamp,
  payment_method = S.payment_method,
  status = S.status,
  transaction_date = S.transaction_date,
  transaction_hour = S.transaction_hour,
  day_of_week = S.day_of_week,
  is_high_value = S.is_high_value,
  is_international = S.is_international,
  payment_method_risk = S.payment_method_risk,
  transaction_risk = S.transaction_risk,
  processing_priority = S.processing_priority,
  source_ordinal = S.source_ordinal,
  source_offset = S.source_offset,
  batch_id = S.batch_id
WHEN NOT MATCHED THEN INSERT (
  transaction_id, user_id, product_id, amount, currency, amount_usd, timestamp, payment_method,
  status, transaction_date, transaction_hour, day_of_week, is_high_value, is_international,
  payment_method_risk, transaction_risk, processing_priority, source_ordinal, source_offset, batch_id
) VALUES (
  S.transaction_id, S.user_id, S.product_id, S.amount, S.currency, S.amount_usd, S.timestamp,
  S.payment_method, S.status, S.transaction_date, S.transaction_hour, S.day_of_week,
  S.is_high_value, S.is_international, S.payment_method_risk, S.transaction_risk,
  S.processing_priority, S.source_ordinal, S.source_offset, S.batch_id
)
