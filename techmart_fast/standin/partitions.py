"""Partition decorators: `sales$20240131` is one day of a table.

https://cloud.google.com/bigquery/docs/managing-partitioned-table-data
"""

import calendar
import re
from dataclasses import dataclass, replace
from datetime import date

from techmart_fast.standin.failure import ServiceError, not_implemented
from techmart_fast.standin.refs import TableRef, checked_table_name
from techmart_fast.standin.resources import RangePartitioning, Table

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
        if isinstance(table.partitioning, RangePartitioning):
            raise not_implemented("partition decorators of integer ranges")
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
        first = date(year or 0, month or 1, day or 1)
        last_month = month or 12
        last = date(first.year, last_month, day or calendar.monthrange(first.year, last_month)[1])
    except ValueError:
        raise ServiceError("invalid", f"Invalid partition decorator in {ref.table}.") from None
    unit = "DAY" if day else "MONTH" if month else "YEAR"
    base = checked_table_name(replace(ref, table=found.group(1)))
    return base, PartitionId(ref.table.rpartition("$")[2], unit, first, last)
