"""Compares shapes: what is new, what vanished or got another name, what changed its type."""

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from techmart_fast.sources.api.shape import FEWEST_VALUES, Shape, Trait

_SIMILAR = 0.5


class ChangeKind(StrEnum):
    """How a shape changed."""

    NEW_FIELD = "new_field"
    MISSING_FIELD = "missing_field"
    RENAMED_FIELD = "renamed_field"
    TYPE_CHANGE = "type_change"
    ENVELOPE = "envelope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A difference between what is known and what came, first seen on `page`.

    `before` and `after` are types, or names; an empty text is nothing. `breaking`: by policy, the
    fetch stops at it.
    """

    kind: ChangeKind
    name: str
    before: str
    after: str
    page: int
    breaking: bool

    def __str__(self) -> str:
        match self.kind:
            case ChangeKind.NEW_FIELD:
                return f"page {self.page} has a new field '{self.name}' ({self.after})"
            case ChangeKind.MISSING_FIELD:
                return f"page {self.page} lacks the field '{self.name}' ({self.before})"
            case ChangeKind.RENAMED_FIELD:
                return (
                    f"page {self.page} lacks the field '{self.name}' ({self.before}) and has "
                    f"'{self.after}' instead: it may have been renamed"
                )
            case ChangeKind.TYPE_CHANGE:
                return (
                    f"the field '{self.name}' of page {self.page} is {self.after}, "
                    f"and was {self.before}"
                )
            case ChangeKind.ENVELOPE:
                return (
                    f"'{self.name}' of the answer with page {self.page} is "
                    f"{self.after or 'absent'}, and was {self.before or 'absent'}"
                )


def compare(
    known: Shape,
    came: Shape,
    *,
    page: int,
    required: Collection[str],
    fields: Collection[str] | None = None,
) -> Iterator[Change]:
    """The differences of a page's records. An empty page has none.

    Of all that are not `fields` (None: all are) a change breaks nothing: nobody reads them.

    A required field that not one record of the page has is missing, known before or not. A type
    has changed where no value has one of the known types any more; null is no type.
    """
    if not came.records:
        return
    telling = came.records >= FEWEST_VALUES
    new = {name: trait for name, trait in came.fields.items() if name not in known.fields}
    if not known.records:
        new = {}
    expected = {name for name, trait in known.fields.items() if trait.always} | set(required)
    for name in sorted(expected - came.fields.keys()):
        before = known.fields.get(name)
        successor = _successor(name, before, new) if before else None
        new.pop(successor or "", None)
        yield Change(
            kind=ChangeKind.RENAMED_FIELD if successor else ChangeKind.MISSING_FIELD,
            name=name,
            before=str(before) if before else "required",
            after=successor or "",
            page=page,
            breaking=telling and name in required,
        )
    for name in sorted(new):
        yield Change(
            kind=ChangeKind.NEW_FIELD,
            name=name,
            before="",
            after=str(new[name]),
            page=page,
            breaking=False,
        )
    for name in sorted(known.fields.keys() & came.fields.keys()):
        if _is_other(known.fields[name], came.fields[name]):
            is_read = fields is None or name in fields or name in required
            yield Change(
                kind=ChangeKind.TYPE_CHANGE,
                name=name,
                before=str(known.fields[name]),
                after=str(came.fields[name]),
                page=page,
                breaking=is_read and came.fields[name].values >= FEWEST_VALUES,
            )


def compare_envelopes(
    known: Shape, came: Shape, *, page: int, used: Collection[str]
) -> Iterator[Change]:
    """The differences of a first page's envelope.

    Only members that are `used` break something: others (messages, links) may come and go.
    """
    if not known.envelope:
        return
    for name in sorted(known.envelope.keys() | came.envelope.keys()):
        before, after = known.envelope.get(name), came.envelope.get(name)
        if before and after and not _is_other(before, after):
            continue
        yield Change(
            kind=ChangeKind.ENVELOPE,
            name=name,
            before=str(before) if before else "",
            after=str(after) if after else "",
            page=page,
            breaking=before is not None and name in used,
        )


def _is_other(known: Trait, came: Trait) -> bool:
    before, after = set(known.kinds) - {"null"}, set(came.kinds) - {"null"}
    return bool(before and after) and not before & after


def _successor(name: str, trait: Trait, new: dict[str, Trait]) -> str | None:
    """The new field that has the kinds of one that vanished: the only one, or the most alike."""
    fitting = [one for one, came in new.items() if set(came.kinds) & set(trait.kinds)]
    if len(fitting) == 1:
        return fitting[0]
    close = difflib.get_close_matches(name, fitting, n=1, cutoff=_SIMILAR)
    return close[0] if close else None
