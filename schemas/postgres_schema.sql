-- The operational database of techmart_fast: the complete current schema.
--
--   psql -v ON_ERROR_STOP=1 -f schemas/postgres_schema.sql       (PostgreSQL 14 or later)
--
-- The loader's first run applies this same file. It may be applied again at any time: what exists
-- stays. A database with an older version is refused; any run of the loader brings it up to date,
-- step by step, from schemas/postgres. Schema `public` holds the shop's data, schema `techmart_loader` what the loader itself
-- needs. Ids are compared byte by byte (COLLATE "C"): faster, and the same order on every server.
--
-- Sets that a data contract defines (currencies, payment methods, tiers, age groups) are not
-- repeated in checks here: another contract has others. Transaction statuses are fixed.

BEGIN;

SET LOCAL client_min_messages = warning;
SET LOCAL search_path = public;

-- Two first runs at the same time: the second one waits here, then finds everything in place.
SELECT pg_advisory_xact_lock(1413827922, 0);

DO $$
DECLARE
    stranger text;
BEGIN
    IF to_regclass('techmart_loader.schema_migrations') IS NULL THEN
        SELECT string_agg(name, ', ') INTO stranger
        FROM unnest(ARRAY['users', 'suppliers', 'categories', 'products', 'transactions',
                          'audit_logs']) AS name
        WHERE to_regclass('public.' || name) IS NOT NULL;
        IF stranger IS NOT NULL THEN
            RAISE EXCEPTION 'schema public already has tables of another application: %', stranger
                USING HINT = 'Load into an empty database.', ERRCODE = 'duplicate_table';
        END IF;
    ELSIF EXISTS (SELECT FROM techmart_loader.schema_migrations)
        AND NOT EXISTS (SELECT FROM techmart_loader.schema_migrations WHERE version = 2) THEN
        RAISE EXCEPTION 'this database has an older version of the schema'
            USING HINT = 'Any run of techmart-fast brings it up to date.';
    END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS techmart_loader;

