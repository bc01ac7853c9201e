"""What stays of a run that is discarded: names, labels and counts, and no row."""

import re
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from techmart_fast.standin.failure import ServiceError

PROJECT = "discarded"

Body = Mapping[str, Any]

ANSWERS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "as_of": (("transaction_date", "DATE"),),
    "bases": (("basis", "STRING"),),
    "buyers": (("bucket", "INT64"),),
    "changed_dates": (("transaction_date", "DATE"),),
    "daily_sums": (
        ("transaction_date", "DATE"),
        ("transactions", "INT64"),
        ("amount_usd", "NUMERIC"),
    ),
    "probe": (("answer", "INT64"),),
    "touched": (("kind", "STRING"), ("bucket", "INT64")),
}
"""Columns of the queries of a run, by the job's label `subject`."""

_FOOTER_BYTES = 1 << 20
"""Of the end of an upload. The loader's footers have some kilobytes for each row group."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What came in: requests, upload bytes, rows, jobs."""

    requests: int = 0
    upload_bytes: int = 0
    rows: int = 0
    load_jobs: int = 0
    query_jobs: int = 0


@dataclass(slots=True, kw_only=True)
class Upload:
    """The end of a file that comes in, by pieces; the rest of it is gone."""

    job: Body
    received: int = 0
    kept: deque[bytes] = field(default_factory=deque)
    kept_bytes: int = 0

    def take(self, chunk: bytes) -> None:
        """Count a piece and let go of what can't be the footer."""
        self.received += len(chunk)
        self.kept.append(chunk)
        self.kept_bytes += len(chunk)
        while self.kept_bytes - len(self.kept[0]) >= _FOOTER_BYTES:
            self.kept_bytes -= len(self.kept.popleft())

    def rows(self) -> int:
        """The rows that the file's footer names.

        Raises:
            ServiceError: it is no Parquet, or its footer is longer than what is kept.
        """
        try:
            footer = pq.read_metadata(pa.BufferReader(b"".join(self.kept)))
        except (pa.ArrowException, OSError) as error:
            raise ServiceError("invalid", f"The upload has no readable footer: {error}") from None
        return int(footer.num_rows)


@dataclass(slots=True, kw_only=True)
class State:
    """Names, labels and row counts: all that stays of what was sent."""

    datasets: dict[str, Body] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    changes: "count[int]" = field(default_factory=lambda: count(1))

    def table(self, dataset: str, name: str) -> dict[str, Any]:
        """A table's resource.

        Raises:
            ServiceError: there is none.
        """
        try:
            return self.tables[f"{dataset}.{name}"]
        except KeyError:
            raise ServiceError("notFound", f"Not found: Table {dataset}.{name}") from None

    def put_table(self, dataset: str, name: str, **details: object) -> dict[str, Any]:
        """Make a table, or change what is known of it."""
        reference = {"projectId": PROJECT, "datasetId": dataset, "tableId": name}
        known = {"tableReference": reference, "type": "TABLE", "numRows": "0", "labels": {}}
        body = {**known, **self.tables.get(f"{dataset}.{name}", {}), **details}
        body["etag"] = str(next(self.changes))
        self.tables[f"{dataset}.{name}"] = body
        return body

    def merged_rows(self, job: Body) -> int:
        """Rows that a MERGE takes into the facts: all that were loaded; others change none."""
        configuration = job["configuration"]
        if configuration.get("labels", {}).get("step") != "merge":
            return 0
        words = set(re.findall(r"\w+", configuration["query"]["query"]))
        tables = ((key.partition(".")[2], table) for key, table in self.tables.items())
        return sum(int(table["numRows"]) for name, table in tables if name in words)

    def new_job(self, sent: Body, statistics: Body) -> dict[str, Any]:
        """A job that is done.

        Raises:
            ServiceError: there is one with its id.
        """
        reference = {"projectId": PROJECT, "location": "US", **sent.get("jobReference", {})}
        name = str(reference.setdefault("jobId", f"job_{secrets.token_hex(16)}"))
        if name in self.jobs:
            raise ServiceError("duplicate", f"Already Exists: Job {name}")
        times = {"creationTime": "0", "startTime": "0", "endTime": "0"}
        body = {
            "jobReference": reference,
            "configuration": sent["configuration"],
            "status": {"state": "DONE"},
            "statistics": {**times, **statistics},
        }
        self.jobs[name] = body
        return body


def columns_of(job: Body) -> tuple[tuple[str, str], ...]:
    """Names and types of a query's columns, by the label that the loader gives its job.

    Raises:
        ServiceError: it is none of a run's queries; only guesses could answer it.
    """
    subject = job["configuration"].get("labels", {}).get("subject", "probe")
    if subject not in ANSWERS:
        text = f"The rows are discarded: there is nothing to answer {subject} from."
        raise ServiceError("invalidQuery", text)
    return ANSWERS[subject]
