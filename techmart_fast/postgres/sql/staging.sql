-- Records that are not plainly new: staged, judged against the versions before, applied.
--
-- A *version* of a record is its content at a position. The versions of a key are the stored one,
-- the held ones and those of the batch. Temporary tables: staged_{table} (the records of a batch),
-- judged_{table} (one row for each of them). Pieces in braces come from the table's description
-- (`columns.py`); _s, _t and _h name columns of the staged, the stored and the held row.

-- name: create_staged
-- Once for a connection. `n` is the record's row in its batch; `missing`: a parent does not exist;
-- `chained`: the key has several versions in the batch, or held ones.
CREATE TEMPORARY TABLE IF NOT EXISTS staged_{table} ON COMMIT DELETE ROWS AS
SELECT 0::integer AS n, false AS missing, false AS chained, {staged} FROM {model} WITH NO DATA

-- name: create_judged
-- verdict: what the record counts as. action: what happens to its row: insert, correct, advance
-- (only the position), hold, none. follows: there was a version before it; resent: in another file.
CREATE TEMPORARY TABLE IF NOT EXISTS judged_{table} (
    n        integer NOT NULL,
    verdict  text    NOT NULL,
    action   text    NOT NULL,
    follows  boolean NOT NULL,
    resent   boolean NOT NULL,
    kept     text,
    old_date date
) ON COMMIT DELETE ROWS

-- name: known
-- Which keys are stored? $1 keys, joined by $2. Result: their numbers, from 1. The LIMIT, which changes
-- nothing, makes it one look-up in the index for each key; joined freely, the planner reads the whole
-- index.
SELECT given.n
FROM unnest(string_to_array($1, $2)) WITH ORDINALITY AS given (key, n)
CROSS JOIN LATERAL (
    SELECT FROM public.{table} AS t WHERE t.{key} = given.key LIMIT 1
) AS stored

-- name: some_held
-- Keys that have held versions, $1 of them at most.
SELECT DISTINCT h.{key} AS key FROM techmart_loader.held_{table} AS h LIMIT $1

-- name: held_keys
-- Which keys have held versions, where there are many? $1 keys, joined by $2. Result: their numbers,
-- from 1.
SELECT given.n
FROM unnest(string_to_array($1, $2)) WITH ORDINALITY AS given (key, n)
CROSS JOIN LATERAL (
    SELECT FROM techmart_loader.held_{table} AS h WHERE h.{key} = given.key LIMIT 1
) AS held

-- name: judge_single
-- Judges records that are the only one of their key in the batch and have no held versions: beside
-- the stored version nothing matters. The LIMIT is there for the same reason as above.
INSERT INTO pg_temp.judged_{table} (n, verdict, action, follows, resent, kept, old_date)
SELECT s.n,
       CASE WHEN v.older OR v.equal THEN 'duplicate' WHEN s.missing THEN 'held' ELSE 'loaded' END,
       CASE WHEN v.older THEN 'none'
            WHEN v.equal AND NOT v.refresh THEN 'advance'
            WHEN s.missing THEN 'hold'
            WHEN v.stored THEN 'correct'
            ELSE 'insert' END,
       v.stored,
       coalesce(s.source_ordinal <> t.source_ordinal, false),
       {kept_t},
       {date_t}
FROM pg_temp.staged_{table} AS s
LEFT JOIN LATERAL (
    SELECT * FROM public.{table} AS known WHERE known.{key} = s.{key} LIMIT 1
) AS t ON true
CROSS JOIN LATERAL (
    SELECT t.{key} IS NOT NULL AS stored,
           coalesce((s.source_ordinal, s.source_offset)
                    <= (t.source_ordinal, t.source_offset), false) AS older,
           t.{key} IS NOT NULL AND {content_s} IS NOT DISTINCT FROM {content_t} AS equal,
           {refresh} AS refresh
) AS v
WHERE NOT s.chained

-- name: judge_chained
-- Judges records whose key has several versions beside the stored one, in position order. Of the
-- records with parents that are newer than the stored one, the newest is the *winner*: it becomes
-- the row. A record without parents is held if it is newer than that; what is older can never
-- become the row. A version at the position of a held one is that one, read again.
INSERT INTO pg_temp.judged_{table} (n, verdict, action, follows, resent, kept, old_date)
WITH keys AS (
    SELECT DISTINCT s.{key} FROM pg_temp.staged_{table} AS s WHERE s.chained
), versions AS (
    SELECT s.{key}, ARRAY[s.source_ordinal, s.source_offset] AS position, s.n,
           {content_s} AS content
    FROM pg_temp.staged_{table} AS s
    WHERE s.chained
    UNION ALL
    SELECT t.{key}, ARRAY[t.source_ordinal, t.source_offset], NULL, {content_t}
    FROM public.{table} AS t
    JOIN keys USING ({key})
    {held_versions}
), ordered AS (
    SELECT v.n,
           v.content,
           lag(v.content) OVER chain AS content_before,
           lag(v.position) OVER chain AS position_before,
           v.position
    FROM versions AS v
    WINDOW chain AS (PARTITION BY v.{key} ORDER BY v.position, v.n NULLS FIRST)
), compared AS (
    SELECT s.n,
           s.{key},
           s.missing,
           {kept_s} AS kept,
           o.position,
           o.position_before IS NOT NULL AS follows,
           coalesce(o.position_before[1] <> o.position[1], false) AS resent,
           o.position_before = o.position AS again,
           o.position_before IS NOT NULL
               AND o.content_before IS NOT DISTINCT FROM o.content AS repeats,
           t.{key} IS NOT NULL AS stored,
           t.{key} IS NULL
               OR (s.source_ordinal, s.source_offset) > (t.source_ordinal, t.source_offset)
               AS newer,
           t.{key} IS NOT NULL AND {content_s} IS NOT DISTINCT FROM {content_t}
               AND NOT ({refresh}) AS unchanged,
           {kept_t} AS stored_kept,
           {date_t} AS old_date
    FROM ordered AS o
    JOIN pg_temp.staged_{table} AS s ON s.n = o.n
    LEFT JOIN public.{table} AS t ON t.{key} = s.{key}
), decided AS (
    SELECT c.*,
           CASE WHEN NOT c.newer OR c.again OR c.repeats THEN 'duplicate'
                WHEN c.missing THEN 'held'
                ELSE 'loaded' END AS verdict,
           max(c.position) FILTER (WHERE c.newer AND NOT c.missing)
               OVER (PARTITION BY c.{key}) AS winner
    FROM compared AS c
)
SELECT d.n,
       d.verdict,
       CASE WHEN d.position = d.winner THEN
                CASE WHEN NOT d.stored THEN 'insert'
                     WHEN d.unchanged THEN 'advance'
                     ELSE 'correct' END
            WHEN d.missing AND d.newer AND d.again IS NOT TRUE
                 AND (d.winner IS NULL OR d.position > d.winner) THEN 'hold'
            ELSE 'none' END,
       d.follows,
       d.resent,
       coalesce(d.stored_kept,
                (array_agg(d.kept) FILTER (WHERE d.verdict = 'loaded') OVER chain)[1],
                d.kept),
       d.old_date
