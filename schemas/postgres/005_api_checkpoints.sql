-- Feeds may come from an API: how far it was read is stored with the rows.

CREATE TABLE techmart_loader.api_checkpoints (
    feed             text        NOT NULL,
    selection        text        NOT NULL,
    checkpoint       jsonb       NOT NULL,
    sha256           text,
    contract_version text        NOT NULL,
    run_id           uuid        NOT NULL REFERENCES techmart_loader.runs,
    stored_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, selection)
);
COMMENT ON TABLE techmart_loader.api_checkpoints IS
    'How far each API was read: watermark, validators, known shape, digest of the last records.';
