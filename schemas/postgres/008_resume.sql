-- From version 7 to 8: what a run needs to know of what is done, so that it need not read it again.

ALTER TABLE techmart_loader.batches ADD COLUMN seen jsonb;
COMMENT ON COLUMN techmart_loader.batches.seen IS
    'Rejected records by reason; with the first lane what was seen of the block, for its quality.';
ALTER TABLE techmart_loader.files ADD COLUMN content_bytes bigint;
COMMENT ON COLUMN techmart_loader.files.content_bytes IS
    'Decompressed length, once the file was read to its end.';