FROM decided AS d
WINDOW chain AS (PARTITION BY d.{key} ORDER BY d.position
                 ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)

-- name: summarise
-- What the verdicts come to. Result: counts by verdict and by action; flagged: loaded records with
-- {flag}; passed_over: held, yet older than what is the row now; accepted: n of the rows that change a row's content; rekept, rekept_values: n and value
-- where another value of {kept_s} is kept than the record's; old_dates of the corrected rows.
SELECT count(*) FILTER (WHERE j.verdict = 'loaded') AS loaded,
       count(*) FILTER (WHERE j.verdict = 'held') AS held,
       count(*) FILTER (WHERE j.verdict = 'duplicate') AS duplicate,
       count(*) FILTER (WHERE j.verdict = 'loaded' AND j.follows) AS corrected,
       count(*) FILTER (WHERE j.verdict = 'duplicate' AND j.resent) AS resent,
       count(*) FILTER (WHERE j.verdict = 'loaded' AND {flag}) AS flagged,
       count(*) FILTER (WHERE j.action = 'insert') AS inserted,
       count(*) FILTER (WHERE j.action = 'correct') AS updated,
       count(*) FILTER (WHERE j.action = 'advance') AS advanced,
       count(*) FILTER (WHERE j.action = 'hold') AS put_on_hold,
       count(*) FILTER (WHERE j.verdict = 'held' AND j.action <> 'hold') AS passed_over,
       coalesce(array_agg(j.n) FILTER (WHERE j.action IN ('insert', 'correct')), '{{}}')
           AS accepted,
       coalesce(array_agg(j.n) FILTER (WHERE j.action IN ('insert', 'correct')
                                         AND j.kept <> {kept_s}), '{{}}') AS rekept,
       coalesce(array_agg(j.kept) FILTER (WHERE j.action IN ('insert', 'correct')
                                            AND j.kept <> {kept_s}), '{{}}') AS rekept_values,
       coalesce(array_agg(DISTINCT j.old_date)
                FILTER (WHERE j.action = 'correct' AND j.old_date IS NOT NULL), '{{}}') AS old_dates
FROM pg_temp.judged_{table} AS j
JOIN pg_temp.staged_{table} AS s USING (n)

-- name: insert
-- Inserts the winners whose key is not stored. $1 batch_no.
INSERT INTO public.{table} ({stored}, batch_no)
SELECT {stored_kept}, $1
FROM pg_temp.staged_{table} AS s
JOIN pg_temp.judged_{table} AS j USING (n)
WHERE j.action = 'insert'
ORDER BY s.{key}

-- name: correct
-- Writes the winners over the stored rows, but for what is kept. $1 batch_no.
UPDATE public.{table} AS t
SET {assignments}, batch_no = $1, updated_at = now()
FROM pg_temp.staged_{table} AS s
JOIN pg_temp.judged_{table} AS j USING (n)
WHERE j.action = 'correct' AND t.{key} = s.{key}

-- name: advance
-- Moves the position of stored rows whose content was repeated by a newer record.
UPDATE public.{table} AS t
SET source_ordinal = s.source_ordinal, source_offset = s.source_offset
FROM pg_temp.staged_{table} AS s
JOIN pg_temp.judged_{table} AS j USING (n)
WHERE j.action = 'advance' AND t.{key} = s.{key}

-- name: hold
-- Sets records aside until their parents exist. $1 batch_no.
INSERT INTO techmart_loader.held_{table} ({staged}, counted, batch_no)
SELECT {staged_s}, j.verdict = 'held', $1
FROM pg_temp.staged_{table} AS s
JOIN pg_temp.judged_{table} AS j USING (n)
WHERE j.action = 'hold'

-- name: supersede
-- Drops held versions that are not newer than what is now the row. Result: how many of them were
-- counted as held.
WITH dropped AS (
    DELETE FROM techmart_loader.held_{table} AS h
    USING pg_temp.staged_{table} AS s
    JOIN pg_temp.judged_{table} AS j USING (n)
    WHERE j.action IN ('insert', 'correct', 'advance')
      AND h.{key} = s.{key}
      AND (h.source_ordinal, h.source_offset) <= (s.source_ordinal, s.source_offset)
    RETURNING h.counted
)
SELECT count(*) FILTER (WHERE counted) AS counted FROM dropped
