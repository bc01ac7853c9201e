-- What the warehouse is owed.

-- name: pending
-- Entries in no group yet, oldest first. $1 table, or NULL for all.
SELECT o.entry_id, b.batch_id, o.table_name, o.path, o.sha256, o.row_count, o.size_bytes, o.dates
FROM techmart_loader.outbox AS o
JOIN techmart_loader.batches AS b USING (batch_no)
WHERE o.published_at IS NULL AND o.group_id IS NULL AND ($1::text IS NULL OR o.table_name = $1)
ORDER BY o.entry_id

-- name: entries
-- Entries by number. $1 entry ids.
SELECT o.entry_id, b.batch_id, o.table_name, o.path, o.sha256, o.row_count, o.size_bytes, o.dates
FROM techmart_loader.outbox AS o
JOIN techmart_loader.batches AS b USING (batch_no)
WHERE o.entry_id = ANY ($1::bigint[])

-- name: open_groups
-- Groups that are not published, oldest first, one row for each entry.
SELECT g.group_id, g.attempt, g.job_id, g.table_name AS group_table,
       o.entry_id, b.batch_id, o.table_name, o.path, o.sha256, o.row_count, o.size_bytes, o.dates
FROM techmart_loader.load_groups AS g
JOIN techmart_loader.outbox AS o USING (group_id)
JOIN techmart_loader.batches AS b USING (batch_no)
WHERE g.published_at IS NULL
ORDER BY g.created_at, g.group_id, o.entry_id

-- name: owed
-- Files of what is not published, and which of the runs $1 belong to this database.
SELECT ARRAY(SELECT path FROM techmart_loader.outbox WHERE published_at IS NULL) AS paths,
       ARRAY(SELECT run_id FROM techmart_loader.runs WHERE run_id = ANY ($1::uuid[])) AS runs

-- name: add_group
-- $1 group_id, $2 table.
INSERT INTO techmart_loader.load_groups (group_id, table_name) VALUES ($1, $2)
ON CONFLICT (group_id) DO NOTHING

-- name: bind
-- Binds entries to a group. $1 group_id, $2 table, $3 entry ids. Result: the entries; fewer than
-- asked for when some are bound elsewhere, published or of another table.
WITH bound AS (
    UPDATE techmart_loader.outbox
    SET group_id = $1
    WHERE entry_id = ANY ($3::bigint[]) AND table_name = $2
      AND (group_id IS NULL OR group_id = $1) AND published_at IS NULL
    RETURNING *
)
SELECT o.entry_id, b.batch_id, o.table_name, o.path, o.sha256, o.row_count, o.size_bytes, o.dates
FROM bound AS o
JOIN techmart_loader.batches AS b USING (batch_no)
ORDER BY o.entry_id

-- name: attempt
-- Stores an attempt before its job is submitted; the same one may be stored again. $1 group_id,
-- $2 attempt, $3 job_id.
UPDATE techmart_loader.load_groups
SET attempt = $2, job_id = $3
WHERE group_id = $1 AND published_at IS NULL
  AND (attempt < $2 OR (attempt = $2 AND job_id = $3))

-- name: replace_file
-- The rows of an entry are in another file now. $1 entry_id, $2 path, $3 sha256, $4 rows, $5 bytes.
UPDATE techmart_loader.outbox
SET path = $2, sha256 = $3, row_count = $4, size_bytes = $5
WHERE entry_id = $1 AND published_at IS NULL

-- name: publish_entries
-- $1 group_ids.
UPDATE techmart_loader.outbox SET published_at = now()
WHERE group_id = ANY ($1::uuid[]) AND published_at IS NULL

-- name: publish_groups
-- $1 group_ids.
UPDATE techmart_loader.load_groups SET published_at = now()
WHERE group_id = ANY ($1::uuid[]) AND published_at IS NULL

-- name: publication
-- Which database this is, and whether any warehouse holds rows of it.
SELECT database_id,
       EXISTS (SELECT FROM techmart_loader.outbox WHERE published_at IS NOT NULL) AS has_published
FROM techmart_loader.identity
