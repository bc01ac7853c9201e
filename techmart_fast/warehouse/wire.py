"""Between the official client's objects and the sink's values: schemas, jobs, errors."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.api_core import exceptions as api
from google.cloud import bigquery

from techmart_fast.errors import WarehouseError
from techmart_fast.warehouse.faults import first_line, service_error
from techmart_fast.warehouse.schema import Column
from techmart_fast.warehouse.service import JobFault, JobState
from techmart_fast.warehouse.sql_types import load_field
from techmart_fast.warehouse.statements import Array, Parameter, Rows, Scalar

_REQUEST = re.compile(r"^[A-Z]+ https?://\S+: ")
"""What the client puts before the service's message."""

_REASONS = {401: "authError", 403: "accessDenied", 404: "notFound"}
"""Of an answer that gives none."""


def load_schema(columns: Sequence[Column]) -> list[bigquery.SchemaField]:
    """The client's schema of flat declared columns."""
    return [bigquery.SchemaField.from_api_repr(load_field(column)) for column in columns]


def query_parameter(name: str, parameter: Parameter) -> Any:
    """The client's parameter, of one of its three classes."""
    match parameter:
        case Scalar(kind=kind, value=value):
            return bigquery.ScalarQueryParameter(name, kind, value)
        case Array(kind=kind, values=values):
            return bigquery.ArrayQueryParameter(name, kind, list(values))
        case Rows(columns=columns, rows=rows):
            structs = [
                bigquery.StructQueryParameter(
                    None,
                    *(
                        bigquery.ScalarQueryParameter(column, kind, row[column])
                        for column, kind in columns.items()
                    ),
                )
                for row in rows
            ]
            return bigquery.ArrayQueryParameter(name, "STRUCT", structs)


def job_state(job: Any, *, existed: bool = False) -> JobState:
    """A job of any of the client's classes as a value."""
    fault = None
    if job.error_result:
        fault = JobFault(
            reason=str(job.error_result.get("reason", "")),
            message=first_line(str(job.error_result.get("message", ""))),
        )
    is_load = isinstance(job, bigquery.LoadJob)
    rows = job.output_rows if is_load else job.num_dml_affected_rows
    return JobState(
        job_id=job.job_id,
        done=job.state == "DONE",
        fault=fault,
        existed=existed,
        rows=int(rows or 0),
        bytes_processed=0 if is_load else int(job.total_bytes_processed or 0),
        bytes_billed=0 if is_load else int(job.total_bytes_billed or 0),
        bytes_loaded=int(job.input_file_bytes or 0) if is_load else 0,
    )


def from_api(error: api.GoogleAPICallError, doing: str) -> WarehouseError:
    """The project's error for one that the service answered."""
    message = _REQUEST.sub("", str(error.message or ""))
    details: object = error.errors[0] if error.errors else {}
    if not details and (found := _answer_in(message)):
        message, details = found
    reason = str(details.get("reason", "")) if isinstance(details, Mapping) else ""
    if not reason:
        code = int(error.code or 0)
        reason = _REASONS.get(code, "backendError" if code >= 500 else "invalid")
    return service_error(reason=reason, message=message, doing=doing)


def _answer_in(text: str) -> tuple[str, object] | None:
    """Message and first error of the service's answer, where the client quotes it as it came.

    The client for Cloud Storage does so with uploads.
    """
    try:
        answer, _ = json.JSONDecoder().raw_decode(text)
        error = answer["error"]
        return str(error["message"]), error["errors"][0]
    except (ValueError, TypeError, LookupError):
        return None
