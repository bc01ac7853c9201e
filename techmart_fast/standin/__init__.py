"""The loopback BigQuery stand-in: the REST API over DuckDB. It is not BigQuery, and says so."""

SERVICE_NAME = "techmart-fast BigQuery stand-in (not BigQuery)"
