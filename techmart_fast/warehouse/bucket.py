"""The bucket in Cloud Storage that files go through on their way into a load job."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from google.api_core import exceptions as api
from google.auth.credentials import Credentials
from google.cloud import storage  # type: ignore[attr-defined]  # it has no types
from google.cloud.storage.retry import DEFAULT_RETRY

from techmart_fast.warehouse.calls import Calls
from techmart_fast.warehouse.credentials import local_session
from techmart_fast.warehouse.target import WarehouseTarget

_SERVICE = "storage.googleapis.com"


def staging_bucket(target: WarehouseTarget, credentials: Credentials) -> "StagingBucket":
    """The bucket that the target names. Nothing is sent."""
    # Only the stand-in serves both; a gateway for BigQuery does not serve Cloud Storage.
    endpoint = {"api_endpoint": target.api_endpoint} if target.anonymous else None
    session = local_session(target, credentials)
    client = storage.Client(target.project, credentials, client_options=endpoint, _http=session)
    calls = Calls(endpoint["api_endpoint"] or _SERVICE if endpoint else _SERVICE)
    return StagingBucket(client, target.staging_bucket or "", calls, target.request_timeout_seconds)


class StagingBucket:
    """Puts and deletes objects; usable from many threads."""

    def __init__(self, client: Any, name: str, calls: Calls, timeout_seconds: float) -> None:
        self._client = client
        self._name = name
        self._call = calls
        self._timeout = timeout_seconds
        self._retry = DEFAULT_RETRY.with_timeout(timeout_seconds)

    def put(self, name: str, data: bytes) -> str:
        """Make an object, in place of one of its name; returns its `gs://` address."""
        blob = self._client.bucket(self._name).blob(name)
        self._call(
            f"store {name} in the bucket {self._name}",
            # A name always stands for the same bytes, so that a repeat does no harm.
            lambda: blob.upload_from_string(
                data, "application/octet-stream", retry=self._retry, timeout=self._timeout
            ),
        )
        return f"gs://{self._name}/{name}"

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects, those that are there."""
        bucket = self._client.bucket(self._name)

        def deleted(name: str) -> None:
            with suppress(api.NotFound):
                bucket.blob(name).delete(retry=self._retry, timeout=self._timeout)

        for name in names:
            self._call(f"delete {name} in the bucket {self._name}", partial(deleted, name))

    def close(self) -> None:
        """Close the connections."""
        close: Callable[[], object] = self._client.close
        close()
