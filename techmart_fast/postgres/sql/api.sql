-- How far the API of a feed was read.

-- name: checkpoint
-- $1 feed, $2 selection (which records of which API). is_newest: no file of the feed came after.
SELECT checkpoint::text AS checkpoint, sha256, contract_version,
       newest_ordinal IS NOT DISTINCT FROM (
           SELECT max(ordinal) FROM techmart_loader.files WHERE feed = $1) AS is_newest
FROM techmart_loader.api_checkpoints
WHERE feed = $1 AND selection = $2

-- name: store
-- $1 feed, $2 selection, $3 checkpoint, $4 digest of the records, $5 contract version, $6 run_id.
INSERT INTO techmart_loader.api_checkpoints AS c
    (feed, selection, checkpoint, sha256, contract_version, run_id, newest_ordinal)
VALUES ($1, $2, $3::jsonb, $4, $5, $6,
        (SELECT max(f.ordinal) FROM techmart_loader.files AS f WHERE f.feed = $1))
ON CONFLICT (feed, selection) DO UPDATE
SET checkpoint = excluded.checkpoint, sha256 = coalesce(excluded.sha256, c.sha256),
    contract_version = excluded.contract_version, run_id = excluded.run_id,
    newest_ordinal = excluded.newest_ordinal, stored_at = now()
