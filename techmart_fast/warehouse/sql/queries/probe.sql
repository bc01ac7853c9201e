-- Asks for nothing: a dry run of it tells whether queries may be run.
SELECT 1 AS answer
