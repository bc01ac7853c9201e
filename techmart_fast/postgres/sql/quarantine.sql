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
-- another contract) gets the newest reason. $1 feed, $2 source_name, $3 source_ordinal, $4 batch_no.
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
    batch_no = excluded.batch_no, rejected_at = excluded.rejected_at,
    resolved_at = NULL, resolved_batch_no = NULL

-- name: open_offsets
-- Offsets of unresolved rejections in a range of a file. $1 feed, $2 source_ordinal, $3 first_byte,
-- $4 end_byte.
SELECT source_offset
FROM techmart_loader.quarantine
WHERE feed = $1 AND source_ordinal = $2 AND source_offset >= $3 AND source_offset < $4
  AND resolved_at IS NULL

-- name: resolve
-- Marks rejections whose position was accepted now. $1 feed, $2 source_ordinal, $3 offsets,
-- $4 batch_no.
UPDATE techmart_loader.quarantine
SET resolved_at = now(), resolved_batch_no = $4
WHERE feed = $1 AND source_ordinal = $2 AND source_offset = ANY ($3::bigint[])
  AND resolved_at IS NULL
