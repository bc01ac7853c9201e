-- The index of a table that a first load fills without, and that is built when the rows are in.
--
-- Which index that is, is written down here and in schemas/postgres_schema.sql; a test compares.

-- name: wanting
-- Is there an index to put off: are there no transactions, may the role, and is the index just what
-- the schema makes? It must not be in a place, or have a comment or a mark, of somebody's own, which a
-- new one would not have. No row: there is not. Result: its name.
SELECT i.relname AS index_name
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS t ON t.oid = x.indrelid
WHERE x.indexrelid = to_regclass('public.transactions_user_id')
  AND x.indrelid = 'public.transactions'::regclass
  AND i.relkind = 'i' AND x.indisvalid AND x.indisready
  AND NOT x.indisclustered AND NOT x.indisreplident
  AND i.reloptions IS NULL AND i.reltablespace = 0
  AND current_setting('default_tablespace') = ''
  AND pg_get_indexdef(i.oid) =
      'CREATE INDEX transactions_user_id ON public.transactions USING btree (user_id)'
  AND obj_description(i.oid, 'pg_class') =
      'Serves the transactions of one user, and the check when a user is deleted.'
  AND NOT EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_class'::regclass AND refobjid = i.oid)
  AND pg_has_role(current_user, t.relowner, 'USAGE')
  AND has_schema_privilege(current_user, t.relnamespace, 'CREATE')
  AND NOT EXISTS (SELECT FROM public.transactions)

-- name: alone
-- Keeps everybody else out of the table, or fails soon: while this waits, queries of others wait
-- behind it.
SET LOCAL lock_timeout = '500ms';
LOCK TABLE public.transactions IN ACCESS EXCLUSIVE MODE

-- name: owe
-- Writes down that the index is owed.
INSERT INTO techmart_loader.deferred_indexes (index_name) VALUES ('transactions_user_id')
ON CONFLICT (index_name) DO UPDATE SET deferred_at = excluded.deferred_at

-- name: drop
-- From here on the table has no such index.
DROP INDEX public.transactions_user_id

-- name: owed
-- Is the index owed? An index that somebody else dropped is not. No row: it is not. Result: its name,
-- and whether the role may build it.
SELECT d.index_name AS name,
       pg_has_role(current_user, t.relowner, 'USAGE')
           AND has_schema_privilege(current_user, t.relnamespace, 'CREATE') AS may_build
FROM techmart_loader.deferred_indexes AS d
CROSS JOIN pg_class AS t
WHERE d.index_name = 'transactions_user_id' AND t.oid = 'public.transactions'::regclass

-- name: no_writers
-- Waits for transactions of others that write to the table, and lets them read only: the lock that
-- CREATE INDEX takes. Not for long: while this waits, other writers wait behind it.
SET LOCAL lock_timeout = '5s';
LOCK TABLE public.transactions IN SHARE MODE

-- name: at_leisure
-- As much time as $1 says, for the transaction that builds. Workers and memory are the server's to say:
-- with twice as much memory a million rows take as long.
SELECT set_config('statement_timeout', $1, true)

-- name: there
-- What has the name of the index by now: somebody may have been quicker. No row: nothing. Result: is_ours
-- (the definition is the schema's), is_valid (it was built to its end), is_bare (without a comment).
SELECT coalesce(i.relkind = 'i' AND x.indrelid = 'public.transactions'::regclass
                AND pg_get_indexdef(i.oid) =
                    'CREATE INDEX transactions_user_id ON public.transactions USING btree (user_id)',
                false) AS is_ours,
       coalesce(x.indisvalid AND x.indisready, false) AS is_valid,
       obj_description(i.oid, 'pg_class') IS NULL AS is_bare
FROM pg_class AS i
LEFT JOIN pg_index AS x ON x.indexrelid = i.oid
WHERE i.oid = to_regclass('public.transactions_user_id')

-- name: build
-- The index as the schema makes it.
CREATE INDEX transactions_user_id ON public.transactions (user_id)

-- name: comment
-- Its comment in the schema.
COMMENT ON INDEX public.transactions_user_id IS
    'Serves the transactions of one user, and the check when a user is deleted.'

-- name: settle
-- The index is not owed any more.
DELETE FROM techmart_loader.deferred_indexes WHERE index_name = 'transactions_user_id'

-- name: at_work
-- Is a backend still there? $1 its process id, $2 when it started.
SELECT pid FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2
