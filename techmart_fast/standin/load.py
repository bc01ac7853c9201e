"""Load jobs: an uploaded Parquet file into a table or into one day's partition, all or nothing.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobconfigurationload
"""

import calendar
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from techmart_fast.standin.bqtypes import Field, Kind, quoted, schema_from_api
from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.failure import ServiceError, not_found, not_implemented
from techmart_fast.standin.jobs import Outcome
from techmart_fast.standin.parquet import parquet_fields
from techmart_fast.standin.parts import MOST_PARTS, Part, keep_file
from techmart_fast.standin.resources import (
    Table,
    TableRef,
    check_layout,
    checked_table_name,
    clustering_from_api,
    partitioning_from_api,
    requires_filter,
    table_ref,
)
from techmart_fast.standin.volume import table_bytes
from techmart_fast.standin.work import Work, physical

Body = Mapping[str, object]

_KNOWN = {
    "destinationTable",
    "sourceFormat",
    "writeDisposition",
    "createDisposition",
    "schema",
    "schemaUpdateOptions",
    "parquetOptions",
    "timePartitioning",
    "rangePartitioning",
    "clustering",
    "destinationTableProperties",
    "autodetect",
    "maxBadRecords",
    "ignoreUnknownValues",
    "decimalTargetTypes",
}
_DISPOSITIONS = ("WRITE_APPEND", "WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA", "WRITE_EMPTY")
_DECORATED = re.compile(r"(.+)\$(\d{4})(\d{2})?(\d{2})?")


@dataclass(frozen=True, slots=True)
class PartitionId:
    """A partition that a name like `sales$20240131` points at: its id and its dates."""

    text: str
    unit: str
    first: date
    last: date

    def column_of(self, table: Table) -> str:
        """The partition column of a table that has such partitions.

        Raises:
            ServiceError: `invalid`, it has not.
        """
        if table.partitioning is None:
            text = f"The table {table.ref} is not partitioned: ${self.text} names no partition."
            raise ServiceError("invalid", text)
        if table.partitioning.unit != self.unit:
            raise ServiceError(
                "invalid",
                f"The partition ${self.text} does not match the partitioning of {table.ref} by "
                f"{table.partitioning.unit}.",
            )
        return table.partitioning.column


