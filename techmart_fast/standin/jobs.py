"""Jobs: what they are, what is kept of them, and the API's resource."""

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import duckdb

from techmart_fast.standin.failure import ServiceError
from techmart_fast.standin.refs import TableRef
from techmart_fast.standin.work import Work

Body = Mapping[str, object]


@dataclass(slots=True)
class Outcome:
    """What a finished job leaves: statistics by job type, and the result of a query."""

    statistics: dict[str, object] = field(default_factory=dict)
    fields: list[dict[str, object]] | None = None
    rows: int | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A job. Only the event loop's thread changes it, but for `cursor`, which its worker sets.

    `done` is set with the state DONE. `cursor` is there while an interrupt may end the job.
    `is_placed`: the client named the location.
    """

    project: str
    job_id: str
    location: str
    configuration: Body
    created_ms: int
    state: str = "PENDING"
    started_ms: int | None = None
    ended_ms: int | None = None
    error: Mapping[str, str] | None = None
    outcome: Outcome = field(default_factory=Outcome)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    cursor: duckdb.DuckDBPyConnection | None = None
    is_placed: bool = False
    at_end: list[Callable[[], None]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """`query` or `load`."""
        return str(self.configuration["jobType"]).lower()

    def finished(self, outcome: Outcome, ended_ms: int) -> "Job":
        """The same job, done; it is stored in the transaction of its changes."""
        return Job(
            project=self.project,
            job_id=self.job_id,
            location=self.location,
            configuration=self.configuration,
            created_ms=self.created_ms,
            state="DONE",
            started_ms=self.started_ms,
            ended_ms=ended_ms,
            outcome=outcome,
        )

    def failure(self) -> ServiceError | None:
        """The error that ended the job."""
        if self.error is None:
            return None
        return ServiceError(
            self.error["reason"], self.error["message"], location=self.error.get("location", "")
        )

    def resource(self) -> dict[str, object]:
        """The API's `Job`."""
        status: dict[str, object] = {"state": self.state}
        if self.error is not None:
            status |= {"errorResult": self.error, "errors": [self.error]}
        times = {
            "creationTime": self.created_ms,
            "startTime": self.started_ms,
            "endTime": self.ended_ms,
        }
        statistics = {key: str(value) for key, value in times.items() if value is not None}
        return {
            "kind": "bigquery#job",
            "id": f"{self.project}:{self.location}.{self.job_id}",
            "jobReference": {
                "projectId": self.project,
                "jobId": self.job_id,
                "location": self.location,
            },
            "configuration": self.configuration,
            "status": status,
            "statistics": {**statistics, **self.outcome.statistics},
            "user_email": "nobody@standin.invalid",
        }

    def saved(self) -> dict[str, object]:
        """Everything of the job that is kept."""
        result = {"fields": self.outcome.fields, "rows": self.outcome.rows}
        return self.resource() | {"standin": result}


def restored(body: Mapping[str, object]) -> Job:
    """A job from what `saved` gave; one that was still running has failed with its process."""
    reference, status = _part(body, "jobReference"), _part(body, "status")
    statistics, result = dict(_part(body, "statistics")), _part(body, "standin")
    times = {key: statistics.pop(key, None) for key in ("creationTime", "startTime", "endTime")}
    created = int(str(times["creationTime"]))
    fields, rows, error = result.get("fields"), result.get("rows"), status.get("errorResult")
    job = Job(
        project=str(reference["projectId"]),
        job_id=str(reference["jobId"]),
        location=str(reference["location"]),
        configuration=_part(body, "configuration"),
        created_ms=created,
        state="DONE",
        started_ms=int(str(times["startTime"] or created)),
        ended_ms=int(str(times["endTime"] or created)),
        error={str(k): str(v) for k, v in error.items()} if isinstance(error, Mapping) else None,
        outcome=Outcome(
            statistics=statistics,
            fields=fields if isinstance(fields, list) else None,
            rows=rows if isinstance(rows, int) else None,
        ),
    )
    if status["state"] != "DONE":
        job.error = ServiceError(
            "backendError", "The stand-in ended while the job ran; nothing of it was kept."
        ).proto()
    job.done.set()
    return job


def _part(body: Body, key: str) -> Body:
    value = body.get(key)
    return value if isinstance(value, Mapping) else {}


class Plan(Protocol):
    """A job that was understood and can run."""

    @property
    def writes(self) -> Collection[TableRef]:
        """Tables that it changes; jobs that change the same table run one after the other."""
        ...

    def run(self, work: Work) -> Outcome:
        """Do it within a transaction (a worker thread).

        Raises:
            ServiceError: it fails; the transaction is rolled back.
        """
        ...