CREATE TABLE IF NOT EXISTS techmart_loader.schema_migrations (
    version    integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- ---------------------------------------------------------------------------------------------
-- The shop. `source_ordinal, source_offset` is the position of the newest record that a row was
-- written from (a row is written only by a newer one); `batch_no` is the batch that wrote it.
-- ---------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS public.users (
    user_id           text COLLATE "C" NOT NULL,
    email             text        NOT NULL,
    registration_date date        NOT NULL,
    country           text        NOT NULL,
    region            text        NOT NULL,
    age_group         text,
    customer_tier     text        NOT NULL,
    source_ordinal    bigint      NOT NULL,
    source_offset     bigint      NOT NULL,
    batch_no          bigint      NOT NULL,
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_pkey PRIMARY KEY (user_id),
    CONSTRAINT users_user_id_length CHECK (char_length(user_id) BETWEEN 1 AND 64),
    CONSTRAINT users_email_form CHECK (strpos(email, '@') > 1),
    CONSTRAINT users_country_alpha_2 CHECK (char_length(country) = 2)
);
COMMENT ON TABLE public.users IS 'Customers, as the newest record of the users feed has them.';
COMMENT ON INDEX public.users_pkey IS 'Serves the upsert, and the parents of a batch.';

CREATE TABLE IF NOT EXISTS public.suppliers (
    supplier_id    text COLLATE "C" NOT NULL,
    source_ordinal bigint      NOT NULL,
    source_offset  bigint      NOT NULL,
    batch_no       bigint      NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT suppliers_pkey PRIMARY KEY (supplier_id)
);
COMMENT ON TABLE public.suppliers IS 'Suppliers named by products, with the record that first did.';
COMMENT ON INDEX public.suppliers_pkey IS 'Serves the parents of a batch of products.';

CREATE TABLE IF NOT EXISTS public.categories (
    category       text COLLATE "C" NOT NULL,
    source_ordinal bigint      NOT NULL,
    source_offset  bigint      NOT NULL,
    batch_no       bigint      NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT categories_pkey PRIMARY KEY (category)
);
COMMENT ON TABLE public.categories IS
    'Categories named by products, with the record that first did.';
COMMENT ON INDEX public.categories_pkey IS 'Serves the parents of a batch of products.';

CREATE TABLE IF NOT EXISTS public.products (
    product_id       text COLLATE "C" NOT NULL,
    name             text           NOT NULL,
    category         text COLLATE "C" NOT NULL,
    price            numeric(12, 2) NOT NULL,
    currency         text           NOT NULL,
    price_usd        numeric(12, 2) NOT NULL,
    inventory_count  bigint         NOT NULL,
    supplier_id      text COLLATE "C" NOT NULL,
    inventory_status text           NOT NULL,
    price_tier       text           NOT NULL,
    is_active        boolean        NOT NULL DEFAULT true,
    source_ordinal   bigint         NOT NULL,
    source_offset    bigint         NOT NULL,
    batch_no         bigint         NOT NULL,
    updated_at       timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT products_pkey PRIMARY KEY (product_id),
    CONSTRAINT products_category_fkey FOREIGN KEY (category) REFERENCES public.categories,
    CONSTRAINT products_supplier_id_fkey FOREIGN KEY (supplier_id) REFERENCES public.suppliers,
    CONSTRAINT products_product_id_length CHECK (char_length(product_id) BETWEEN 1 AND 64),
    CONSTRAINT products_price_positive CHECK (price > 0 AND price < 'NaN'),
    CONSTRAINT products_price_usd_range CHECK (price_usd >= 0 AND price_usd < 'NaN'),
    CONSTRAINT products_inventory_count_range CHECK (inventory_count >= 0)
);
COMMENT ON TABLE public.products IS 'Products, as the newest record of the products feed has them.';
COMMENT ON COLUMN public.products.is_active IS
    'False once a complete catalogue does not name the product.';
COMMENT ON INDEX public.products_pkey IS 'Serves the upsert, and the parents of a batch.';

CREATE TABLE IF NOT EXISTS public.transactions (
    transaction_id      text COLLATE "C" NOT NULL,
    user_id             text COLLATE "C" NOT NULL,
    product_id          text COLLATE "C",
    amount              numeric(12, 2) NOT NULL,
    currency            text           NOT NULL,
    amount_usd          numeric(12, 2) NOT NULL,
    "timestamp"         timestamptz    NOT NULL,
    payment_method      text           NOT NULL,
    status              text           NOT NULL,
    transaction_date    date           NOT NULL,
    processing_priority text           NOT NULL,
    source_ordinal      bigint         NOT NULL,
    source_offset       bigint         NOT NULL,
    batch_no            bigint         NOT NULL,
    updated_at          timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT transactions_pkey PRIMARY KEY (transaction_id),
    CONSTRAINT transactions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users,
    CONSTRAINT transactions_product_id_fkey FOREIGN KEY (product_id) REFERENCES public.products,
    CONSTRAINT transactions_transaction_id_length
        CHECK (char_length(transaction_id) BETWEEN 1 AND 64),
    CONSTRAINT transactions_amount_positive CHECK (amount > 0 AND amount < 'NaN'),
    CONSTRAINT transactions_amount_usd_range CHECK (amount_usd >= 0 AND amount_usd < 'NaN'),
    CONSTRAINT transactions_status_known
        CHECK (status IN ('completed', 'pending', 'failed', 'refunded', 'cancelled'))
) WITH (fillfactor = 90);
COMMENT ON TABLE public.transactions IS
    'Transactions, as the newest record whose user and product exist has them.';
-- fillfactor: room for the new version of a corrected row on its own page, which spares its indexes.
COMMENT ON COLUMN public.transactions.product_id IS
    'NULL where the data contract makes the product optional.';
COMMENT ON COLUMN public.transactions.transaction_date IS
    'Day of "timestamp" in the reporting time zone of the contract it was loaded under.';
COMMENT ON COLUMN public.transactions.processing_priority IS
    'Decided from the tier of the user when first loaded, and kept.';
COMMENT ON INDEX public.transactions_pkey IS 'Serves the upsert, and one transaction by its id.';

CREATE INDEX IF NOT EXISTS transactions_user_id ON public.transactions (user_id);
COMMENT ON INDEX public.transactions_user_id IS
    'Serves the transactions of one user, and the check when a user is deleted.';

CREATE INDEX IF NOT EXISTS transactions_timestamp
    ON public.transactions USING brin ("timestamp");
COMMENT ON INDEX public.transactions_timestamp IS
    'Serves ranges of time; BRIN, as rows arrive roughly in that order and it costs no insert time.';

CREATE TABLE IF NOT EXISTS public.audit_logs (
    audit_id   bigint GENERATED ALWAYS AS IDENTITY,
    table_name text        NOT NULL,
    operation  text        NOT NULL,
    record_key text,
    row_count  bigint      NOT NULL DEFAULT 1,
    old_values jsonb,
    new_values jsonb,
    batch_no   bigint,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text        NOT NULL DEFAULT session_user,
    CONSTRAINT audit_logs_pkey PRIMARY KEY (audit_id),
    CONSTRAINT audit_logs_operation_known CHECK (operation IN ('INSERT', 'UPDATE', 'DELETE'))
);
COMMENT ON TABLE public.audit_logs IS
    'Updates and deletes row by row with old and new values; inserts of the loader by batch.';
COMMENT ON INDEX public.audit_logs_pkey IS 'Serves reading the log in order.';

CREATE INDEX IF NOT EXISTS audit_logs_record
    ON public.audit_logs (record_key, table_name) WHERE record_key IS NOT NULL;
COMMENT ON INDEX public.audit_logs_record IS 'Serves the history of one record.';

-- ---------------------------------------------------------------------------------------------
-- Audit triggers. They fire ALWAYS: also for the loader, which inserts with the foreign keys'
-- per-row triggers off after checking a batch's parents as a set. They look at a statement as a
-- whole (a third of the cost of one call for each row), and stay silent where only the position of
-- a row advances. The function runs with its owner's rights, so that whoever may change a row need
-- not be able to write the log. Arguments: the key, then the columns whose change is of interest.
-- ---------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION techmart_loader.audit_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET enable_hashjoin = on
AS $$
DECLARE
    old_row text;
    new_row text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        EXECUTE format(
            'INSERT INTO public.audit_logs (table_name, operation, record_key, old_values)
             SELECT %L, %L, o.%I, to_jsonb(o) FROM old_rows AS o',
            TG_TABLE_NAME, TG_OP, TG_ARGV[0]);
        RETURN NULL;
    END IF;
    SELECT string_agg(format('o.%I', name), ', '), string_agg(format('n.%I', name), ', ')
    INTO old_row, new_row
    FROM unnest(TG_ARGV) AS name;
    -- A changed key shows as two entries, one without new and one without old values.
    EXECUTE format(
        'INSERT INTO public.audit_logs
             (table_name, operation, record_key, old_values, new_values, batch_no)
         SELECT %1$L, %2$L, coalesce(o.%3$I, n.%3$I),
                CASE WHEN o.%3$I IS NOT NULL THEN to_jsonb(o) END,
                CASE WHEN n.%3$I IS NOT NULL THEN to_jsonb(n) END,
                CASE WHEN n.batch_no <> o.batch_no THEN n.batch_no END
         FROM old_rows AS o FULL JOIN new_rows AS n ON n.%3$I = o.%3$I
         WHERE ROW(%4$s) IS DISTINCT FROM ROW(%5$s)',
        TG_TABLE_NAME, TG_OP, TG_ARGV[0], old_row, new_row);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER audit_update AFTER UPDATE ON public.users
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION techmart_loader.audit_change(
        'user_id', 'email', 'registration_date', 'country', 'region', 'age_group', 'customer_tier');
CREATE OR REPLACE TRIGGER audit_delete AFTER DELETE ON public.users
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION techmart_loader.audit_change('user_id');

CREATE OR REPLACE TRIGGER audit_update AFTER UPDATE ON public.suppliers
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION techmart_loader.audit_change('supplier_id');
CREATE OR REPLACE TRIGGER audit_delete AFTER DELETE ON public.suppliers
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION techmart_loader.audit_change('supplier_id');

CREATE OR REPLACE TRIGGER audit_update AFTER UPDATE ON public.categories
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION techmart_loader.audit_change('category');
CREATE OR REPLACE TRIGGER audit_delete AFTER DELETE ON public.categories
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION techmart_loader.audit_change('category');

CREATE OR REPLACE TRIGGER audit_update AFTER UPDATE ON public.products
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION techmart_loader.audit_change(
        'product_id', 'name', 'category', 'price', 'currency', 'price_usd', 'inventory_count',
        'supplier_id', 'inventory_status', 'price_tier', 'is_active');
CREATE OR REPLACE TRIGGER audit_delete AFTER DELETE ON public.products
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION techmart_loader.audit_change('product_id');

CREATE OR REPLACE TRIGGER audit_update AFTER UPDATE ON public.transactions
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION techmart_loader.audit_change(
        'transaction_id', 'user_id', 'product_id', 'amount', 'currency', 'amount_usd',
        'timestamp', 'payment_method', 'status', 'transaction_date', 'processing_priority');
CREATE OR REPLACE TRIGGER audit_delete AFTER DELETE ON public.transactions
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION techmart_loader.audit_change('transaction_id');

ALTER TABLE public.users ENABLE ALWAYS TRIGGER audit_update;
ALTER TABLE public.users ENABLE ALWAYS TRIGGER audit_delete;
ALTER TABLE public.suppliers ENABLE ALWAYS TRIGGER audit_update;
ALTER TABLE public.suppliers ENABLE ALWAYS TRIGGER audit_delete;
ALTER TABLE public.categories ENABLE ALWAYS TRIGGER audit_update;
ALTER TABLE public.categories ENABLE ALWAYS TRIGGER audit_delete;
ALTER TABLE public.products ENABLE ALWAYS TRIGGER audit_update;
ALTER TABLE public.products ENABLE ALWAYS TRIGGER audit_delete;
ALTER TABLE public.transactions ENABLE ALWAYS TRIGGER audit_update;
ALTER TABLE public.transactions ENABLE ALWAYS TRIGGER audit_delete;

-- ---------------------------------------------------------------------------------------------
-- The loader.
-- ---------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS techmart_loader.lease (
    name          text PRIMARY KEY DEFAULT 'loader' CHECK (name = 'loader'),
    epoch         bigint           NOT NULL DEFAULT 0,
    run_id        uuid,
    lease_seconds double precision NOT NULL DEFAULT 0,
    acquired_at   timestamptz,
    heartbeat_at  timestamptz
);
COMMENT ON TABLE techmart_loader.lease IS
    'Who may write. Every batch checks its epoch here, so that a replaced run can not commit.';
INSERT INTO techmart_loader.lease (name) VALUES ('loader') ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS techmart_loader.runs (
    run_id            uuid PRIMARY KEY,
    status            text        NOT NULL,
    epoch             bigint,
    started_at        timestamptz NOT NULL,
    ended_at          timestamptz,
    contract_name     text        NOT NULL,
    contract_version  text        NOT NULL,
    loader_version    text        NOT NULL,
    feeds             jsonb       NOT NULL DEFAULT '{}',
    seconds           double precision,
    bytes_read        bigint,
    peak_memory_bytes bigint,
    error             text,
    told              boolean     NOT NULL DEFAULT false,
    warehouse_jobs         integer,
    warehouse_bytes_billed bigint,
    warehouse_usd          numeric(18, 6),
    warehouse_modelled     boolean,
    CONSTRAINT runs_status_known CHECK (status IN ('running', 'completed', 'failed', 'stopped'))
);
COMMENT ON TABLE techmart_loader.runs IS 'One row for every run, failed ones too.';
COMMENT ON COLUMN techmart_loader.runs.told IS
    'Whether the warehouse has this row and its quality metrics.';
COMMENT ON COLUMN techmart_loader.runs.warehouse_bytes_billed IS
    'Of the queries in the warehouse, by the statistics of its jobs; load jobs are free.';
COMMENT ON COLUMN techmart_loader.runs.warehouse_usd IS 'Billed bytes at the price set then.';
COMMENT ON COLUMN techmart_loader.runs.warehouse_modelled IS
    'Whether these are figures of the stand-in, which are no bill.';

CREATE INDEX IF NOT EXISTS runs_started_at ON techmart_loader.runs (started_at);
COMMENT ON INDEX techmart_loader.runs_started_at IS 'Serves the newest runs.';

CREATE INDEX IF NOT EXISTS runs_untold ON techmart_loader.runs (started_at) WHERE NOT told;
COMMENT ON INDEX techmart_loader.runs_untold IS 'Serves the runs that the warehouse is owed.';

CREATE TABLE IF NOT EXISTS techmart_loader.data_quality_metrics (
    run_id     uuid             NOT NULL REFERENCES techmart_loader.runs,
    table_name text             NOT NULL,
    dimension  text             NOT NULL,
    metric     text             NOT NULL,
    check_date date             NOT NULL,
    value      double precision,
    threshold  double precision,
    status     text             NOT NULL,
    details    text             NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, table_name, dimension, metric),
    CONSTRAINT data_quality_metrics_status_known CHECK (status IN ('PASS', 'WARN', 'FAIL'))
);
COMMENT ON TABLE techmart_loader.data_quality_metrics IS 'Scores of a run, 0 to 1, by feed.';

