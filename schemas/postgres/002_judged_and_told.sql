-- From version 1 to 2: which run judges a batch, which runs the warehouse was told of, and how a
-- file is cut into batches.

ALTER TABLE techmart_loader.runs ADD COLUMN told boolean NOT NULL DEFAULT true;
ALTER TABLE techmart_loader.runs ALTER COLUMN told SET DEFAULT false;
COMMENT ON COLUMN techmart_loader.runs.told IS
    'Whether the warehouse has this row and its quality metrics.';
CREATE INDEX runs_untold ON techmart_loader.runs (started_at) WHERE NOT told;
COMMENT ON INDEX techmart_loader.runs_untold IS 'Serves the runs that the warehouse is owed.';

-- How long the blocks were is not known of files from before: the next run decides.
ALTER TABLE techmart_loader.files ADD COLUMN block_bytes bigint;
ALTER TABLE techmart_loader.files ADD COLUMN lanes integer;
COMMENT ON COLUMN techmart_loader.files.block_bytes IS
    'Length of the blocks that the file was first cut into; every rerun cuts it the same way.';
COMMENT ON COLUMN techmart_loader.files.lanes IS
    'Shares of each block, by key; the same in every rerun.';

ALTER TABLE techmart_loader.batches ADD COLUMN flagged bigint NOT NULL DEFAULT 0;
ALTER TABLE techmart_loader.batches ADD COLUMN judged_by uuid;
UPDATE techmart_loader.batches SET judged_by = run_id;
ALTER TABLE techmart_loader.batches ALTER COLUMN judged_by SET NOT NULL;
COMMENT ON COLUMN techmart_loader.batches.flagged IS
    'Loaded records with a business rule flag.';
COMMENT ON COLUMN techmart_loader.batches.judged_by IS
    'The run whose quality counts this batch: that which took it in, unless it never completed.';
