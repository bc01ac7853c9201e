-- Rows that other rows refer to.

-- name: create
-- Inserts parents that are new, in key order, so that two batches never wait for each other in a
-- ring. $1 keys, $2 source_offset of the record that named each first, $3 source_ordinal,
-- $4 batch_no.
INSERT INTO public.{table} ({column}, source_ordinal, source_offset, batch_no)
SELECT given.key, $3, given.source_offset, $4
FROM unnest($1::text[], $2::bigint[]) AS given (key, source_offset)
WHERE NOT EXISTS (SELECT FROM public.{table} AS known WHERE known.{column} = given.key)
ORDER BY given.key COLLATE "C"
ON CONFLICT ({column}) DO NOTHING

-- name: lock
-- Locks the parents of a batch as the foreign key's trigger would, once for each distinct key
-- instead of once for each row, in key order; returns the keys that do not exist. Until the batch
-- commits nobody can delete a locked parent or change its key; other updates pass. $1 keys.
WITH locked AS MATERIALIZED (
    SELECT {column} AS key
    FROM public.{table}
    WHERE {column} = ANY ($1::text[])
    ORDER BY {column}
    FOR KEY SHARE
)
SELECT given.key
FROM unnest($1::text[]) AS given (key)
WHERE NOT EXISTS (SELECT FROM locked WHERE locked.key = given.key)
