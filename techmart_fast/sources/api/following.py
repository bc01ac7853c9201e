"""What an answer's body tells of the next page. What can't be understood never ends a list."""

from collections.abc import Mapping
from dataclasses import dataclass

from techmart_fast.contract.endpoint import Cursors, Endpoint, NextAddresses
from techmart_fast.errors import SourceAnswerError
from techmart_fast.sources.api.raw_json import has_member, member
from techmart_fast.sources.api.shape import kind_of

_MOST_CHARACTERS = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """The cursor or address of the next page; without one, whether the answer says that it ends.

    An answer that says nothing at all ends the list, too, but may be misunderstood.
    """

    told: str | None = None
    ends: bool = False


def following_of(endpoint: Endpoint, around: object, last: object, *, place: str) -> Following:
    """What stands around the records (`last` is the last of them) about the page after it.

    Raises:
        SourceAnswerError: it is of another type than a cursor or an address can have.
    """
    pages = endpoint.pagination
    if isinstance(pages, NextAddresses):
        return _pointer(around, pages.next, place)
    if not isinstance(pages, Cursors):
        return Following()
    if pages.more:
        more = member(around, pages.more)
        if not isinstance(more, bool):
            raise _strange(place, pages.more, more, "true or false")
        if not more:
            return Following(ends=True)
    found = (
        _pointer(last, pages.last_record, place, of="the last record")
        if pages.last_record
        else _pointer(around, pages.next, place)
    )
    if pages.more and found.told is None:
        raise SourceAnswerError(
            f"{place} says that there are more pages, and tells no cursor.", hint=_HINT
        )
    return found


def _pointer(value: object, path: str, place: str, *, of: str = "") -> Following:
    # A field of a record may have a dot in its name.
    if of:
        told = value.get(path) if isinstance(value, Mapping) else None
        known = told is not None
    else:
        told, known = member(value, path), has_member(value, path)
    if told is None or told is False or told == "":
        return Following(ends=known)
    # Numbers are text here, too: some cursors are numbers.
    if not isinstance(told, str):
        raise _strange(place, path, told, "text")
    if len(told) > _MOST_CHARACTERS or not _is_plain(told):
        raise SourceAnswerError(f"{place} tells a next page that can't be asked for.", hint=_HINT)
    return Following(told=str(told))


def _is_plain(text: str) -> bool:
    """Whether a text can be written as UTF-8: JSON allows halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _strange(place: str, path: str, value: object, wanted: str) -> SourceAnswerError:
    found = "absent" if value is None else f"of type {kind_of(value)}"
    return SourceAnswerError(
        f"{place}: what is at '{path}' should be {wanted}, and is {found}.", hint=_HINT
    )


_HINT = "Look at what the service answers, and adapt pagination in the contract."
