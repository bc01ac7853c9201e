-- From version 6 to 7: replays of quarantined records, and the headers that CSV records need for it.

ALTER TABLE techmart_loader.files ADD COLUMN header text[];
COMMENT ON COLUMN techmart_loader.files.header IS
    'Column names of a CSV file: what its rejected records are read with again.';

ALTER TABLE techmart_loader.batches DROP CONSTRAINT batches_kind_known;
ALTER TABLE techmart_loader.batches ADD CONSTRAINT batches_kind_known
    CHECK (kind IN ('load', 'release', 'deactivate', 'replay'));
