-- Rows, money and the sum of the rows' hashes by part; hashed_rows stands for one of hashed_*.sql. The
-- sum does not depend on any order, and one row more, less or other shows in it.
SELECT
  part,
  COUNT(*) AS row_count,
  SUM(amount) AS amount,
  SUM(amount_usd) AS amount_usd,
  SUM(CAST(row_hash AS NUMERIC)) AS row_hash
FROM hashed_rows
GROUP BY part
