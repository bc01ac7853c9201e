"""Load jobs: an uploaded Parquet file into a table or into one day's partition, all or nothing.

https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#jobconfigurationload
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import duckdb

from techmart_fast.standin.bqtypes import Field, quoted, schema_from_api
from techmart_fast.standin.clock import now_ms
from techmart_fast.standin.engine_errors import of_duckdb
from techmart_fast.standin.failure import ServiceError, not_found, not_implemented
from techmart_fast.standin.jobs import Outcome
from techmart_fast.standin.parquet import converted, is_within, mismatch, parquet_fields
from techmart_fast.standin.partitions import PartitionId, split_decorator
from techmart_fast.standin.parts import MOST_PARTS, Part, keep_file
from techmart_fast.standin.refs import TableRef, table_ref
from techmart_fast.standin.resources import (
    Table,
    check_layout,
    clustering_from_api,
    partitioning_from_api,
    requires_filter,
)
from techmart_fast.standin.volume import table_bytes
from techmart_fast.standin.work import Work, physical

Body = Mapping[str, object]

_KNOWN = {
    "sourceUris",
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
        with _reading():
            table, created = self._destination(work)
            if self.partition is not None:
                table = self._with_room(work, table, self.partition)
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

    @property
    def _found(self) -> tuple[Field, ...]:
        """The file's columns as those of a table: a DECIMAL becomes NUMERIC without parameters."""
        return tuple(map(_plain, self.fields))

    def _destination(self, work: Work) -> tuple[Table, bool]:
        """The table to write to, and whether it was just made."""
        work.dataset(self.target.parent)
        found = work.find_table(self.target)
        asked = schema_from_api(self.settings.get("schema"))
        if found is None:
            if self.settings.get("createDisposition") == "CREATE_NEVER":
                raise not_found("Table", str(self.target))
            table = self._new_table(asked or self._found)
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
        schema = asked or self._found
        if [(one.name, one.type) for one in schema] == [(o.name, o.type) for o in table.schema]:
            return table
        fresh = check_layout(replace(table, schema=schema, parts=()))
        work.remove_table(table.ref)
        work.add_table(fresh)
        return fresh

    def _widened(self, work: Work, table: Table, asked: tuple[Field, ...]) -> Table:
        """The table itself, with new columns where the job may add them."""
        options = self.settings.get("schemaUpdateOptions") or ()
        may_add = isinstance(options, Sequence) and "ALLOW_FIELD_ADDITION" in options
        for one in asked or self._found:
            present = table.column(one.name)
            if present is None:
                if not may_add:
                    raise mismatch(table, f"Cannot add fields (field: {one.name})")
                added = replace(one, mode="NULLABLE" if one.mode == "REQUIRED" else one.mode)
                table = work.add_column(table, added)
            elif asked and present.type != one.type:
                text = f"Field {one.name} has changed type from {present.type} to {one.type}"
                raise mismatch(table, text)
        return check_layout(table)

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
                values[column.name] = converted(table, given, column)
            elif column.mode == "REQUIRED":
                raise mismatch(table, f"The required field {column.name} is missing")
            else:
                absent = "[]" if column.mode == "REPEATED" else "NULL"
                values[column.name] = f"CAST({absent} AS {column.type.duckdb})"
        if by_name:
            extra = next(iter(by_name.values())).name
            raise mismatch(table, f"Cannot add fields (field: {extra})")
        return values

    def _with_room(self, work: Work, table: Table, partition: PartitionId) -> Table:
        """The table with the partition emptied if asked; every row of the file must be in it."""
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
        return table


@dataclass(frozen=True, slots=True)
class GatheredPlan:
    """A load job of several files, all or nothing: the first as the job says, the others behind."""

    plans: tuple[LoadPlan, ...]

    @property
    def writes(self) -> Collection[TableRef]:
        """The destination."""
        return self.plans[0].writes

    def run(self, work: Work) -> Outcome:
        """Write the rows of all files into the destination."""
        sums: dict[str, int] = {}
        for plan in self.plans:
            loaded = plan.run(work).statistics["load"]
            for name, value in dict(loaded).items() if isinstance(loaded, Mapping) else ():
                sums[name] = sums.get(name, 0) + int(value)
        return Outcome(statistics={"load": {name: str(value) for name, value in sums.items()}})


def plan_load(
    work: Work, configuration: Body, files: Sequence[Path], *, project: str
) -> LoadPlan | GatheredPlan:
    """Understand a load job of these files.

    Raises:
        ServiceError: the configuration asks for something unknown or unsupported, or a file is not
            Parquet.
    """
    settings = configuration.get("load")
    if not isinstance(settings, Mapping):
        raise ServiceError("required", "A load job needs the configuration `load`.")
    if settings.get("sourceFormat") != "PARQUET":
        raise not_implemented(f"the source format {settings.get('sourceFormat') or 'CSV'}")
    for key, value in settings.items():
        if key not in _KNOWN and value not in (None, False, "", [], {}):
            raise not_implemented(f"the load option {key}")
    for option in settings.get("schemaUpdateOptions") or ():
        if option != "ALLOW_FIELD_ADDITION":
            raise not_implemented(f"the schema update option {option}")
    if settings.get("writeDisposition", "WRITE_APPEND") not in _DISPOSITIONS:
        raise ServiceError("invalid", "Invalid write disposition.")
    target, partition = split_decorator(
        table_ref(settings.get("destinationTable"), project=project)
    )
    work.dataset(target.parent)
    options = settings.get("parquetOptions")
    inference = bool(isinstance(options, Mapping) and options.get("enableListInference"))
    following = {**settings, "writeDisposition": "WRITE_APPEND"}
    plans = [
        LoadPlan(
            file=file,
            settings=following if number else settings,
            target=target,
            partition=partition,
            fields=parquet_fields(file, list_inference=inference),
        )
        for number, file in enumerate(files)
    ]
    return plans[0] if len(plans) == 1 else GatheredPlan(tuple(plans))


def _plain(field: Field) -> Field:
    return replace(field, details={}, fields=tuple(map(_plain, field.fields)))


@contextmanager
def _reading() -> Iterator[None]:
    """What a query would call an invalid one is an invalid file here."""
    try:
        yield
    except duckdb.Error as error:
        found = of_duckdb(error, cancelled=False)
        if found.reason != "invalidQuery":
            raise
        text = f"Error while reading data, error message: {found.message}"
        raise ServiceError("invalid", text) from error


def _refuse_rows(work: Work, table: Table, where: str, days: Sequence[date] = ()) -> None:
    found = work.execute(f"SELECT 1 FROM {physical(table.ref)} WHERE {where} LIMIT 1", list(days))
    if found:
        raise ServiceError("duplicate", f"Already Exists: Table {table.ref}")
