"""What each way does and does not do, and what one run of it took."""

from dataclasses import dataclass

COLUMNS = (
    "transaction_id",
    "user_id",
    "product_id",
    "amount",
    "currency",
    "amount_usd",
    "timestamp",
    "payment_method",
    "status",
    "transaction_date",
    "processing_priority",
    "source_ordinal",
    "source_offset",
    "batch_no",
)
"""Of the table `transactions`, as a clean CSV has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to load the transactions. `lacks`: what it does not do and the loader does."""

    name: str
    title: str
    starts_from: str
    lacks: str
    measure: str
    """Which function measures it: `loader`, `psql` or `peer`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one run took: seconds, of processor too. `error` instead, if it did not end well."""

    way: str
    rows: int = 0
    seconds: float = 0.0
    client_cpu: float = 0.0
    database_cpu: float = 0.0
    error: str = ""

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds if self.seconds else 0.0


_CLEAN = "clean CSV"
_RAW = "raw NDJSON"
_NO_CHECKS = "no validation, quarantine, enrichment, audit, lineage, checkpoints, warehouse"

FIRST_LOADS = (
    Way(
        name="techmart",
        title="techmart-fast, PostgreSQL + upload",
        starts_from=_RAW,
        lacks="nothing: BigQuery's own work is done on BigQuery's machines",
        measure="loader",
    ),
    Way(
        name="techmart_all",
        title="techmart-fast, all on this machine",
        starts_from=_RAW,
        lacks="nothing: the stand-in's MERGE and all rollups are in it",
        measure="loader",
    ),
    Way(
        name="psql_copy",
        title=r"psql \copy into the final table",
        starts_from=_CLEAN,
        lacks=f"{_NO_CHECKS}, upsert: a second run fails",
        measure="psql",
    ),
    Way(
        name="psql_upsert",
        title="psql staging table, INSERT … ON CONFLICT",
        starts_from=_CLEAN,
        lacks=_NO_CHECKS,
        measure="psql",
    ),
    Way(
        name="psql_build",
        title="psql heap, then indexes and constraints",
        starts_from=_CLEAN,
        lacks=f"{_NO_CHECKS}, upsert; readers have no table meanwhile",
        measure="psql",
    ),
    Way(
        name="pgloader",
        title="pgloader into the final table",
        starts_from=_CLEAN,
        lacks=f"{_NO_CHECKS}, upsert",
        measure="psql",
    ),
    Way(
        name="dlt_arrow",
        title="dlt, Arrow, merge",
        starts_from=_RAW,
        lacks=f"{_NO_CHECKS}, foreign keys, indexes",
        measure="peer",
    ),
    Way(
        name="dlt_json",
        title="dlt, JSON resource, merge",
        starts_from=_RAW,
        lacks=f"{_NO_CHECKS}, foreign keys, indexes",
        measure="peer",
    ),
    Way(
        name="adbc",
        title="pyarrow.json, ADBC ingest",
        starts_from=_RAW,
        lacks=f"{_NO_CHECKS}, keys, indexes, upsert",
        measure="peer",
    ),
    Way(
        name="pandas",
        title="pandas, to_sql by COPY",
        starts_from=_RAW,
        lacks=f"{_NO_CHECKS}, keys, indexes, upsert, exact money",
        measure="peer",
    ),
    Way(
        name="duckdb",
        title="DuckDB read_json into its own file",
        starts_from=_RAW,
        lacks=f"{_NO_CHECKS}, PostgreSQL altogether",
        measure="peer",
    ),
)
"""Into an empty table; users and products are there already for the peers."""

INCREMENTAL = ("techmart", "psql_upsert")
"""Names of those that are measured into a table that has rows."""

FEWER = {"dlt_json": 5}
"""Ways that take so long that they are given this part of the rows; rates are what compares."""
