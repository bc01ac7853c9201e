-- Runs, their files and their quality.

-- name: start
-- $1 run_id, $2 epoch, $3 started_at, $4 contract_name, $5 contract_version, $6 loader_version.
INSERT INTO techmart_loader.runs
    (run_id, status, epoch, started_at, contract_name, contract_version, loader_version)
VALUES ($1, 'running', $2, $3, $4, $5, $6)

-- name: refused
-- A run that failed before it had the lease. $1 run_id, $2 started_at, $3 contract_name,
-- $4 contract_version, $5 loader_version, $6 error.
INSERT INTO techmart_loader.runs
    (run_id, status, started_at, ended_at, contract_name, contract_version, loader_version, error)
VALUES ($1, 'failed', $2, clock_timestamp(), $3, $4, $5, $6)
ON CONFLICT (run_id) DO NOTHING

-- name: finish
-- $1 run_id, $2 status, $3 feeds, $4 seconds, $5 bytes_read, $6 peak_memory_bytes, $7 error,
-- $8–$11 jobs, billed bytes and US dollars in the warehouse, and whether these are modelled.
UPDATE techmart_loader.runs
SET status = $2, feeds = $3::jsonb, seconds = $4, bytes_read = $5, peak_memory_bytes = $6,
    error = $7, warehouse_jobs = $8, warehouse_bytes_billed = $9, warehouse_usd = $10,
    warehouse_modelled = $11, ended_at = clock_timestamp(), told = false
WHERE run_id = $1

-- name: cost
-- $1 run_id; $2–$5 as $8–$11 of finish.
UPDATE techmart_loader.runs
SET warehouse_jobs = $2, warehouse_bytes_billed = $3, warehouse_usd = $4, warehouse_modelled = $5
WHERE run_id = $1

-- name: metrics
-- $1 run_id; $2–$8 parallel arrays: table, dimension, metric, value, threshold, status, details.
INSERT INTO techmart_loader.data_quality_metrics
    (run_id, table_name, dimension, metric, check_date, value, threshold, status, details)
SELECT $1, m.table_name, m.dimension, m.metric, current_date, m.value, m.threshold, m.status,
       m.details
FROM unnest($2::text[], $3::text[], $4::text[], $5::double precision[], $6::double precision[],
            $7::text[], $8::text[])
     AS m (table_name, dimension, metric, value, threshold, status, details)
ON CONFLICT (run_id, table_name, dimension, metric) DO UPDATE
SET value = excluded.value, threshold = excluded.threshold, status = excluded.status,
    details = excluded.details

-- name: untold
-- Runs that ended and that the warehouse was not told of, oldest first. $1 limit.
SELECT run_id, status, started_at, ended_at, seconds, contract_name, contract_version,
       loader_version, feeds::text AS feeds, bytes_read, peak_memory_bytes, warehouse_jobs,
       warehouse_bytes_billed, warehouse_usd, warehouse_modelled, error
FROM techmart_loader.runs
WHERE NOT told AND status <> 'running'
ORDER BY started_at
LIMIT $1

-- name: metrics_of
-- $1 run_id.
SELECT table_name, dimension, metric, value, threshold, status, details
FROM techmart_loader.data_quality_metrics
WHERE run_id = $1
ORDER BY table_name, dimension, metric

-- name: told
-- The warehouse has the row of a run. $1 run_id, $2 status that it was told.
UPDATE techmart_loader.runs SET told = true WHERE run_id = $1 AND status = $2

-- name: known_files
-- Files that are known, with the way they are cut; a file from before that was stored gets the
-- given one. $1 feed, $2 fingerprints, $3 block_bytes, $4 lanes.
UPDATE techmart_loader.files
SET block_bytes = coalesce(block_bytes, $3), lanes = coalesce(lanes, $4)
WHERE feed = $1 AND fingerprint = ANY ($2::text[])
RETURNING fingerprint, ordinal, block_bytes, lanes

-- name: next_ordinal
-- $1 feed. Ordinals start at 1.
SELECT coalesce(max(ordinal), 0) + 1 AS ordinal FROM techmart_loader.files WHERE feed = $1

-- name: lock_lease
-- Fences the registration of files like a batch. $1 epoch.
SELECT epoch FROM techmart_loader.lease WHERE name = 'loader' AND epoch = $1 FOR KEY SHARE

-- name: add_file
-- $1 feed, $2 fingerprint, $3 ordinal, $4 name, $5 size_bytes, $6 compression, $7 format, $8 run_id,
-- $9 block_bytes, $10 lanes, $11 header.
INSERT INTO techmart_loader.files
    (feed, fingerprint, ordinal, name, size_bytes, compression, format, first_run_id,
     block_bytes, lanes, header)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: add_header
-- The header of a file that was registered before headers were stored. $1 feed, $2 fingerprint,
-- $3 header.
UPDATE techmart_loader.files SET header = $3
WHERE feed = $1 AND fingerprint = $2 AND header IS NULL

-- name: changed
-- New files that have the name of a known one. $1 feed, $2 names, $3 fingerprints of the files.
-- Result: name, and since when a file of that name is known. One that was never read to its end may
-- have been changed while it was read: what comes now may be the whole of it.
SELECT given.name, min(f.registered_at) AS since
FROM unnest($2::text[], $3::text[]) AS given (name, fingerprint)
JOIN techmart_loader.files AS f
  ON f.feed = $1 AND f.name = given.name AND f.content_bytes IS NOT NULL
WHERE NOT EXISTS (
    SELECT FROM techmart_loader.files AS known
    WHERE known.feed = $1 AND known.fingerprint = given.fingerprint)
GROUP BY given.name
ORDER BY given.name

-- name: owner_of_ordinal
-- Which file of a feed has an ordinal? $1 feed, $2 ordinal.
SELECT name FROM techmart_loader.files WHERE feed = $1 AND ordinal = $2

-- name: progress
-- How far each lane of a file is committed. $1 feed, $2 fingerprint, $3 contract_version.
SELECT lane, lanes, end_byte
FROM techmart_loader.checkpoints
WHERE feed = $1 AND fingerprint = $2 AND contract_version = $3
ORDER BY lanes, lane

-- name: named
-- Runs whose id begins so, two at most. $1 beginning, in lower case.
SELECT run_id FROM techmart_loader.runs WHERE starts_with(run_id::text, $1) LIMIT 2

-- name: recent
-- The newest runs. $1 limit.
SELECT run_id, status, started_at, ended_at, seconds, contract_name, contract_version,
       loader_version, feeds::text AS feeds, bytes_read, peak_memory_bytes, warehouse_jobs,
       warehouse_bytes_billed, warehouse_usd, warehouse_modelled, error
FROM techmart_loader.runs
ORDER BY started_at DESC
LIMIT $1
