-- Feeds may come from an API: how far it was read is stored with the rows.

CREATE TABLE techmart_loader.api_checkpoints (
    feed             text        NOT NULL,
    selection        text        NOT NULL,
    checkpoint       jsonb       NOT NULL,
    sha256           text,
    contract_version text        NOT NULL,
    newest_ordinal   bigint,
    run_id           uuid        NOT NULL REFERENCES techmart_loader.runs,
    stored_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, selection)
);
COMMENT ON TABLE techmart_loader.api_checkpoints IS
    'How far each API was read: watermark, validators, known shape, digest of the last records.';

ALTER TABLE techmart_loader.batches ADD COLUMN resent bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN techmart_loader.batches.resent IS
    'Of the duplicates, what another file had before: an API sends unchanged records again.';
