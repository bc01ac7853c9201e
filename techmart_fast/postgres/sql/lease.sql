-- The lease: one run at a time may write.
--
-- The holder of epoch E holds the advisory lock (1413827923, E) on its control connection for as
-- long as that lives, and stamps heartbeat_at from time to time. Lock free: the holder's connection
-- is gone, it is replaced at once. Lock taken but the heartbeat old: the holder is silent (paused,
-- cut off), it is replaced as well; the next epoch has another lock. As the server's clock may have
-- jumped, who finds an old heartbeat (or one of the future) watches for the next one first. Every batch reads the row FOR
-- KEY SHARE and compares the epoch, so that a replaced holder can't commit, and a take-over, which
-- locks it FOR UPDATE, waits for a batch that is being committed.

-- name: look
-- Who holds the lease? Result: epoch, run_id, acquired_at, lease_seconds, heartbeat_at, and doubtful:
-- that is longer ago than its own limit, or yet to come.
SELECT epoch, run_id, acquired_at, lease_seconds, heartbeat_at,
       heartbeat_at + make_interval(secs => lease_seconds) < clock_timestamp()
           OR heartbeat_at > clock_timestamp() + INTERVAL '1 second' AS doubtful
FROM techmart_loader.lease
WHERE name = 'loader'

-- name: probe
-- Takes the advisory lock of an epoch if it is free. $1 epoch.
SELECT pg_try_advisory_lock(1413827923, ($1::bigint % 2147483647)::integer) AS free

-- name: hold
-- Takes the advisory lock of an epoch that is new, so that nobody else can have it. $1 epoch.
SELECT pg_advisory_lock(1413827923, ($1::bigint % 2147483647)::integer)

-- name: drop
-- Gives the advisory lock of an epoch back. $1 epoch.
SELECT pg_advisory_unlock(1413827923, ($1::bigint % 2147483647)::integer)

-- name: seize
-- Locks the row against batches of the old holder. $1 the epoch that was looked at; no row: another
-- run was quicker.
SELECT epoch FROM techmart_loader.lease WHERE name = 'loader' AND epoch = $1 FOR UPDATE

-- name: patience
-- How long to wait for a batch of the old holder that is being committed. {seconds}.
SET LOCAL lock_timeout = '{seconds}s'

-- name: evict
-- Ends the connections of a run that still has a batch open and must not: a paused process that is
-- replaced, or one that has ended while its network was gone, which a server that waits for the data
-- of a COPY does not notice. $1 the application name of its connections; NULL, while no run holds
-- the lease: those of any run. $2 for how many seconds it was waited for. Only sessions of the same
-- role can be ended.
SELECT count(pg_terminate_backend(pid)) AS ended
FROM pg_stat_activity
WHERE datname = current_database() AND usename = session_user
  AND (application_name = $1
       OR ($1::text IS NULL AND application_name LIKE 'techmart_fast %'
           AND xact_start <= clock_timestamp() - make_interval(secs => $2)))

-- name: take
-- Writes the new holder. $1 run_id, $2 lease_seconds. Result: the new epoch.
UPDATE techmart_loader.lease
SET epoch = epoch + 1, run_id = $1, lease_seconds = $2, acquired_at = clock_timestamp(),
    heartbeat_at = clock_timestamp()
WHERE name = 'loader'
RETURNING epoch

-- name: end_replaced
-- Closes the row of a run that was replaced, with what it had committed; it ended with its last sign
-- of life. Run it before the lease is taken. $1 run_id.
WITH done AS (
    SELECT * FROM techmart_loader.batches WHERE run_id = $1
), reasons AS (
    SELECT feed, jsonb_object_agg(code, records) AS by_reason
    FROM (
        SELECT done.feed, q.code, count(*) AS records
        FROM done JOIN techmart_loader.quarantine AS q USING (batch_no)
        GROUP BY done.feed, q.code) AS counted
    GROUP BY feed
), feeds AS (
    SELECT feed, jsonb_build_object(
               'read', sum(records_read), 'loaded', sum(loaded), 'rejected', sum(rejected),
               'held', sum(held), 'duplicate', sum(duplicate), 'corrected', sum(corrected),
               'released', sum(released), 'rejected_by_reason', coalesce(by_reason, '{}')
           ) AS counts
    FROM done LEFT JOIN reasons USING (feed)
    GROUP BY feed, by_reason
), last_sign AS (
    SELECT greatest(max(committed_at), (
               SELECT heartbeat_at FROM techmart_loader.lease WHERE run_id = $1)) AS at
    FROM done
)
UPDATE techmart_loader.runs
SET status = 'failed',
    feeds = coalesce((SELECT jsonb_object_agg(feed, counts) FROM feeds), '{}'),
    ended_at = last_sign.at,
    seconds = greatest(extract(epoch FROM last_sign.at - started_at), 0),
    error = 'The run ended without finishing, and another one took its place.',
    told = false
FROM last_sign
WHERE run_id = $1 AND status = 'running'

-- name: beat
-- Stamps the heartbeat. $1 epoch. No row: another run took over.
UPDATE techmart_loader.lease
SET heartbeat_at = clock_timestamp()
WHERE name = 'loader' AND epoch = $1
RETURNING epoch

-- name: give_back
-- Ends the holding. $1 epoch.
UPDATE techmart_loader.lease
SET run_id = NULL, acquired_at = NULL, heartbeat_at = NULL
WHERE name = 'loader' AND epoch = $1

-- name: leased
-- Fences a change of the outbox like a batch. $1 epoch.
SELECT epoch FROM techmart_loader.lease WHERE name = 'loader' AND epoch = $1 FOR KEY SHARE
