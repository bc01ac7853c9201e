"""Where the warehouse is: the real service, or a stand-in on this machine."""

from dataclasses import dataclass
from pathlib import Path

STAND_IN_PROJECT = "techmart-local"


@dataclass(frozen=True, slots=True, kw_only=True)
class WarehouseTarget:
    """A BigQuery endpoint, its dataset, and the limits of every request and job.

    `api_endpoint` None means Google's own. `anonymous` sends no credentials (stand-in only);
    otherwise `credentials_file` or, without it, the application default
    credentials are used, themselves or to act as `impersonate`, another service account. Times in
    seconds, sizes in bytes.
    """

    project: str
    dataset: str
    location: str
    api_endpoint: str | None = None
    anonymous: bool = False
    credentials_file: Path | None = None
    impersonate: str | None = None
    staging_bucket: str | None = None
    maximum_bytes_billed: int = 1 << 40
    partition_expiration_days: int | None = None
    job_timeout_seconds: float = 1800.0
    request_timeout_seconds: float = 60.0