CREATE TABLE IF NOT EXISTS techmart_loader.files (
    feed          text        NOT NULL,
    fingerprint   text        NOT NULL,
    ordinal       bigint      NOT NULL,
    name          text        NOT NULL,
    size_bytes    bigint      NOT NULL,
    compression   text        NOT NULL,
    format        text        NOT NULL,
    block_bytes   bigint,
    lanes         integer,
    first_run_id  uuid        NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    header        text[],
    content_bytes bigint,
    PRIMARY KEY (feed, fingerprint),
    CONSTRAINT files_ordinal_taken UNIQUE (feed, ordinal)
);
COMMENT ON TABLE techmart_loader.files IS
    'Known files by content; the ordinal is the first half of the position of their records.';
COMMENT ON COLUMN techmart_loader.files.block_bytes IS
    'Length of the blocks that the file was first cut into; every rerun cuts it the same way.';
COMMENT ON COLUMN techmart_loader.files.lanes IS
    'Shares of each block, by key; the same in every rerun.';
COMMENT ON COLUMN techmart_loader.files.header IS
    'Column names of a CSV file: what its rejected records are read with again.';
COMMENT ON COLUMN techmart_loader.files.content_bytes IS
    'Decompressed length, once the file was read to its end.';
COMMENT ON INDEX techmart_loader.files_ordinal_taken IS
    'Serves the next ordinal of a feed, and keeps positions unique.';