def split_decorator(ref: TableRef) -> tuple[TableRef, PartitionId | None]:
    """The table that a (possibly decorated) name means, and the partition.

    Raises:
        ServiceError: the decorator is not a day, month or year.
    """
    if "$" not in ref.table:
        return checked_table_name(ref), None
    found = _DECORATED.fullmatch(ref.table)
    try:
        if found is None:
            raise ValueError
        year, month, day = (int(part) if part else None for part in found.groups()[1:])
        assert year is not None
        first = date(year, month or 1, day or 1)
        last_month = month or 12
        last = date(year, last_month, day or calendar.monthrange(year, last_month)[1])
    except ValueError:
        raise ServiceError("invalid", f"Invalid partition decorator in {ref.table}.") from None
    unit = "DAY" if day else "MONTH" if month else "YEAR"
    base = checked_table_name(replace(ref, table=found.group(1)))
    return base, PartitionId(ref.table.rpartition("$")[2], unit, first, last)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A load job that can run."""

    file: Path
    settings: Body
    target: TableRef
    partition: PartitionId | None
    fields: tuple[Field, ...]

    @property
    def writes(self) -> Collection[TableRef]:
        """The destination."""
        return (self.target,)

    def run(self, work: Work) -> Outcome:
        """Write the file's rows into the destination."""
        size = self.file.stat().st_size
        table, created = self._destination(work)
        if self.partition is not None:
            self._make_room(work, table, self.partition)
        elif not created:
            table = self._emptied(work, table)
        table, rows = self._filled(work, table)
        work.put_table(table.modified(now_ms()))
        statistics = {
            "inputFiles": "1",
            "inputFileBytes": str(size),
            "outputRows": str(rows),
            "outputBytes": str(rows * table_bytes(work.cursor, table).per_row),
            "badRecords": "0",
        }
        return Outcome(statistics={"load": statistics})

    @property
    def _disposition(self) -> str:
        return str(self.settings.get("writeDisposition") or "WRITE_APPEND")

    def _destination(self, work: Work) -> tuple[Table, bool]:
        """The table to write to, and whether it was just made."""
        work.dataset(self.target.parent)
        found = work.find_table(self.target)
        asked = schema_from_api(self.settings.get("schema"))
        if found is None:
            if self.settings.get("createDisposition") == "CREATE_NEVER":
                raise not_found("Table", str(self.target))
            table = self._new_table(asked or self.fields)
            work.add_table(table)
            return table, True
        if found.view_query is not None:
            raise ServiceError(
                "invalid", f"{self.target} is a view: nothing can be loaded into it."
            )
        replaces = self._disposition == "WRITE_TRUNCATE" and self.partition is None
        if replaces:
            return self._replaced(work, found, asked), False
        return self._widened(work, found, asked), False

    def _new_table(self, schema: Sequence[Field]) -> Table:
        properties = self.settings.get("destinationTableProperties")
        details = dict(properties) if isinstance(properties, Mapping) else {}
        now = now_ms()
        return check_layout(
            Table(
                ref=self.target,
                schema=tuple(schema),
                created_ms=now,
                modified_ms=now,
                partitioning=partitioning_from_api(self.settings),
                clustering=clustering_from_api(self.settings),
                require_partition_filter=requires_filter(self.settings),
                details=details,
            )
        )

    def _replaced(self, work: Work, table: Table, asked: tuple[Field, ...]) -> Table:
        """The table with the schema that WRITE_TRUNCATE leaves: the job's, else the file's."""
        schema = asked or self.fields
        if [(one.name, one.type) for one in schema] == [(o.name, o.type) for o in table.schema]:
            return table
        fresh = check_layout(replace(table, schema=schema))
        work.remove_table(table.ref)
        work.add_table(fresh)
        return fresh

    def _widened(self, work: Work, table: Table, asked: tuple[Field, ...]) -> Table:
        """The table itself, with new columns where the job may add them."""
        options = self.settings.get("schemaUpdateOptions") or ()
        may_add = isinstance(options, Sequence) and "ALLOW_FIELD_ADDITION" in options
        for one in asked or self.fields:
            present = table.column(one.name)
            if present is None:
                if not may_add:
                    raise _mismatch(table, f"Cannot add fields (field: {one.name})")
                added = replace(one, mode="NULLABLE" if one.mode == "REQUIRED" else one.mode)
                table = work.add_column(table, added)
            elif asked and present.type != one.type:
                text = f"Field {one.name} has changed type from {present.type} to {one.type}"
                raise _mismatch(table, text)
        return table

    def _emptied(self, work: Work, table: Table) -> Table:
        if self._disposition in ("WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA"):
            return work.clear(table)
        if self._disposition == "WRITE_EMPTY":
            _refuse_rows(work, table, "TRUE")
        return table

    def _filled(self, work: Work, table: Table) -> tuple[Table, int]:
        """The table with the file's rows, and how many they are."""
        columns = ", ".join(
            f"{value} AS {quoted(name)}" for name, value in self._values(table).items()
        )
        rows = work.count("SELECT count(*) FROM read_parquet(?)", [str(self.file)])
        if self._can_be_kept(work, table):
            part = Part(keep_file(self.file, work.parts), columns)
            kept = work.parts / part.file
            work.after_rollback.append(lambda: kept.unlink(missing_ok=True))
            return work.add_part(table, part), rows
        table = work.settle(table)
        source = f"SELECT {columns} FROM read_parquet(?)"
        work.execute(f"INSERT INTO {physical(table.ref)} {source}", [str(self.file)])
        return table, rows

    def _can_be_kept(self, work: Work, table: Table) -> bool:
        """Whether the file may stay as it is: nothing else is in the table, nothing to round."""
        if self.partition is not None or len(table.parts) >= MOST_PARTS:
            return False
        if not table.parts and work.count(f"SELECT count(*) FROM {physical(table.ref)}"):
            return False
        given = {one.name.lower(): one for one in self.fields}
        for column in table.schema:
            one = given.get(column.name.lower())
            if one is not None and not is_within(one, column):
                return False
            if column.mode == "REQUIRED" and one is not None and one.mode != "REQUIRED":
                self._check_filled(work, table, column)
        return True

    def _check_filled(self, work: Work, table: Table, column: Field) -> None:
        where = f"{quoted(column.name)} IS NULL"
        if work.count(f"SELECT count(*) FROM read_parquet(?) WHERE {where}", [str(self.file)]):
            raise ServiceError("invalid", f"Required field {column.name} of {table.ref} is null.")

    def _values(self, table: Table) -> dict[str, str]:
        """For each column of the table, what it becomes of the file's columns."""
        by_name = {one.name.lower(): one for one in self.fields}
        values: dict[str, str] = {}
        for column in table.schema:
            given = by_name.pop(column.name.lower(), None)
            if given is not None:
                values[column.name] = _converted(table, given, column)
            elif column.mode == "REQUIRED":
                raise _mismatch(table, f"The required field {column.name} is missing")
            else:
                absent = "[]" if column.mode == "REPEATED" else "NULL"
                values[column.name] = f"CAST({absent} AS {column.type.duckdb})"
        if by_name:
            extra = next(iter(by_name.values())).name
            raise _mismatch(table, f"Cannot add fields (field: {extra})")
        return values

    def _make_room(self, work: Work, table: Table, partition: PartitionId) -> None:
        """Check that every row of the file is in the partition, and empty that if asked."""
        column = quoted(partition.column_of(table))
        inside = f"CAST({column} AS DATE) BETWEEN ? AND ?"
        days = [partition.first, partition.last]
        stray = work.count(
            f"SELECT count(*) FROM read_parquet(?) WHERE ({inside}) IS NOT TRUE",
            [str(self.file), *days],
        )
        if stray:
            raise ServiceError(
                "invalid",
                "Some rows belong to different partitions rather than destination partition "
                f"{partition.text}",
            )
        if self._disposition in ("WRITE_TRUNCATE", "WRITE_TRUNCATE_DATA"):
            table = work.settle(table)
            work.execute(f"DELETE FROM {physical(table.ref)} WHERE {inside}", days)
        elif self._disposition == "WRITE_EMPTY":
            _refuse_rows(work, table, inside, days)


