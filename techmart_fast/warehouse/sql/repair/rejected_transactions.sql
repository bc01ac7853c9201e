-- Replaces the rejected records of some days by a group's staging table; see repair/transactions.
-- @dates are sent as literals (partition pruning).
MERGE rejected_transactions AS T
USING (
  SELECT * FROM staging_rejected_transactions WHERE transaction_date IN UNNEST(@dates)
) AS S
ON FALSE
WHEN NOT MATCHED BY SOURCE AND T.transaction_date IN UNNEST(@dates) THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT (
  source_ordinal, source_offset, transaction_date, code, batch_id
) VALUES (
  S.source_ordinal, S.source_offset, S.transaction_date, S.code, S.batch_id
)
