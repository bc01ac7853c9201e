-- The products, each row with a hash of its key and of its canonical text (see hashed_transactions).
-- A part is a bucket of keys: the first byte of the key's MD5.
SELECT
  CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(product_id)), 1, 2)) AS INT64) AS part,
  CAST(NULL AS NUMERIC) AS amount,
  CAST(NULL AS NUMERIC) AS amount_usd,
  batch_id,
  CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(product_id)), 1, 15)) AS INT64) AS key_hash,
  CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5(CONCAT(
    CAST(CHAR_LENGTH(product_id) AS STRING), ':', product_id,
    CAST(CHAR_LENGTH(name) AS STRING), ':', name,
    CAST(CHAR_LENGTH(category) AS STRING), ':', category,
    CAST(CAST(price * 100 AS INT64) AS STRING), ';',
    CAST(CHAR_LENGTH(currency) AS STRING), ':', currency,
    CAST(CAST(price_usd * 100 AS INT64) AS STRING), ';',
    CAST(inventory_count AS STRING), ';',
    CAST(CHAR_LENGTH(supplier_id) AS STRING), ':', supplier_id,
    CAST(CHAR_LENGTH(inventory_status) AS STRING), ':', inventory_status,
    CAST(CHAR_LENGTH(price_tier) AS STRING), ':', price_tier,
    CAST(CAST(is_active AS INT64) AS STRING), ';'
  ))), 1, 15)) AS INT64) AS row_hash
FROM products
