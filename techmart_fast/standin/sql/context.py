"""What a statement runs in, and what it leaves."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from techmart_fast.standin.bqtypes import BqType
from techmart_fast.standin.refs import TableRef
from techmart_fast.standin.resources import Table
from techmart_fast.standin.sql.analyse import Analysed
from techmart_fast.standin.sql.billing import (
    billed_bytes,
    check_filters,
    check_limit,
    processed_bytes,
)
from techmart_fast.standin.sql.names import Names
from techmart_fast.standin.sql.parameters import Parameters
from techmart_fast.standin.work import Work


@dataclass(slots=True, kw_only=True)
class Context:
    """The transaction, names, parameters and limits of one statement.

    `text` is the job's and which of its statements this is. `dry` asks for the plan only: nothing
    may be changed.
    """

    text: str
    work: Work
    names: Names
    parameters: Parameters
    limit_bytes: int | None = None
    dry: bool = False
    destination: TableRef | None = None
    create_disposition: str = "CREATE_IF_NEEDED"
    write_disposition: str = "WRITE_EMPTY"
    processed: int = 0
    billed: int = 0

    def charge(self, *queries: Analysed, extra: int = 0) -> None:
        """Count what queries read (and `extra` bytes), and refuse what goes over the limit."""
        for query in queries:
            check_filters(query.scans)
            self.processed += processed_bytes(self.work, query.scans, self.parameters)
        self.processed += extra
        self.billed = billed_bytes(self.processed, len(self.names.tables))
        check_limit(self.billed, self.limit_bytes)

    def used(self, query: Analysed) -> dict[str, object]:
        """The values that a query binds."""
        return dict(self.parameters.used_in(query.tree))


@dataclass(frozen=True, slots=True)
class Rows:
    """The result of a query; `reader` is None for one that was only planned."""

    names: tuple[str, ...]
    kinds: tuple[BqType, ...]
    reader: pa.RecordBatchReader | None = None

    def drain(self) -> None:
        """Compute rows that nobody reads: they may fail, and the engine waits for their end."""
        for _ in self.reader or ():
            pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a statement did. `statistics` are those of the API's `JobStatistics2`."""

    statement: str
    bytes_processed: int = 0
    bytes_billed: int = 0
    tables: tuple[TableRef, ...] = ()
    statistics: Mapping[str, object] = field(default_factory=dict)
    rows: Rows | None = None


def finished(context: Context, statement: str, **statistics: object) -> Done:
    """What a statement without a result did."""
    return Done(
        statement=statement,
        bytes_processed=context.processed,
        bytes_billed=context.billed,
        tables=tuple(context.names.referenced),
        statistics=statistics,
    )


def finished_dml(context: Context, statement: str, **rows: int) -> Done:
    """What a statement that changed rows did: `inserted`, `updated`, `deleted`."""
    counts = {f"{name}RowCount": str(count) for name, count in rows.items()}
    if context.dry:
        return finished(context, statement)
    return finished(context, statement, dmlStats=counts, numDmlAffectedRows=str(sum(rows.values())))


def finished_ddl(
    context: Context, statement: str, operation: str, target: Table | TableRef
) -> Done:
    """What a statement that changed the catalog did; `operation` is CREATE, SKIP, DROP or so."""
    ref = target.ref if isinstance(target, Table) else target
    return finished(context, statement, ddlOperationPerformed=operation, ddlTargetTable=ref.body())
