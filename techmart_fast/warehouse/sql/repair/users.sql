-- Replaces the users of some buckets (the first byte of the key's MD5) by a group's staging table; see
-- repair/transactions.
MERGE users AS T
USING (SELECT * FROM staging_users) AS S
ON FALSE
WHEN NOT MATCHED BY SOURCE
  AND CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(T.user_id)), 1, 2)) AS INT64) IN UNNEST(@buckets)
  THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT (
  user_id, email, registration_date, country, region, age_group, customer_tier,
  source_ordinal, source_offset, batch_id
) VALUES (
  S.user_id, S.email, S.registration_date, S.country, S.region, S.age_group, S.customer_tier,
  S.source_ordinal, S.source_offset, S.batch_id
)
