-- Versions of the schema.

-- name: known
-- Is there a schema of the loader? Result: one boolean.
SELECT to_regclass('techmart_loader.schema_migrations') IS NOT NULL AS known

-- name: versions
-- Applied versions.
SELECT version FROM techmart_loader.schema_migrations ORDER BY version

-- name: begin
-- One migration at a time: the same lock as in schemas/postgres_schema.sql.
BEGIN;
SELECT pg_advisory_xact_lock(1413827922, 0)

-- name: record
-- $1 version.
INSERT INTO techmart_loader.schema_migrations (version) VALUES ($1)
