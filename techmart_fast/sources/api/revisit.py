"""What makes the next fetch cheaper: the watermark, and the validators of the first page."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from yarl import URL

from techmart_fast.contract.endpoint import Cursors, Endpoint, NextAddresses, NoPages
from techmart_fast.sources.api.checkpoint import Checkpoint, Validators
from techmart_fast.sources.api.entry import Entry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def since_query(endpoint: Endpoint, since: Checkpoint | None) -> dict[str, str]:
    """The parameter that asks for changes only: the watermark less the overlap, in UTC."""
    asked = endpoint.incremental
    if asked is None or since is None or since.watermark is None:
        return {}
    moment = since.watermark - timedelta(seconds=asked.overlap_seconds)
    if asked.format == "iso":
        return {asked.parameter: moment.isoformat().replace("+00:00", "Z")}
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return {asked.parameter: str(seconds if asked.format == "epoch_seconds" else seconds * 1000)}


def next_watermark(
    since: Checkpoint | None, newest: datetime | None, *, started: datetime
) -> datetime | None:
    """The newest change that was seen, never below the one before, nor after the fetch's start.

    One damaged record from the future would make all later fetches miss what comes until then.
    """
    before = since.watermark if since else None
    seen = min(newest, started) if newest is not None else None
    if before is None or seen is None:
        return before or seen
    return max(before, seen)


def conditions(address: URL, since: Checkpoint | None) -> Mapping[str, str]:
    """Headers that make the first request conditional, if it is the one that validators are of."""
    validators = since.validators if since else None
    if validators is None or validators.request != _digest(address):
        return {}
    if validators.etag is not None:
        return {"If-None-Match": validators.etag}
    if validators.last_modified is not None:
        return {"If-Modified-Since": validators.last_modified}
    return {}


def next_validators(
    endpoint: Endpoint, *, address: URL, first: Entry, records: int
) -> Validators | None:
    """Validators of the first page, if it is the only one or vouches for the others.

    A page that says nothing of a next one, nor how many records there are, could be followed by
    another one without any change of its own: also a short one.
    """
    told = isinstance(endpoint.pagination, NoPages | Cursors | NextAddresses)
    counted = first.total_records is not None or first.total_pages is not None
    vouches = records == first.records and (told or counted)
    if endpoint.etag_covers != "list" and not vouches:
        return None
    if first.etag is None and first.last_modified is None:
        return None
    return Validators(request=_digest(address), etag=first.etag, last_modified=first.last_modified)


def _digest(address: URL) -> str:
    return hashlib.sha256(str(address).encode()).hexdigest()
