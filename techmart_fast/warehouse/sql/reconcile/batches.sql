-- Which batches wrote the rows of some parts, with rows and the sum of their hashes; hashed_rows
-- stands for one of hashed_*.sql.
SELECT
  part,
  batch_id,
  COUNT(*) AS row_count,
  SUM(CAST(row_hash AS NUMERIC)) AS row_hash
FROM hashed_rows
GROUP BY part, batch_id
