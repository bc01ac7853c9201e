-- Rows that other rows refer to.

-- name: create
-- Inserts parents that are new, in key order, so that two batches never wait for each other in a
-- ring. $1 keys, joined by $2; $3 source_offset of the record that named each first, $4
-- source_ordinal, $5 batch_no.
INSERT INTO public.{table} ({column}, source_ordinal, source_offset, batch_no)
SELECT given.key, $4, given.source_offset, $5
FROM unnest(string_to_array($1, $2), $3::bigint[]) AS given (key, source_offset)
WHERE NOT EXISTS (SELECT FROM public.{table} AS known WHERE known.{column} = given.key)
ORDER BY given.key COLLATE "C"
ON CONFLICT ({column}) DO NOTHING

-- name: lock
-- Locks the parents of a batch as the foreign key's trigger would, once for each distinct key
-- instead of once for each row, in key order; returns the keys that do not exist. Until the batch
-- commits nobody can delete a locked parent or change its key; other updates pass. $1 keys, joined
-- by $2.
WITH locked AS MATERIALIZED (
    SELECT {column} AS key
    FROM public.{table}
    WHERE {column} = ANY (string_to_array($1, $2))
    ORDER BY {column}
    FOR KEY SHARE
)
SELECT given.key
FROM unnest(string_to_array($1, $2)) AS given (key)
WHERE NOT EXISTS (SELECT FROM locked WHERE locked.key = given.key)
