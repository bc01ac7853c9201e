"""Reads one answer: its records as lines of JSON, and what stands around them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from techmart_fast.contract.endpoint import (
    Endpoint,
    Links,
    NoPages,
    NumberedPages,
)
from techmart_fast.errors import SourceAnswerError, SourceDriftError
from techmart_fast.sources.api.following import Following, following_of
from techmart_fast.sources.api.raw_json import (
    Listed,
    NoListError,
    Note,
    NotJsonError,
    has_member,
    member,
    read_list,
)
from techmart_fast.sources.api.shape import Shape, ShapeNotes, envelope_of, kind_of

_COUNT = re.compile(r"[0-9]{1,15}")
_SEARCHED_DEPTH = 4
_NAMES_SHOWN = 12
_NAME_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContent:
    """What one answer holds.

    Attributes:
        lines: each record's exact text and a line end.
        records: how many there are.
        total_records, total_pages: what the answer announces, if it does.
        following: what the body tells of the next page.
        newest: the newest change among the records, where that is asked for.
    """

    lines: bytes
    records: int
    total_records: int | None
    total_pages: int | None
    following: Following
    newest: datetime | None
    shape: Shape


def read_page(body: bytes | bytearray, endpoint: Endpoint, *, page: int) -> PageContent:
    """The content of the answer with a page.

    Raises:
        SourceDriftError: there is no list where the endpoint says.
        SourceAnswerError: the answer is not JSON.
    """
    path = endpoint.records.split(".") if endpoint.records else []
    notes = _Notes(endpoint)
    try:
        listed = read_list(str(body, "utf-8-sig"), path, notes.begin)
    except UnicodeDecodeError as error:
        raise _unreadable(f"not UTF-8 at byte {error.start:,}", endpoint, page) from None
    except NotJsonError as error:
        raise _unreadable(f"not JSON: {error}", endpoint, page) from None
    except NoListError as error:
        if not _is_empty(error.answer, endpoint, page=page):
            raise _no_list(error.answer, endpoint, page) from None
        listed = Listed(texts=[], around=error.answer)
    around = listed.around
    total_records, total_pages = total_paths(endpoint)
    return PageContent(
        lines="".join(f"{text}\n" for text in listed.texts).encode(),
        records=len(listed.texts),
        total_records=_count(member(around, total_records)),
        total_pages=_count(member(around, total_pages)),
        following=following_of(
            endpoint, around, notes.last, place=f"Page {page} of {endpoint.where}"
        ),
        newest=notes.newest,
        shape=notes.shapes.shape(envelope_of(around, path, [total_records, total_pages])),
    )


def total_paths(endpoint: Endpoint) -> tuple[str, str]:
    """Where an answer announces how many records and how many pages there are, or empty."""
    pages = endpoint.pagination
    records = "" if isinstance(pages, NoPages | Links) else pages.total_records
    return records, pages.total_pages if isinstance(pages, NumberedPages) else ""


class _Notes:
    """Looks at each record once."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._asked = endpoint.incremental
        self.begin()

    def begin(self) -> Note:
        self.shapes = ShapeNotes()
        self.newest: datetime | None = None
        self.last: object = None
        return self._note

    def _note(self, record: object) -> None:
        self.shapes.note(record)
        self.last = record
        if self._asked is not None and isinstance(record, dict):
            moment = _moment(member(record, self._asked.field), self._asked.format)
            if moment is not None and (self.newest is None or moment > self.newest):
                self.newest = moment


def _moment(value: object, form: str) -> datetime | None:
    """A time as the service writes it; without an offset it is UTC.

    What can't be read is no watermark.
    """
    if not isinstance(value, str):
        return None
    try:
        if form != "iso":
            parts = 1000 if form == "epoch_milliseconds" else 1
            return datetime.fromtimestamp(int(value) / parts, UTC)
        if type(value) is not str:  # a number is text here, too
            return None
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _is_empty(answer: object, endpoint: Endpoint, *, page: int) -> bool:
    """Whether `null` stands for an empty list: as many services write it behind their last page.

    Of a first page they must say that there is nothing: errors come as `null`, too.
    """
    path = endpoint.records
    if (path and not has_member(answer, path)) or (member(answer, path) if path else answer):
        return False
    return page > 1 or 0 in [_count(member(answer, place)) for place in total_paths(endpoint)]


def _count(value: object) -> int | None:
    # Some services write numbers as text.
    return int(value) if isinstance(value, str) and _COUNT.fullmatch(value) else None


def _unreadable(what: str, endpoint: Endpoint, page: int) -> SourceAnswerError:
    return SourceAnswerError(
        f"Page {page} of {endpoint.where} is {what}.",
        hint="Ask the service's operator; nothing was applied, and the next run goes on here.",
    )


def _no_list(answer: object, endpoint: Endpoint, page: int) -> SourceDriftError:
    wanted = f"at '{endpoint.records}'" if endpoint.records else "(the answer itself)"
    found = (
        f"an object with {_names(answer)}"
        if isinstance(answer, Mapping)
        else f"of type {kind_of(answer)}"
    )
    places = list(_lists(answer, "", _SEARCHED_DEPTH))
    hint = "Look at what the service answers, and set records in the contract."
    if len(places) == 1:
        there = f"There is one at '{places[0]}'" if places[0] else "The answer itself is one"
        hint = f"{there} now: if that is right, set records = '{places[0]}' in the contract."
    change = f"page {page} has no list {wanted}; the answer is {found}"
    return SourceDriftError(
        f"Page {page} of {endpoint.where} has no list of records {wanted}: the answer is {found}.",
        hint=hint,
        changes=(change,),
    )


def _lists(value: object, path: str, depth: int) -> Iterator[str]:
    """Where lists are that are empty or begin with an object."""
    if isinstance(value, list):
        if not value or isinstance(value[0], Mapping):
            yield path
    elif isinstance(value, Mapping) and depth:
        for name, inner in value.items():
            yield from _lists(inner, f"{path}.{name}".lstrip("."), depth - 1)


def _names(answer: Mapping[str, object]) -> str:
    shown = [f"'{_shown(name)}'" for name in list(answer)[:_NAMES_SHOWN]]
    more = ", …" if len(answer) > _NAMES_SHOWN else ""
    return ", ".join(shown) + more if shown else "no members"


def _shown(name: str) -> str:
    text = "".join(char if char.isprintable() else "?" for char in name)
    return text if len(text) <= _NAME_SHOWN else f"{text[:_NAME_SHOWN]}…"
