-- The users, each row with a hash of its key and of its canonical text (see hashed_transactions). A
-- part is a bucket of keys: the first byte of the key's MD5.
SELECT
  CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(user_id)), 1, 2)) AS INT64) AS part,
  CAST(NULL AS NUMERIC) AS amount,
  CAST(NULL AS NUMERIC) AS amount_usd,
  batch_id,
  CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(user_id)), 1, 15)) AS INT64) AS key_hash,
  CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(CONCAT(
    CAST(CHAR_LENGTH(user_id) AS STRING), ':', user_id,
    CAST(CHAR_LENGTH(email) AS STRING), ':', email,
    CAST(UNIX_DATE(registration_date) AS STRING), ';',
    CAST(CHAR_LENGTH(country) AS STRING), ':', country,
    CAST(CHAR_LENGTH(region) AS STRING), ':', region,
    COALESCE(CONCAT(CAST(CHAR_LENGTH(age_group) AS STRING), ':', age_group), '-'),
    CAST(CHAR_LENGTH(customer_tier) AS STRING), ':', customer_tier
  ))), 1, 15)) AS INT64) AS row_hash
FROM users
