-- Merges a group's staging table into the users: newest source position per id, only if newer.
MERGE users AS T
USING (
  SELECT *
  FROM staging_users
  WHERE TRUE
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY user_id ORDER BY source_ordinal DESC, source_offset DESC
  ) = 1
) AS S
ON T.user_id = S.user_id
WHEN MATCHED AND (
  S.source_ordinal > T.source_ordinal
  OR (S.source_ordinal = T.source_ordinal AND S.source_offset > T.source_offset)
) THEN UPDATE SET
  email = S.email,
  registration_date = S.registration_date,
  country = S.country,
  region = S.region,
  age_group = S.age_group,
  customer_tier = S.customer_tier,
  source_ordinal = S.source_ordinal,
  source_offset = S.source_offset,
  batch_id = S.batch_id
WHEN NOT MATCHED THEN INSERT (
  user_id, email, registration_date, country, region, age_group, customer_tier,
  source_ordinal, source_offset, batch_id
) VALUES (
  S.user_id, S.email, S.registration_date, S.country, S.region, S.age_group, S.customer_tier,
  S.source_ordinal, S.source_offset, S.batch_id
)
