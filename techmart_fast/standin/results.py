"""Results of queries: Arrow files in the stand-in's folder, read page by page as REST rows."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from techmart_fast.standin.bqtypes import BqType, field_from_api
from techmart_fast.standin.encode import row_text
from techmart_fast.standin.failure import ServiceError, invalid_query, not_found

PAGE_BYTES = 10 << 20
"""The service's limit for the rows of one response."""
PAGE_ROWS = 50_000
KEPT_SECONDS = 24 * 3600
_EXPIRY_SECONDS = 3600
_OPEN_RESULTS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows `[first, first + rows)` as the inside of a JSON array, of `total` rows."""

    rows_json: bytes
    first: int
    rows: int
    total: int

    @property
    def next_token(self) -> str | None:
        """What asks for the next page; None after the last row."""
        end = self.first + self.rows
        return str(end) if end < self.total else None


def first_row(*, token: str | None, start_index: str | None, total: int) -> int:
    """The row at which a page begins, from the request's `pageToken` or `startIndex`."""
    given = token or start_index or "0"
    if not given.isascii() or not given.isdigit():
        raise ServiceError("invalid", f'Invalid page token or start index "{given[:40]}".')
    return min(int(given), total)


def encoded_page(
    cursor: duckdb.DuckDBPyConnection,
    rows: pa.Table,
    columns: Sequence[tuple[str, BqType]],
    *,
    first: int,
    total: int,
    int64_timestamps: bool,
) -> Page:
    """A page of `rows` (which begin at row `first` of the result): as many as fit a response."""
    if rows.nbytes > PAGE_BYTES:
        # Some more rows than will fit: texts only grow when they are written as JSON.
        rows = rows.slice(0, 1 + PAGE_BYTES * rows.num_rows // rows.nbytes)
    # Positions instead of names: a result may have two columns of one name.
    names = [f"c{place}" for place in range(len(columns))]
    renamed = rows.rename_columns(names)
    kinds = [(name, kind) for name, (_, kind) in zip(names, columns, strict=True)]
    text = row_text(kinds, int64_timestamps=int64_timestamps)
    cursor.register("page", renamed)
    try:
        # Not as a relation, which would be planned twice.
        texts = cursor.execute(f"SELECT {text} || ',' FROM page").fetchall()
    finally:
        cursor.unregister("page")
    pieces: list[bytes] = []
    size = 0
    for (row,) in texts:
        data = row.encode()
        if pieces and size + len(data) > PAGE_BYTES:
            break
        pieces.append(data)
        size += len(data)
    body = b"".join(pieces)
    return Page(rows_json=body[:-1], first=first, rows=len(pieces), total=total)


def _check_arrays(batch: pa.RecordBatch) -> None:
    """Refuse arrays that hold nulls: they may be computed, but not be a result.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#array_nulls
    """
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        # Most often no element at all is null; else the array that it is of may be null itself.
        if (
            pa.types.is_list(column.type)
            and column.values.null_count
            and column.flatten().null_count
        ):
            raise invalid_query(f"Array cannot have a null element; error in writing field {name}")


class ResultStore:
    """Results by job id. A result is kept for a day, across restarts.

    Methods may be called from any thread.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        self._open: OrderedDict[str, pa.Table] = OrderedDict()
        for unfinished in folder.glob("*.part"):
            unfinished.unlink()
        self._next_expiry = 0.0
        self.expire()

    def expire(self) -> None:
        """Delete results that are older than a day."""
        now = time.time()
        self._next_expiry = now + _EXPIRY_SECONDS
        for path in self._folder.glob("*.arrow"):
            # Another thread may have just replaced or deleted it.
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < now - KEPT_SECONDS:
                    path.unlink()

    def write(self, job_id: str, batches: pa.RecordBatchReader) -> int:
        """Store a result; returns its rows."""
        if time.time() > self._next_expiry:
            self.expire()
        path = self._path(job_id)
        unfinished = path.with_suffix(".part")
        rows = 0
        with pa.OSFile(str(unfinished), "wb") as file, pa.ipc.new_file(file, batches.schema) as out:
            for batch in batches:
                _check_arrays(batch)
                out.write_batch(batch)
                rows += batch.num_rows
        unfinished.replace(path)
        return rows

    def rows(self, job_id: str) -> pa.Table:
        """A stored result, memory-mapped.

        Raises:
            ServiceError: `notFound`, the result has expired.
        """
        with self._lock:
            if job_id in self._open:
                self._open.move_to_end(job_id)
                return self._open[job_id]
        path = self._path(job_id)
        try:
            with pa.memory_map(str(path)) as file:
                table = pa.ipc.open_file(file).read_all()
        except FileNotFoundError:
            raise not_found("Results of job", job_id) from None
        with self._lock:
            self._open[job_id] = table
            while len(self._open) > _OPEN_RESULTS:
                self._open.popitem(last=False)
        return table

    def _path(self, job_id: str) -> Path:
        return (
            self._folder / f"{hashlib.blake2b(job_id.encode(), digest_size=16).hexdigest()}.arrow"
        )


def columns_of(fields: Sequence[object]) -> list[tuple[str, BqType]]:
    """Names and types of a result's columns, from the API's schema fields."""
    parsed = [field_from_api(one) for one in fields if isinstance(one, dict)]
    return [(one.name, one.type) for one in parsed]