CREATE TABLE IF NOT EXISTS techmart_loader.batches (
    batch_no         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id         uuid        NOT NULL,
    kind             text        NOT NULL,
    feed             text        NOT NULL,
    run_id           uuid        NOT NULL,
    contract_version text        NOT NULL,
    fingerprint      text,
    source_ordinal   bigint,
    first_byte       bigint,
    end_byte         bigint,
    lane             integer,
    lanes            integer,
    records_read     bigint      NOT NULL DEFAULT 0,
    loaded           bigint      NOT NULL DEFAULT 0,
    corrected        bigint      NOT NULL DEFAULT 0,
    duplicate        bigint      NOT NULL DEFAULT 0,
    held             bigint      NOT NULL DEFAULT 0,
    rejected         bigint      NOT NULL DEFAULT 0,
    released         bigint      NOT NULL DEFAULT 0,
    superseded       bigint      NOT NULL DEFAULT 0,
    flagged          bigint      NOT NULL DEFAULT 0,
    judged_by        uuid        NOT NULL,
    committed_at     timestamptz NOT NULL DEFAULT now(),
    resent           bigint      NOT NULL DEFAULT 0,
    seen             jsonb,
    CONSTRAINT batches_batch_id_once UNIQUE (batch_id),
    CONSTRAINT batches_kind_known CHECK (kind IN ('load', 'release', 'deactivate', 'replay')),
    CONSTRAINT batches_add_up CHECK (records_read = loaded + duplicate + held + rejected)
);
COMMENT ON TABLE techmart_loader.batches IS
    'Committed batches. A batch that is here is skipped by every rerun.';
