"""The shape of records: which fields they have, with values of which JSON types."""

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from techmart_fast.sources.api.raw_json import NumberText, member

Kind = Literal["null", "boolean", "number", "string", "array", "object"]

_KINDS: Mapping[type, Kind] = {
    type(None): "null",
    bool: "boolean",
    NumberText: "number",
    str: "string",
    list: "array",
    dict: "object",
}

FEWEST_VALUES = 3
"""Fewer prove nothing: one damaged record is not a change of the service."""

_MOST_FIELDS = 1_000
_MOST_SIGNATURES = 1_000
_MOST_NAME_CHARACTERS = 200


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trait(_Value):
    """What is known of a field: the kinds of its values, sorted, and whether it is never absent.

    `values` counts those of a page that are not null, up to `FEWEST_VALUES`.
    """

    kinds: tuple[Kind, ...]
    always: bool = True
    values: int = 0

    def joined(self, other: "Trait") -> "Trait":
        """What is known after both."""
        kinds = tuple(sorted({*self.kinds, *other.kinds}))
        return Trait(kinds=kinds, always=self.always and other.always)

    def __str__(self) -> str:
        return " or ".join(self.kinds)


class Shape(_Value):
    """The fields of `records` records. The envelope is that of a first page."""

    records: int = 0
    fields: dict[str, Trait] = {}
    envelope: dict[str, Trait] = {}

    def joined(self, later: "Shape") -> "Shape":
        """The shape of both; a field that one of them lacks is not always there."""
        if not self.records or not later.records:
            kept = later if later.records else self
            return kept.model_copy(update={"envelope": self.envelope or later.envelope})
        fields = dict(self.fields)
        for name, trait in later.fields.items():
            known = fields.get(name)
            if known is None and len(fields) >= _MOST_FIELDS:
                continue
            fields[name] = known.joined(trait) if known else _sometimes(trait)
        for name in fields.keys() - later.fields.keys():
            fields[name] = _sometimes(fields[name])
        return Shape(
            records=self.records + later.records,
            fields=fields,
            envelope=self.envelope or later.envelope,
        )


class ShapeNotes:
    """Counts the fields of records, one by one. What is no object has no fields.

    Objects may be used as maps, with ever new names: only the first `_MOST_FIELDS` are looked at.
    """

    def __init__(self) -> None:
        self._records = 0
        self._kinds: dict[str, set[Kind]] = {}
        self._counts: dict[str, int] = {}
        self._values: dict[str, int] = {}
        # Most records of a page have the same fields of the same types: look at those once.
        self._signatures: dict[tuple[tuple[str, ...], tuple[type, ...]], int] = {}

    def note(self, record: object) -> None:
        """Take note of a record."""
        self._records += 1
        if isinstance(record, dict):
            signature = tuple(record), tuple(map(type, record.values()))
            self._signatures[signature] = self._signatures.get(signature, 0) + 1
            if len(self._signatures) > _MOST_SIGNATURES:
                self._fold()

    def shape(self, envelope: Mapping[str, Trait]) -> Shape:
        """The shape of what was noted."""
        self._fold()
        fields = {
            name: Trait(
                kinds=tuple(sorted(kinds)),
                always=self._counts[name] == self._records,
                values=min(self._values[name], FEWEST_VALUES),
            )
            for name, kinds in self._kinds.items()
        }
        return Shape(records=self._records, fields=fields, envelope=dict(envelope))

    def _fold(self) -> None:
        for (names, types), count in self._signatures.items():
            for name, kind in zip(names, types, strict=True):
                if name not in self._kinds:
                    if len(self._kinds) == _MOST_FIELDS or not _is_name(name):
                        continue
                    self._kinds[name] = set()
                self._kinds[name].add(_KINDS[kind])
                self._counts[name] = self._counts.get(name, 0) + count
                values = 0 if kind is type(None) else count
                self._values[name] = self._values.get(name, 0) + values
        self._signatures.clear()


def envelope_of(answer: object, path: Iterable[str], used: Iterable[str] = ()) -> dict[str, Trait]:
    """The members of an answer, and of the objects on the way to its list, by dotted path.

    Deeper members may come and go (facets, links, messages): of them, only the `used` ones count.
    """
    found: dict[str, Trait] = {}
    above = ""
    level = answer
    for name in path:
        if not isinstance(level, Mapping):
            break
        for word, value in level.items():
            if len(found) == _MOST_FIELDS or not _is_name(word):
                continue
            found[f"{above}{word}"] = Trait(kinds=(kind_of(value),))
        above += f"{name}."
        level = level.get(name)
    for name in used:
        value = member(answer, name)
        if value is not None:
            found[name] = Trait(kinds=(kind_of(value),))
    return found


def _is_name(text: str) -> bool:
    """Whether a name can be remembered and told: not too long, without control characters."""
    return len(text) <= _MOST_NAME_CHARACTERS and text.isprintable()


def kind_of(value: object) -> Kind:
    """The JSON type of a value."""
    return _KINDS[type(value)]


def _sometimes(trait: Trait) -> Trait:
    return trait if not trait.always else Trait(kinds=trait.kinds, always=False)
