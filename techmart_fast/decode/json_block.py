"""Decodes a block of JSON: natively where it is clean, record by record where it is not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from techmart_fast.contract import Contract
from techmart_fast.decode.elements import ElementGrammar, separators_end
from techmart_fast.decode.json_layout import Mask, Pieces, Places, element_pieces, line_pieces
from techmart_fast.decode.json_native import NativeJson
from techmart_fast.decode.json_plan import JsonPlan
from techmart_fast.decode.json_records import JsonRecords
from techmart_fast.decode.json_shape import Shape
from techmart_fast.decode.json_shaped import ShapedJson
from techmart_fast.decode.json_text import parse_json
from techmart_fast.decode.rows import Rejections, Rows, join
from techmart_fast.records import Block, DecodedBatch
from techmart_fast.sources.sniff import JSON_ARRAY

# Large enough that a call (0.1 ms) is cheap, small enough that one bad record costs little.
_SLICE_BYTES = 1 << 20
_SUB_SLICES = 8
_SAMPLED_RECORDS = 32
# Every so many of the sample are asked for their shape: four tell whether there is a common one.
_SHAPES_LOOKED_AT = 8
# Fewer are read sooner one by one than by a call of Arrow's reader (0.3 ms).
_WORTH_A_CALL = 16


def decode_json(block: Block, contract: Contract) -> DecodedBatch:
    """Decode a block of newline-delimited JSON or of the elements of an array."""
    return _decode(block, contract, exact_only=False)


def decode_json_exactly(block: Block, contract: Contract) -> DecodedBatch:
    """The same records without the fast path: what `decode_json` must agree with."""
    return _decode(block, contract, exact_only=True)


def _decode(block: Block, contract: Contract, *, exact_only: bool) -> DecodedBatch:
    feed, data = block.source.feed, block.data
    plan, rejections = JsonPlan.of(feed, contract), Rejections()
    records = JsonRecords(plan, rejections)
    at_start = block.first_byte == 0
    exact: ExactPieces
    if block.source.format == JSON_ARRAY:
        pieces = element_pieces(data, first_line=block.first_line, at_start=at_start)
        grammar = ElementGrammar.of(contract, feed, longest=block.max_record_bytes)
        exact = ExactElements(data, pieces, records, grammar)
    else:
        pieces = line_pieces(data, first_line=block.first_line, at_start=at_start)
        exact = ExactLines(data, pieces, records)
    parts: list[Rows] = []
    if exact_only:
        _resolve_all(exact, 0, len(pieces.starts))
    else:
        sampled = _sample(pieces, records)
        shape = Shape.common(sampled[::_SHAPES_LOOKED_AT], plan)
        shaped = ShapedJson(pieces, plan, shape) if shape else None
        native = NativeJson(pieces, plan, tuple(records.unknown_fields))
        parts.extend(_decode_slices(shaped, native, exact, pieces))
    joined = join(feed, [*parts, records.rows()], block.first_byte)
    return DecodedBatch(
        block=block,
        records=joined.records,
        rejections=rejections.batch(block.first_byte),
        unknown_fields=records.unknown_fields,
        odd_numbers=joined.odd_numbers,
    )


class ExactPieces(Protocol):
    """The exact path over the pieces of a block."""

    def resolve(self, piece: int) -> int:
        """Decode what begins at `piece`; returns the next piece at which a record begins."""


@dataclass(frozen=True, slots=True)
class ExactLines:
    """Every line is a record."""

    data: bytes
    pieces: Pieces
    records: JsonRecords

    def resolve(self, piece: int) -> int:
        """Decode one line."""
        start, end = int(self.pieces.starts[piece]), int(self.pieces.ends[piece])
        self.records.add(self.data[start:end], start, int(self.pieces.lines[piece]))
        return piece + 1


@dataclass(frozen=True, slots=True)
class ExactElements:
    """Elements as `elements` tells them apart; pieces are only a guess at them."""

    data: bytes
    pieces: Pieces
    records: JsonRecords
    grammar: ElementGrammar

    def resolve(self, piece: int) -> int:
        """Decode elements and damage from the start of a piece to that of another one."""
        starts, size = self.pieces.starts, len(self.data)
        place, line, counted = int(starts[piece]), int(self.pieces.lines[piece]), int(starts[piece])
        while True:
            line += self.data.count(b"\n", counted, place)
            counted = place
            place = self._decode_one(place, line)
            if place >= size:
                return len(starts)
            following = int(np.searchsorted(starts, place))
            if following < len(starts) and starts[following] == place:
                return following

    def _decode_one(self, start: int, line: int) -> int:
        data, grammar, size = self.data, self.grammar, len(self.data)
        end = grammar.element_end(data, start, size, open_end=True)
        if end:
            self.records.add(data[start:end], start, line)
            return separators_end(data, end, size)
        end = grammar.next_element(data, start, size, open_end=True) or size
        self.records.add(data[start:end].rstrip(b" \t\r\n,]"), start, line)
        return end


def _decode_slices(
    shaped: ShapedJson | None, native: NativeJson, exact: ExactPieces, pieces: Pieces
) -> Iterator[Rows]:
    """The rows of the fast paths, slice by slice; the rest goes through `exact`.

    A slice of another shape ends the looking for shapes. One that fails as a whole makes the next
    ones look before they parse, until one has nothing odd.
    """
    first, total, careful = 0, len(pieces.starts), False
    while first < total:
        target = pieces.starts[first] + _SLICE_BYTES
        last = max(first + 1, int(np.searchsorted(pieces.starts, target)))
        found = shaped.look(first, last) if shaped else None
        if found is not None:
            others = _read_apart(native, pieces, first, found.fits)
            keep = found.fits.copy()
            keep[others.places - first] = True
            following = _resolve_odd(exact, first, keep)
            (places,) = np.nonzero(found.fits)
            yield _kept(found.columns, places + first, keep, pieces, first)
            yield _kept(others.columns, others.places, keep, pieces, first)
            first = max(last, following)
            continue
        shaped = None
        rows = None if careful else native.parse(first, last)
        if rows is not None:
            yield rows
            first = last
            continue
        keep = native.clean(first, last)
        careful = not keep.all()
        following = _resolve_odd(exact, first, keep)
        yield from _parse_kept(native, exact, first, last, keep)
        first = max(last, following)


def _resolve_odd(exact: ExactPieces, first: int, keep: Mask) -> int:
    """Decode pieces from `first` on that are not kept, and what these reach over: not kept, either.

    Returns the first piece behind all of that.
    """
    following = first
    for odd in (np.flatnonzero(~keep) + first).tolist():
        if odd >= following:
            following = exact.resolve(odd)
            keep[odd - first : following - first] = False
    return following


@dataclass(frozen=True, slots=True)
class _Apart:
    """Columns of some pieces, a row for each."""

    columns: Sequence[pa.Array]
    places: Places


def _read_apart(native: NativeJson, pieces: Pieces, first: int, fits: Mask) -> _Apart:
    """Those of the pieces from `first` on that do not fit, as far as Arrow's reader takes them.

    Most are good: they have an escape, or a field more or less.
    """
    (odd,) = np.nonzero(~fits)
    odd = odd[pieces.sound[odd + first]] + first
    if len(odd) < _WORTH_A_CALL:
        return _Apart((), odd[:0])
    alone = native.over(pieces.apart(odd))
    keep = np.ones(len(odd), dtype=np.bool_)
    rows = alone.parse(0, len(odd))
    if rows is None:
        keep = alone.clean(0, len(odd))
        rows = alone.parse_kept(0, len(odd), keep)
    return _Apart((), odd[:0]) if rows is None else _Apart(rows.columns, odd[keep])


def _kept(
    columns: Sequence[pa.Array], places: Places, keep: Mask, pieces: Pieces, first: int
) -> Rows:
    """Rows of the pieces at `places`, of which those from `first` on are kept that `keep` says."""
    chosen = keep[places - first]
    if not chosen.all():
        columns = [column.filter(pa.array(chosen)) for column in columns]
        places = places[chosen]
    starts = pieces.starts[places]
    return Rows(
        columns=columns,
        starts=starts,
        lengths=pieces.ends[places] - starts,
        lines=pieces.lines[places],
    )


def _parse_kept(
    native: NativeJson,
    exact: ExactPieces,
    first: int,
    last: int,
    keep: Mask,
) -> Iterator[Rows]:
    """Parse clean pieces; where that fails nevertheless, in smaller runs, then one by one."""
    rows = native.parse_kept(first, last, keep)
    if rows is not None:
        yield rows
        return
    size = -(-(last - first) // _SUB_SLICES)
    for begin in range(first, last, size):
        end = min(begin + size, last)
        kept = keep[begin - first : end - first]
        rows = native.parse_kept(begin, end, kept)
        if rows is not None:
            yield rows
        else:
            for piece in (np.flatnonzero(kept) + begin).tolist():
                exact.resolve(piece)


def _resolve_all(exact: ExactPieces, first: int, last: int) -> None:
    while first < last:
        first = exact.resolve(first)


def _sample(pieces: Pieces, records: JsonRecords) -> list[bytes]:
    """Some records, spread evenly, whose fields that the feed does not have are noted."""
    total = len(pieces.starts)
    places = np.unique(np.linspace(0, total - 1, min(total, _SAMPLED_RECORDS), dtype=int))
    sampled = [pieces.data[pieces.starts[piece] : pieces.ends[piece]] for piece in places]
    for one in sampled:
        parsed = parse_json(one)
        if not isinstance(parsed, str) and isinstance(parsed.value, dict):
            records.note_unknown(parsed.value)
    return sampled