COMMENT ON COLUMN techmart_loader.batches.superseded IS
    'Held rows dropped because a newer version of their transaction was loaded.';
COMMENT ON COLUMN techmart_loader.batches.flagged IS
    'Loaded records with a business rule flag.';
COMMENT ON COLUMN techmart_loader.batches.judged_by IS
    'The run whose quality counts this batch: that which took it in, unless it never completed.';
COMMENT ON COLUMN techmart_loader.batches.resent IS
    'Of the duplicates, what another file had before: an API sends unchanged records again.';
COMMENT ON COLUMN techmart_loader.batches.seen IS
    'Rejected records by reason; with the first lane what was seen of the block, for its quality.';
COMMENT ON INDEX techmart_loader.batches_batch_id_once IS
    'Serves skipping a committed batch, and looking up a COMMIT whose answer was lost.';

CREATE TABLE IF NOT EXISTS techmart_loader.lineage (
    batch_no      bigint NOT NULL REFERENCES techmart_loader.batches,
    target_table  text   NOT NULL,
    rows_inserted bigint NOT NULL,
    rows_updated  bigint NOT NULL,
    rows_advanced bigint NOT NULL,
    PRIMARY KEY (batch_no, target_table)
);
COMMENT ON TABLE techmart_loader.lineage IS
    'What each batch did to each table; with batches and files: where every row came from.';

