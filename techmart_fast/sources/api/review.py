"""Judges the pages in their order, whatever the order in which they came."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from techmart_fast.contract.endpoint import Cursors, Endpoint, NextAddresses
from techmart_fast.errors import SourceAnswerError, SourceDriftError
from techmart_fast.sources.api.drift import Change, ChangeKind, compare, compare_envelopes
from techmart_fast.sources.api.entry import Entry
from techmart_fast.sources.api.events import Drifted, Observer
from techmart_fast.sources.api.page import total_paths
from techmart_fast.sources.api.shape import Shape

_SHOWN_CHANGES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What the pages hold together.

    `first_total` and `last_total` are what the first and the last page announced, if they did.
    `shifted`: they did not all announce the same, so records came or went meanwhile; some may be
    missing, or there twice.
    """

    pages: int = 0
    records: int = 0
    first_total: int | None = None
    last_total: int | None = None
    newest: datetime | None = None
    shifted: bool = False

    @property
    def missing(self) -> int:
        """Records that were announced and did not come."""
        return max(0, (self.last_total or 0) - self.records)


class Review:
    """Takes pages in any order. It is in order that they are judged: the verdict is the same.

    The shape to compare with is the one known before; without it, the one of page 1. Pages behind
    the end (`is_wanted`) are not judged.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        known: Shape,
        required: Collection[str],
        fields: Collection[str] | None,
        observer: Observer,
        is_wanted: Callable[[int], bool],
    ) -> None:
        self._endpoint = endpoint
        self._known = known
        self._required = frozenset(required)
        self._fields = fields
        if endpoint.incremental is not None:
            # Without it the watermark would stand still, and nobody would see why.
            self._required |= {endpoint.incremental.field}
        self._observer = observer
        self._is_wanted = is_wanted
        # Not what leads to the next page: it may be absent where there is none.
        self._used = {*total_paths(endpoint), *_prefixes(endpoint.records)}
        self._early: dict[int, Entry] = {}
        self._pages_by_digest: dict[str, int] = {}
        self._changes: dict[tuple[ChangeKind, str], Change] = {}
        self._most_announced: int | None = None
        self._shape = Shape()
        self.totals = Totals()
        self.first: Entry | None = None
        self._last: Entry | None = None
        self._ended_full = False

    @property
    def changes(self) -> tuple[Change, ...]:
        """What has changed, each with the first page that shows it."""
        return tuple(self._changes.values())

    @property
    def ends_doubtfully(self) -> bool:
        """Whether the end may be a misunderstanding: behind a full page, without any total.

        The service denied the page after it, or said nothing at all where the next one should be.
        """
        last = self._last
        if last is None or not self._ended_full or self.totals.last_total is not None:
            return False
        told = last.ends or not isinstance(self._endpoint.pagination, Cursors | NextAddresses)
        return last.absent or (last.records >= self._endpoint.page_size and not told)

    def take(self, entry: Entry) -> None:
        """Judge a page, and those that waited for it.

        Raises:
            SourceDriftError: the shape has changed, and the policy is to stop.
            SourceAnswerError: the pages repeat, or are more than announced.
        """
        self._early[entry.page] = entry
        while (following := self.totals.pages + 1) in self._early and self._is_wanted(following):
            self._judge(self._early.pop(following))

    def next_shape(self) -> Shape:
        """The shape to remember.

        By the policy `quarantine`, what is broken is remembered as it was, to be told again.
        """
        joined = self._known.joined(self._shape)
        fields, envelope = dict(joined.fields), self._shape.envelope or self._known.envelope
        if self._endpoint.drift == "quarantine":
            for change in self._changes.values():
                if change.breaking and change.kind is ChangeKind.ENVELOPE:
                    envelope = self._known.envelope
                elif change.breaking and change.name in self._known.fields:
                    fields[change.name] = self._known.fields[change.name]
                    if change.kind is ChangeKind.RENAMED_FIELD:
                        fields.pop(change.after, None)
        return Shape(records=joined.records, fields=fields, envelope=envelope)

    def _judge(self, entry: Entry) -> None:
        totals = self.totals
        total = entry.total_records
        self.totals = replace(
            totals,
            pages=entry.page,
            records=totals.records + entry.records,
            first_total=total if self.first is None else totals.first_total,
            last_total=total if total is not None else totals.last_total,
            newest=_newest(totals.newest, entry.newest),
            shifted=totals.shifted
            or (self.first is not None and total is not None and total != totals.first_total),
        )
        if self.first is None:
            self.first = entry
        if entry.records:
            # The first page tells how many records a page has when it is full.
            self._ended_full = entry.records >= self.first.records
        self._last = entry
        self._check_repeats(entry)
        self._check_total(entry)
        self._check_shape(entry)

    def _check_repeats(self, entry: Entry) -> None:
        if not entry.records:
            return
        before = self._pages_by_digest.setdefault(entry.sha256, entry.page)
        if before != entry.page:
            raise SourceAnswerError(
                f"Page {entry.page} of {self._endpoint.where} has the same records as page "
                f"{before}, byte for byte.",
                hint="The service may not know the parameters of pagination in the contract.",
            )

    def _check_total(self, entry: Entry) -> None:
        if entry.total_records is not None:
            self._most_announced = max(entry.total_records, self._most_announced or 0)
        most = self._most_announced
        if most is not None and self.totals.records > most:
            raise SourceAnswerError(
                f"{self._endpoint.where} announced {most:,} records, and has more after page "
                f"{entry.page}.",
                hint="If what it announces is something else, set "
                "pagination.total_records = '' in the contract.",
            )

    def _check_shape(self, entry: Entry) -> None:
        breaking = [change for change in self._note_changes(entry) if change.breaking]
        if breaking and self._endpoint.drift == "stop":
            told = [str(change) for change in breaking]
            more = f"; and {len(told) - _SHOWN_CHANGES} more" if len(told) > _SHOWN_CHANGES else ""
            raise SourceDriftError(
                f"{self._endpoint.where} has changed its shape: "
                f"{'; '.join(told[:_SHOWN_CHANGES])}{more}.",
                hint="Nothing was applied. Adapt the contract, or set drift to 'quarantine' or "
                "'report' there.",
                changes=tuple(told),
            )
        self._shape = self._shape.joined(entry.shape)
        if not self._known.records and entry.records:
            self._known = Shape(
                records=entry.shape.records,
                fields=entry.shape.fields,
                envelope=self._known.envelope or self._shape.envelope,
            )

    def _note_changes(self, entry: Entry) -> list[Change]:
        """The changes that were not seen before, or not as breaking."""
        found = list(
            compare(
                self._known,
                entry.shape,
                page=entry.page,
                required=self._required,
                fields=self._fields,
            )
        )
        if entry.page == 1:
            found.extend(compare_envelopes(self._known, entry.shape, page=1, used=self._used))
        noted = []
        for change in found:
            before = self._changes.get((change.kind, change.name))
            if before is None or (change.breaking and not before.breaking):
                self._changes[change.kind, change.name] = change
                self._observer.saw(Drifted(change=change))
                noted.append(change)
        return noted


def _prefixes(path: str) -> Iterator[str]:
    """`a`, `a.b` and `a.b.c` of `a.b.c`."""
    names = path.split(".")
    for count in range(1, len(names) + 1):
        yield ".".join(names[:count])


def _newest(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return max(one, other)
