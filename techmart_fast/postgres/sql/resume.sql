-- What earlier runs took in of files, so that a run need not read it again.

-- name: reached
-- How far files are committed in all their lanes. $1 feed, $2 fingerprints, $3 contract_version.
-- Result: fingerprint, content_bytes (null: not known), until.
SELECT f.fingerprint, f.content_bytes, min(c.end_byte) AS until
FROM techmart_loader.files AS f
JOIN techmart_loader.checkpoints AS c
  ON c.feed = f.feed AND c.fingerprint = f.fingerprint AND c.lanes = f.lanes
WHERE f.feed = $1 AND f.fingerprint = ANY ($2::text[]) AND c.contract_version = $3
GROUP BY f.feed, f.fingerprint
HAVING count(*) = f.lanes

-- name: batches
-- The batches of these files up to there. $1 feed, $2 fingerprints and $3 untils (parallel),
-- $4 contract_version, $5 run_id. Result: their counts; due: no verdict of a run includes them yet.
SELECT b.batch_no, b.fingerprint, b.lane, b.end_byte - b.first_byte AS bytes,
       b.records_read AS read, b.loaded, b.corrected, b.duplicate, b.held, b.rejected, b.flagged,
       b.resent, b.seen::text AS seen,
       b.judged_by <> $5 AND NOT EXISTS (
           SELECT FROM techmart_loader.runs AS r
           WHERE r.run_id = b.judged_by AND r.status = 'completed') AS due
FROM unnest($2::text[], $3::bigint[]) AS done (fingerprint, until)
JOIN techmart_loader.files AS f ON f.feed = $1 AND f.fingerprint = done.fingerprint
JOIN techmart_loader.batches AS b
  ON b.feed = f.feed AND b.fingerprint = f.fingerprint AND b.source_ordinal = f.ordinal
 AND b.lanes = f.lanes AND b.end_byte <= done.until
WHERE b.kind = 'load' AND b.contract_version = $4

-- name: judge
-- This run judges these batches. $1 batch_nos, $2 run_id.
UPDATE techmart_loader.batches SET judged_by = $2 WHERE batch_no = ANY ($1::bigint[])

-- name: length
-- A file was read to its end. $1 feed, $2 fingerprint, $3 decompressed bytes.
UPDATE techmart_loader.files SET content_bytes = $3
WHERE feed = $1 AND fingerprint = $2 AND content_bytes IS DISTINCT FROM $3
