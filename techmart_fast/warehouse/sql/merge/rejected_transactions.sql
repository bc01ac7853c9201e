-- Merges a group's staging table into the rejected records. A record's identity is its source
-- position and a rejection never changes, so what is there already stays as it is.
-- @dates and @new_dates, a piece of them, are sent as literals (partition pruning).
MERGE rejected_transactions AS T
USING (
  SELECT *
  FROM staging_rejected_transactions
  WHERE transaction_date IN UNNEST(@new_dates)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY source_ordinal, source_offset ORDER BY code, batch_id
  ) = 1
) AS S
ON T.source_ordinal = S.source_ordinal
  AND T.source_offset = S.source_offset
  AND T.transaction_date IN UNNEST(@dates)
WHEN NOT MATCHED THEN INSERT (
  source_ordinal, source_offset, transaction_date, code, batch_id
) VALUES (
  S.source_ordinal, S.source_offset, S.transaction_date, S.code, S.batch_id
)
