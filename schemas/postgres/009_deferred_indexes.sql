-- From version 8 to 9: indexes that a first load makes at its end, so that a run knows what is owed.

CREATE TABLE techmart_loader.deferred_indexes (
    index_name  text PRIMARY KEY,
    deferred_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE techmart_loader.deferred_indexes IS
    'Indexes that the loader dropped for a first load, and builds again at the end of a run.';
COMMENT ON COLUMN techmart_loader.deferred_indexes.deferred_at IS
    'Since when the index is gone.';