CREATE TABLE IF NOT EXISTS techmart_loader.checkpoints (
    feed             text        NOT NULL,
    fingerprint      text        NOT NULL,
    contract_version text        NOT NULL,
    lanes            integer     NOT NULL,
    lane             integer     NOT NULL,
    end_byte         bigint      NOT NULL,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, fingerprint, contract_version, lanes, lane)
);
COMMENT ON TABLE techmart_loader.checkpoints IS
    'How far each file is committed, by lane: every byte before end_byte.';

CREATE TABLE IF NOT EXISTS techmart_loader.catalogues (
    feed          text   PRIMARY KEY,
    since_ordinal bigint NOT NULL
);
COMMENT ON TABLE techmart_loader.catalogues IS
    'First ordinal of the newest complete catalogue of a feed.';

CREATE TABLE IF NOT EXISTS techmart_loader.quarantine (
    quarantine_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    feed              text        NOT NULL,
    source_name       text        NOT NULL,
    source_ordinal    bigint      NOT NULL,
    source_offset     bigint      NOT NULL,
    source_line       bigint      NOT NULL,
    code              text        NOT NULL,
    field             text,
    message           text        NOT NULL,
    raw               bytea       NOT NULL,
    record_key        text,
    record_date       date,
    batch_no          bigint      NOT NULL,
    rejected_at       timestamptz NOT NULL DEFAULT now(),
    resolved_at       timestamptz,
    resolved_batch_no bigint,
    corrected         boolean     NOT NULL DEFAULT false,
    CONSTRAINT quarantine_position_once UNIQUE (feed, source_ordinal, source_offset)
);
COMMENT ON TABLE techmart_loader.quarantine IS
    'Rejected records with reason, place and raw bytes; resolved when accepted later.';
COMMENT ON COLUMN techmart_loader.quarantine.corrected IS
    'Accepted in other words than its file has: whoever reads the file again leaves this record out.';
CREATE INDEX IF NOT EXISTS quarantine_corrected
    ON techmart_loader.quarantine (feed, source_ordinal, source_offset) WHERE corrected;
COMMENT ON INDEX techmart_loader.quarantine_corrected IS
    'Serves batches of files that have corrected records.';
COMMENT ON INDEX techmart_loader.quarantine_position_once IS
    'Serves listing in source order, marking as resolved, and keeps a rerun from doubling rows.';

