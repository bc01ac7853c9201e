-- Repairs of the warehouse under way: a run that takes over makes sure that they change nothing more.

CREATE TABLE techmart_loader.repairs (
    staging_table text PRIMARY KEY,
    run_id        uuid        NOT NULL REFERENCES techmart_loader.runs,
    started_at    timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz
);
COMMENT ON TABLE techmart_loader.repairs IS
    'Parts of the warehouse being replaced by PostgreSQL''s rows, by the staging table that has them.';
