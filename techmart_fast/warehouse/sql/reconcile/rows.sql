-- Hashes of keys and rows that some batches wrote: what is missing, too much or other can be counted
-- with them, and nothing of a record can be read from them. hashed_rows stands for one of hashed_*.sql.
SELECT part, key_hash, row_hash
FROM hashed_rows
WHERE batch_id IN UNNEST(@batch_ids)
LIMIT @row_limit
