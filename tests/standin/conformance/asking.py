"""Small helpers: what a refusal says, and a finished job."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import bigquery

from tests.standin.conftest import Shop


@dataclass
class Refusal:
    """The status and reason of an error."""

    status: int = 0
    reason: str = ""


@contextmanager
def refused(reason: str, status: int = 400, match: str | None = None) -> Iterator[Refusal]:
    """The block must fail with this reason and HTTP status."""
    with pytest.raises(GoogleAPICallError, match=match) as caught:
        yield Refusal(status, reason)
    found = Refusal(int(caught.value.code), str(caught.value.errors[0]["reason"]))
    assert found == Refusal(status, reason)


def done(shop: Shop, sql: str, *parameters: object, **options: object) -> bigquery.QueryJob:
    """A query job that has ended well."""
    job = shop.job(sql, *parameters, **options)
    job.result(retry=None)
    return job
