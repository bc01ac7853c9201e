-- The frame of a batch's transaction: what comes first, what comes last.

-- name: gate
-- Batches of a feed may run side by side; a release of held rows, which may touch any id, has the
-- feed for itself. Shared by batches.
SELECT pg_advisory_xact_lock_shared(1413827922, 2)

-- name: gate_alone
-- The same lock for a release.
SELECT pg_advisory_xact_lock(1413827922, 2)

-- name: open
-- Checks the lease, claims the batch, and reads what the loading of table {table} needs. $1 epoch,
-- $2 batch_id, $3 kind, $4 feed, $5 run_id, $6 contract_version, $7 fingerprint, $8 source_ordinal,
-- $9 first_byte, $10 end_byte, $11 lane, $12 lanes.
-- Result: leased (false: another run took over), batch_no (null: committed before), newest_key (no
-- greater key is stored), any_held, any_corrected (records of this file), catalogue (first ordinal of the newest complete catalogue).
-- FOR KEY SHARE lets heartbeats of the same run pass, and makes a take-over wait for this batch.
WITH lease AS MATERIALIZED (
    SELECT epoch FROM techmart_loader.lease WHERE name = 'loader' AND epoch = $1 FOR KEY SHARE
), claimed AS (
    INSERT INTO techmart_loader.batches
        (batch_id, kind, feed, run_id, contract_version, fingerprint, source_ordinal, first_byte,
         end_byte, lane, lanes, judged_by)
    SELECT $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $5 FROM lease
    ON CONFLICT (batch_id) DO NOTHING
    RETURNING batch_no
)
SELECT EXISTS (SELECT FROM lease) AS leased,
       (SELECT batch_no FROM claimed) AS batch_no,
       (SELECT max({key}) FROM public.{table}) AS newest_key,
       EXISTS (SELECT FROM techmart_loader.held_transactions) AS any_held,
       EXISTS (SELECT FROM techmart_loader.quarantine
               WHERE feed = $4 AND source_ordinal = $8 AND corrected) AS any_corrected,
       coalesce((SELECT since_ordinal FROM techmart_loader.catalogues WHERE feed = $4), 0)
           AS catalogue

-- name: judge
-- What a run that never completed took in is judged by the run that finds it again; no row: the
-- batch is judged already. $1 batch_id, $2 run_id. Result: the batch's counts.
UPDATE techmart_loader.batches AS b
SET judged_by = $2
WHERE b.batch_id = $1
  AND b.judged_by <> $2
  AND NOT EXISTS (
      SELECT FROM techmart_loader.runs AS r
      WHERE r.run_id = b.judged_by AND r.status = 'completed')
RETURNING b.loaded, b.corrected, b.duplicate, b.held, b.flagged, b.resent

-- name: close
-- Completes the batch's row and writes lineage and audit. $1 batch_no, $2–$10 counts, $11–$14
-- parallel arrays by table: name, rows inserted, updated, advanced (position only); $15 resent, $16 seen.
WITH counted AS (
    UPDATE techmart_loader.batches
    SET records_read = $2, loaded = $3, corrected = $4, duplicate = $5, held = $6, rejected = $7,
        released = $8, superseded = $9, flagged = $10, resent = $15, seen = $16::jsonb, committed_at = clock_timestamp()
    WHERE batch_no = $1
), changes AS (
    SELECT *
    FROM unnest($11::text[], $12::bigint[], $13::bigint[], $14::bigint[])
         AS change (target_table, inserted, updated, advanced)
), audited AS (
    INSERT INTO public.audit_logs (table_name, operation, row_count, batch_no)
    SELECT target_table, 'INSERT', inserted, $1 FROM changes WHERE inserted > 0
)
INSERT INTO techmart_loader.lineage
    (batch_no, target_table, rows_inserted, rows_updated, rows_advanced)
SELECT $1, target_table, inserted, updated, advanced FROM changes

-- name: owe
-- Puts a spooled file into the outbox. $1 batch_no, $2 table, $3 path, $4 sha256, $5 rows,
-- $6 bytes, $7 dates.
INSERT INTO techmart_loader.outbox
    (batch_no, table_name, path, sha256, row_count, size_bytes, dates)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: checkpoint
-- Advances the checkpoint of a file's lane. $1 feed, $2 fingerprint, $3 contract_version, $4 lanes,
-- $5 lane, $6 end_byte.
INSERT INTO techmart_loader.checkpoints AS c
    (feed, fingerprint, contract_version, lanes, lane, end_byte)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (feed, fingerprint, contract_version, lanes, lane)
DO UPDATE SET end_byte = greatest(c.end_byte, excluded.end_byte), updated_at = now()

-- name: look_up
-- Was a batch committed, whose COMMIT was not answered? Inserting its id waits for a transaction
-- that may still be on its way; run it in a transaction that is rolled back. $1 batch_id. A row
-- comes back if the batch is *not* committed.
INSERT INTO techmart_loader.batches (batch_id, kind, feed, run_id, contract_version, judged_by)
VALUES ($1, 'load', '', $1, '', $1)
ON CONFLICT (batch_id) DO NOTHING
RETURNING batch_no
