-- From version 2 to 3: what each run cost in the warehouse.

ALTER TABLE techmart_loader.runs ADD COLUMN warehouse_jobs integer;
ALTER TABLE techmart_loader.runs ADD COLUMN warehouse_bytes_billed bigint;
ALTER TABLE techmart_loader.runs ADD COLUMN warehouse_usd numeric(18, 6);
ALTER TABLE techmart_loader.runs ADD COLUMN warehouse_modelled boolean;
COMMENT ON COLUMN techmart_loader.runs.warehouse_bytes_billed IS
    'Of the queries in the warehouse, by the statistics of its jobs; load jobs are free.';
COMMENT ON COLUMN techmart_loader.runs.warehouse_usd IS 'Billed bytes at the price set then.';
COMMENT ON COLUMN techmart_loader.runs.warehouse_modelled IS
    'Whether these are figures of the stand-in, which are no bill.';