def plan_load(work: Work, configuration: Body, file: Path, *, project: str) -> LoadPlan:
    """Understand a load job.

    Raises:
        ServiceError: the configuration asks for something unknown or unsupported, or the file is
            not Parquet.
    """
    settings = configuration.get("load")
    if not isinstance(settings, Mapping):
        raise ServiceError("required", "A load job needs the configuration `load`.")
    if settings.get("sourceUris"):
        raise not_implemented("loads from gs:// addresses: upload the file")
    if settings.get("sourceFormat") != "PARQUET":
        raise not_implemented(f"the source format {settings.get('sourceFormat') or 'CSV'}")
    for key, value in settings.items():
        if key not in _KNOWN and value not in (None, False, "", [], {}):
            raise not_implemented(f"the load option {key}")
    if settings.get("writeDisposition", "WRITE_APPEND") not in _DISPOSITIONS:
        raise ServiceError("invalid", "Invalid write disposition.")
    target, partition = split_decorator(
        table_ref(settings.get("destinationTable"), project=project)
    )
    work.dataset(target.parent)
    options = settings.get("parquetOptions")
    inference = bool(isinstance(options, Mapping) and options.get("enableListInference"))
    fields = parquet_fields(file, list_inference=inference)
    return LoadPlan(file=file, settings=settings, target=target, partition=partition, fields=fields)


def _refuse_rows(work: Work, table: Table, where: str, days: Sequence[date] = ()) -> None:
    found = work.execute(f"SELECT 1 FROM {physical(table.ref)} WHERE {where} LIMIT 1", list(days))
    if found:
        raise ServiceError("duplicate", f"Already Exists: Table {table.ref}")


_WIDER = {
    (Kind.INT64, Kind.NUMERIC),
    (Kind.INT64, Kind.BIGNUMERIC),
    (Kind.INT64, Kind.FLOAT64),
    (Kind.NUMERIC, Kind.BIGNUMERIC),
    (Kind.STRING, Kind.JSON),
}


def _converted(table: Table, given: Field, column: Field) -> str:
    """The file's column as the table's type, or a mismatch."""
    fits = given.type == column.type or (
        (given.kind, column.kind) in _WIDER
        and (given.mode == "REPEATED") == (column.mode == "REPEATED")
    )
    if not fits:
        text = f"Field {column.name} has changed type from {column.type} to {given.type}"
        raise _mismatch(table, text)
    value = f"CAST({quoted(given.name)} AS {column.type.duckdb})"
    if column.mode == "REPEATED":
        value = f"coalesce({value}, [])"
    if not is_within(given, column):
        return f"CAST(CAST({value} AS {column.limited_duckdb}) AS {column.type.duckdb})"
    return value


def is_within(given: Field, column: Field) -> bool:
    """Whether every number of a file's column fits the NUMERIC(p, s) of the table's as it is."""
    if column.kind is Kind.STRUCT:
        inner = {one.name.lower(): one for one in given.fields}
        return all(is_within(inner[one.name.lower()], one) for one in column.fields)
    if not column.limits:
        return True
    if "precision" not in given.details:
        return False
    sizes = [
        (int(one.details["precision"]), int(one.details.get("scale", "0")))
        for one in (given, column)
    ]
    (precision, scale), (most, places) = sizes
    return scale <= places and precision - scale <= most - places


def _mismatch(table: Table, text: str) -> ServiceError:
    return ServiceError("invalid", f"Provided Schema does not match Table {table.ref}. {text}")
