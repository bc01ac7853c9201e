-- From version 6 to 7: replays of quarantined records, and the headers that CSV records need for it.

ALTER TABLE techmart_loader.files ADD COLUMN header text[];
COMMENT ON COLUMN techmart_loader.files.header IS
    'Column names of a CSV file: what its rejected records are read with again.';

ALTER TABLE techmart_loader.batches DROP CONSTRAINT batches_kind_known;
ALTER TABLE techmart_loader.batches ADD CONSTRAINT batches_kind_known
    CHECK (kind IN ('load', 'release', 'deactivate', 'replay'));

ALTER TABLE techmart_loader.quarantine ADD COLUMN corrected boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN techmart_loader.quarantine.corrected IS
    'Accepted in other words than its file has: whoever reads the file again leaves this record out.';
CREATE INDEX quarantine_corrected
    ON techmart_loader.quarantine (feed, source_ordinal, source_offset) WHERE corrected;
COMMENT ON INDEX techmart_loader.quarantine_corrected IS
    'Serves batches of files that have corrected records.';