CREATE TABLE IF NOT EXISTS techmart_loader.held_transactions (
    transaction_id      text COLLATE "C" NOT NULL,
    user_id             text COLLATE "C" NOT NULL,
    product_id          text COLLATE "C",
    amount              numeric(12, 2) NOT NULL,
    currency            text           NOT NULL,
    amount_usd          numeric(12, 2) NOT NULL,
    "timestamp"         timestamptz    NOT NULL,
    payment_method      text           NOT NULL,
    status              text           NOT NULL,
    transaction_date    date           NOT NULL,
    transaction_hour    bigint         NOT NULL,
    day_of_week         bigint         NOT NULL,
    is_high_value       boolean        NOT NULL,
    is_international    boolean        NOT NULL,
    payment_method_risk text           NOT NULL,
    transaction_risk    text           NOT NULL,
    processing_priority text           NOT NULL,
    source_ordinal      bigint         NOT NULL,
    source_offset       bigint         NOT NULL,
    counted             boolean        NOT NULL DEFAULT true,
    batch_no            bigint         NOT NULL,
    held_at             timestamptz    NOT NULL DEFAULT now(),
    CONSTRAINT held_transactions_pkey
        PRIMARY KEY (transaction_id, source_ordinal, source_offset)
);
COMMENT ON TABLE techmart_loader.held_transactions IS
    'Transactions whose user or product does not exist yet: every version that is newer than the '
    'stored one, complete, so that a release needs no second reading.';
COMMENT ON COLUMN techmart_loader.held_transactions.counted IS
    'False for a duplicate of the version before it: it is kept for its position, not counted.';
COMMENT ON INDEX techmart_loader.held_transactions_pkey IS
    'Serves the versions of an id, and the walk of a release.';

CREATE TABLE IF NOT EXISTS techmart_loader.load_groups (
    group_id     uuid PRIMARY KEY,
    table_name   text        NOT NULL,
    attempt      integer     NOT NULL DEFAULT 0,
    job_id       text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    CONSTRAINT load_groups_attempt_has_job CHECK ((attempt > 0) = (job_id IS NOT NULL))
);
COMMENT ON TABLE techmart_loader.load_groups IS
    'Outbox entries bound into one load job; the attempt is stored before its job is submitted.';

CREATE TABLE IF NOT EXISTS techmart_loader.outbox (
    entry_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_no     bigint      NOT NULL REFERENCES techmart_loader.batches,
    table_name   text        NOT NULL,
    path         text        NOT NULL,
    sha256       text        NOT NULL,
    row_count    bigint      NOT NULL,
    size_bytes   bigint      NOT NULL,
    dates        date[]      NOT NULL,
    group_id     uuid REFERENCES techmart_loader.load_groups,
    created_at   timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
COMMENT ON TABLE techmart_loader.outbox IS
    'Spooled files that the warehouse is owed, with every date they touch, old and new.';

CREATE INDEX IF NOT EXISTS outbox_open
    ON techmart_loader.outbox (entry_id) WHERE published_at IS NULL;
COMMENT ON INDEX techmart_loader.outbox_open IS 'Serves the entries that are not published yet.';

CREATE TABLE IF NOT EXISTS techmart_loader.identity (
    is_the_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_the_only_row),
    database_id     uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE techmart_loader.identity IS
    'Whose rows a warehouse holds: its tables are labelled with the id of the database.';
INSERT INTO techmart_loader.identity DEFAULT VALUES ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS techmart_loader.api_checkpoints (
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

CREATE TABLE IF NOT EXISTS techmart_loader.repairs (
    staging_table text PRIMARY KEY,
    run_id        uuid        NOT NULL REFERENCES techmart_loader.runs,
    started_at    timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz
);
COMMENT ON TABLE techmart_loader.repairs IS
    'Parts of the warehouse being replaced by PostgreSQL''s rows, by the staging table that has them.';

CREATE TABLE IF NOT EXISTS techmart_loader.deferred_indexes (
    index_name  text PRIMARY KEY,
    deferred_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE techmart_loader.deferred_indexes IS
    'Indexes that the loader dropped for a first load, and builds again at the end of a run.';
COMMENT ON COLUMN techmart_loader.deferred_indexes.deferred_at IS
    'Since when the index is gone.';

INSERT INTO techmart_loader.schema_migrations (version) VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9) ON CONFLICT DO NOTHING;

COMMIT;
