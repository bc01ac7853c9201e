"""The warehouse sink: Parquet spool, load jobs, MERGE, rollups and reports in BigQuery.

The order of calls in a run (`sink` is a `WarehouseSink`, everything it does is repeatable):

    await sink.ensure(owner)                   # tables and views, only what is missing
    spooled = write_spool(records, …)          # per batch, before PostgreSQL commits (a thread)
    await sink.load(part)                      # while the run goes on: spool → staging table
    await sink.merge(group)                    # once sealed: staging → table, newest position wins
    await sink.refresh(groups, rules)          # partials and rollups of what the groups touched
    await sink.discard(groups)                 # staging tables, after the outbox says "published"
    await sink.record_run(run, metrics)
    await sink.report(ReportKind.DAILY_SALES)
"""

from techmart_fast.warehouse.buckets import Touched, key_buckets
from techmart_fast.warehouse.estimate import QueryEstimate
from techmart_fast.warehouse.fingerprints import WarehouseFingerprints, share_out, shares_of_days
from techmart_fast.warehouse.groups import (
    Ensured,
    JobCost,
    LoadedPart,
    LoadGroup,
    LoadPart,
    LoadTable,
    MergedGroup,
    Owner,
    Refreshed,
    part_bytes,
    split_parts,
)
from techmart_fast.warehouse.reports import ReportKind
from techmart_fast.warehouse.runs import MetricRow, RunRow
from techmart_fast.warehouse.sink import WarehouseSink
from techmart_fast.warehouse.spool import (
    SpoolFolder,
    read_spool,
    rejected_rows,
    spooled_bytes,
    write_spool,
)
from techmart_fast.warehouse.staging import JOB_FAILED, STAGING_ROWS
from techmart_fast.warehouse.target import STAND_IN_PROJECT, WarehouseTarget

__all__ = [
    "JOB_FAILED",
    "STAGING_ROWS",
    "STAND_IN_PROJECT",
    "Ensured",
    "JobCost",
    "LoadGroup",
    "LoadPart",
    "LoadTable",
    "LoadedPart",
    "MergedGroup",
    "MetricRow",
    "Owner",
    "QueryEstimate",
    "Refreshed",
    "ReportKind",
    "RunRow",
    "SpoolFolder",
    "Touched",
    "WarehouseFingerprints",
    "WarehouseSink",
    "WarehouseTarget",
    "key_buckets",
    "part_bytes",
    "read_spool",
    "rejected_rows",
    "share_out",
    "shares_of_days",
    "split_parts",
    "spooled_bytes",
    "write_spool",
]
