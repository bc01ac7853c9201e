"""BigQuery's SQL into DuckDB's: parsed by sqlglot, typed, checked node by node, then rewritten."""
