"""What a fetch gives: the captured file, what it took, and the checkpoint for the next one."""

from dataclasses import dataclass
from pathlib import Path

from techmart_fast.sources.api.checkpoint import Checkpoint
from techmart_fast.sources.api.drift import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The outcome of a fetch.

    Attributes:
        path: the capture, NDJSON in the order of the pages; the caller removes it when its rows
            are committed. None if nothing has changed since the last fetch.
        sha256, size_bytes: of the capture.
        fetch_id: the same when an interrupted fetch was resumed.
        records, pages: what was captured; `resumed_pages` of them by an earlier attempt.
        requests: sent by this attempt, with `retries` and redirects.
        waited_seconds: for retries and pauses that the service caused, summed over requests.
        unchanged: one answer 304 told that nothing has changed.
        complete: every record that the service has is in the capture, as far as it tells.
        first_total, last_total: records that the first and the last page announced.
        shifted: records came or went while the pages were fetched.
        missing: records that were announced and did not come.
        doubtful: the list ended where it could have gone on, and nobody told how long it is.
        changes: how the shape differs from the one that was known.
        checkpoint: store it with the rows.
    """

    path: Path | None
    sha256: str
    size_bytes: int
    fetch_id: str
    records: int
    pages: int
    resumed_pages: int
    requests: int
    retries: int
    waited_seconds: float
    unchanged: bool
    complete: bool
    first_total: int | None
    last_total: int | None
    shifted: bool
    missing: int
    doubtful: bool
    changes: tuple[Change, ...]
    checkpoint: Checkpoint
