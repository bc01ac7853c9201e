-- Rejected records.

-- name: create_rejected
-- Once for a connection: the rejections of a batch on their way to the quarantine.
CREATE TEMPORARY TABLE IF NOT EXISTS rejected (
    code          text   NOT NULL,
    field         text,
    message       text   NOT NULL,
    source_offset bigint NOT NULL,
    source_line   bigint NOT NULL,
    raw           bytea  NOT NULL,
    record_key    text,
    record_date   date
) ON COMMIT DELETE ROWS

-- name: keep
-- Quarantines the rejections of a batch. A position that is there already (the same file read under
-- another contract) gets the newest reason; as long as it waits, it stays the rejection of the batch
-- that brought it. $1 feed, $2 source_name, $3 source_ordinal, $4 batch_no.
INSERT INTO techmart_loader.quarantine AS q
    (feed, source_name, source_ordinal, source_offset, source_line, code, field, message, raw,
     record_key, record_date, batch_no)
SELECT $1, $2, $3, r.source_offset, r.source_line, r.code, r.field, r.message, r.raw,
       r.record_key, r.record_date, $4
FROM pg_temp.rejected AS r
ORDER BY r.source_offset
ON CONFLICT (feed, source_ordinal, source_offset) DO UPDATE
SET code = excluded.code, field = excluded.field, message = excluded.message,
    raw = excluded.raw, record_key = excluded.record_key, record_date = excluded.record_date,
    batch_no = CASE WHEN q.resolved_at IS NULL THEN q.batch_no ELSE excluded.batch_no END,
    rejected_at = CASE WHEN q.resolved_at IS NULL THEN q.rejected_at ELSE excluded.rejected_at END,
    resolved_at = NULL, resolved_batch_no = NULL
WHERE q.resolved_at IS NOT NULL
   OR (q.code, q.field, q.message, q.raw, q.record_key, q.record_date)
      IS DISTINCT FROM (excluded.code, excluded.field, excluded.message, excluded.raw,
                        excluded.record_key, excluded.record_date)

-- name: open_offsets
-- Offsets of unresolved rejections in a range of a file. $1 feed, $2 source_ordinal, $3 first_byte,
-- $4 end_byte.
SELECT source_offset
FROM techmart_loader.quarantine
WHERE feed = $1 AND source_ordinal = $2 AND source_offset >= $3 AND source_offset < $4
  AND resolved_at IS NULL

-- name: corrected_offsets
-- Offsets of records in a range of a file that were accepted in other words. $1 feed,
-- $2 source_ordinal, $3 first_byte, $4 end_byte.
SELECT source_offset
FROM techmart_loader.quarantine
WHERE feed = $1 AND source_ordinal = $2 AND source_offset >= $3 AND source_offset < $4 AND corrected

-- name: resolve
-- Marks rejections whose position was accepted now. $1 feed, $2 source_ordinal, $3 offsets,
-- $4 batch_no, $5 corrected.
UPDATE techmart_loader.quarantine
SET resolved_at = now(), resolved_batch_no = $4, corrected = $5
WHERE feed = $1 AND source_ordinal = $2 AND source_offset = ANY ($3::bigint[])
  AND resolved_at IS NULL

-- name: waiting
-- Unresolved rejections of a feed with their bytes and what is known of their files, in source order.
-- $1 feed; $2 code, $3 source, $4 run_id, $5 numbers (each NULL for any); behind $6 source_ordinal and
-- $7 source_offset; $8 rows at most, of which the first so many that they have $9 bytes, or one.
SELECT w.*, f.fingerprint, f.format, f.header
FROM (
    SELECT q.quarantine_id AS number, q.source_name, q.source_ordinal, q.source_offset,
           q.source_line, q.code, q.field, q.message, q.record_key, q.raw,
           sum(octet_length(q.raw)) OVER (ORDER BY q.source_ordinal, q.source_offset)
               - octet_length(q.raw) AS bytes_before
    FROM (
        SELECT *
        FROM techmart_loader.quarantine
        WHERE feed = $1
          AND ($2::text IS NULL OR code = $2)
          AND ($3::text IS NULL OR source_name = $3)
          AND ($4::uuid IS NULL OR batch_no IN (
              SELECT batch_no FROM techmart_loader.batches WHERE run_id = $4))
          AND ($5::bigint[] IS NULL OR quarantine_id = ANY ($5))
          AND (source_ordinal, source_offset) > ($6, $7)
          AND resolved_at IS NULL
        ORDER BY source_ordinal, source_offset
        LIMIT $8
    ) AS q
) AS w
LEFT JOIN techmart_loader.files AS f ON f.feed = $1 AND f.ordinal = w.source_ordinal
WHERE w.bytes_before < $9
ORDER BY w.source_ordinal, w.source_offset
