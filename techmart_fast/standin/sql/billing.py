"""What a query would read and bill, as the model of `volume` has it.

https://cloud.google.com/bigquery/pricing#on_demand_pricing: the bytes of the referenced columns in
the partitions that literal filters leave, rounded up to a MiB, 10 MiB a table at least.
"""

from collections.abc import Iterable

from sqlglot import exp

from techmart_fast.standin.bqtypes import quoted
from techmart_fast.standin.failure import ServiceError, invalid_query
from techmart_fast.standin.refs import TableRef
from techmart_fast.standin.resources import RangePartitioning, Table
from techmart_fast.standin.sql.analyse import duckdb_sql
from techmart_fast.standin.sql.parameters import Parameters
from techmart_fast.standin.sql.scans import Scan
from techmart_fast.standin.sql.trees import copied
from techmart_fast.standin.volume import table_bytes
from techmart_fast.standin.work import Work, physical

MIB = 1 << 20
LEAST_BILLED = 10 * MIB


def check_filters(scans: Iterable[Scan]) -> None:
    """Refuse to read a table whole that requires a filter on its partition column.

    Raises:
        ServiceError: `invalidQuery`, there is no such filter.
    """
    for scan in scans:
        if scan.table.require_partition_filter and not scan.filters:
            require_filter(scan.table)


def require_filter(table: Table) -> None:
    """Refuse a statement without a filter on the partition column of this table."""
    column = table.partitioning.column if table.partitioning is not None else ""
    raise invalid_query(
        f"Cannot query over table '{table.ref}' without a filter over column(s) '{column}' "
        "that can be used for partition elimination"
    )


def processed_bytes(work: Work, scans: Iterable[Scan], parameters: Parameters) -> int:
    """Bytes that these scans read, by the model."""
    whole: dict[TableRef, int] = {}

    def rows(scan: Scan) -> int:
        if scan.filters:
            return rows_left(work, scan, parameters)
        # Statements of rollups name the same tables again and again.
        if scan.table.ref not in whole:
            whole[scan.table.ref] = rows_left(work, scan, parameters)
        return whole[scan.table.ref]

    return sum(
        number * table_bytes(work.cursor, scan.table, scan.columns).per_row
        for scan in scans
        if scan.columns and (number := rows(scan))
    )


def rows_left(work: Work, scan: Scan, parameters: Parameters) -> int:
    """Rows of the partitions that a scan's literal filters leave."""
    source = f"{physical(scan.table.ref)} AS {quoted(scan.alias)}"
    if not scan.filters:
        return work.count(f"SELECT count(*) FROM {source}")
    condition = exp.and_(*map(copied, scan.filters), copy=False)
    where = duckdb_sql(condition)
    ranges = scan.table.partitioning
    if isinstance(ranges, RangePartitioning) and ranges.interval > 1:
        # Partitions are read whole: those with a value that the filter lets through.
        number = _partition_number(ranges, scan.alias)
        where = f"{number} IN (SELECT {number} FROM {source} WHERE {where})"
    sql = f"SELECT count(*) FROM {source} WHERE {where}"
    return work.count(sql, parameters.used_in(condition) or None)


def _partition_number(ranges: RangePartitioning, alias: str) -> str:
    column = f"{quoted(alias)}.{quoted(ranges.column)}"
    return (
        f"CASE WHEN {column} IS NULL THEN -2 "
        f"WHEN {column} >= {ranges.start} AND {column} < {ranges.end} "
        f"THEN ({column} - {ranges.start}) // {ranges.interval} ELSE -1 END"
    )


def billed_bytes(processed: int, tables: int) -> int:
    """What is billed for a number of bytes read from some tables."""
    if not processed:
        return 0
    return max(-(-processed // MIB) * MIB, LEAST_BILLED * max(1, tables))


def check_limit(billed: int, limit: int | None) -> None:
    """Fail a query before it runs if it would bill more than its limit.

    Raises:
        ServiceError: `bytesBilledLimitExceeded`.
    """
    if limit is not None and billed > limit:
        raise ServiceError(
            "bytesBilledLimitExceeded",
            f"Query exceeded limit for bytes billed: {limit}. {billed} or higher required.",
        )
