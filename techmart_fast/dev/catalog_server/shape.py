"""How a page is written: its records, what stands around them, and how both drift."""

import json
from collections.abc import Mapping, Sequence

from techmart_fast.dev.catalog_server.options import Drift, DriftKind
from techmart_fast.dev.layout import Bare, layout
from techmart_fast.dev.spec import FileFormat
from techmart_fast.records import FIELDS, Feed

RECORDS = "data"
"""The member of a page's object that holds its records."""

_LAYOUT = layout(FileFormat.JSON, FIELDS[Feed.PRODUCTS])
_NEW_FIELD: Mapping[str, str] = {"discount_percent": Bare("12.5")}


def page_text(
    records: Sequence[Mapping[str, str]],
    around: Mapping[str, object] | None,
    *,
    number: int,
    drift: Drift | None,
) -> str:
    """The JSON text of page `number`: an object with the members `around`, or a bare array.

    Numbers of records stand as they are written, never through binary floating point.
    """
    drifting = drift if drift is not None and number >= drift.from_page else None
    rows = ",\n".join(_LAYOUT.record(_drifted(record, drifting)) for record in records)
    array = f"[\n{rows}\n]" if rows else "[]"
    moved = drifting is not None and drifting.kind is DriftKind.ENVELOPE
    if around is None:
        return f'{{"items": {array}}}\n' if moved else f"{array}\n"
    members = json.dumps(around, ensure_ascii=False)
    if moved:
        return f'{{"result": {{"items": {array}}}, "meta": {members}}}\n'
    rest = f", {members[1:-1]}" if around else ""
    return f'{{"{RECORDS}": {array}{rest}}}\n'


def _drifted(record: Mapping[str, str], drift: Drift | None) -> Mapping[str, str]:
    if drift is None or drift.kind is DriftKind.ENVELOPE:
        return record
    if drift.kind is DriftKind.NEW_FIELD:
        return {**record, **_NEW_FIELD}
    changed: dict[str, str] = {}
    for name, value in record.items():
        if name != drift.field:
            changed[name] = value
        elif drift.kind is DriftKind.RENAMED_FIELD:
            changed[f"{name}_v2"] = value
        elif drift.kind is DriftKind.TYPE_CHANGE:
            # An object: a number as text, or the reverse, would still be read by many loaders.
            changed[name] = Bare(_LAYOUT.record({"value": value}))
    return changed
