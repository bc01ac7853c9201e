"""The exact path: one JSON record at a time, with a reason for each one that is rejected."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from techmart_fast.decode.json_plan import JsonPlan
from techmart_fast.decode.json_text import number_text, parse_json
from techmart_fast.decode.rows import Rejections, Rows

_WHITE_SPACE = b" \t\r\n"
# An id is looked for in the first part of a damaged record only.
_KEY_SEARCH_BYTES = 64 << 10
_MOST_NAMES = 100
_LONGEST_NAME = 100


class JsonRecords:
    """Collects records and rejections. Numbers are kept as their exact text."""

    def __init__(self, plan: JsonPlan, rejections: Rejections) -> None:
        self._plan = plan
        self._known = frozenset(plan.names.values())
        self._rejections = rejections
        self._fields = tuple(plan.names.items())
        self._values: list[list[str | None]] = []
        self._places: list[tuple[int, int, int]] = []
        self.unknown_fields: dict[str, int] = {}

    def add(self, text: bytes, start: int, line: int) -> None:
        """Decode the record in `text`, which stands at `start`; blank text is no record."""
        raw = text.lstrip(_WHITE_SPACE)
        start += len(text) - len(raw)
        raw = raw.rstrip(_WHITE_SPACE)
        if not raw:
            return
        parsed = parse_json(raw)
        if isinstance(parsed, str):
            self._reject(parsed, raw, start, line, key=self._find_key(raw))
        elif not isinstance(parsed.value, dict):
            self._reject("not_an_object", raw, start, line)
        else:
            self._add_object(parsed.value, raw, start, line)

    def rows(self) -> Rows:
        """The records added so far that were not rejected."""
        places = np.array(self._places, dtype=np.int64).reshape(-1, 3)
        columns = zip(*self._values, strict=True) if self._values else ([] for _ in self._fields)
        return Rows(
            columns=[pa.array(column, pa.string()) for column in columns],
            starts=places[:, 0],
            lengths=places[:, 1],
            lines=places[:, 2],
        )

    def note_unknown(self, record: Mapping[str, object]) -> None:
        """Count the fields of a record that the feed does not have."""
        if record.keys() <= self._known:
            return
        for name in record.keys() - self._known:
            if name in self.unknown_fields or (
                len(self.unknown_fields) < _MOST_NAMES and len(name) <= _LONGEST_NAME
            ):
                self.unknown_fields[name] = self.unknown_fields.get(name, 0) + 1

    def _add_object(self, record: Mapping[str, object], raw: bytes, start: int, line: int) -> None:
        values: list[str | None] = []
        for field, name in self._fields:
            value = record.get(name)
            if value is None or isinstance(value, str):
                values.append(value)
            # A bool is an int to Python, and no number to JSON.
            elif field in self._plan.numbers and type(value) in (int, float):
                values.append(number_text(raw, name, self._plan.numbers[field]))
            else:
                self._reject("wrong_type", raw, start, line, key=self._key(record), name=field)
                return
        if b"\\u0000" in raw:
            for (field, _), text in zip(self._fields, values, strict=True):
                if text and "\0" in text:
                    key = self._key(record)
                    self._reject("nul_character", raw, start, line, key=key, name=field)
                    return
        self._values.append(values)
        self._places.append((start, len(raw), line))
        self.note_unknown(record)

    def _key(self, record: Mapping[str, object]) -> str | None:
        key = record.get(self._plan.key)
        return key if isinstance(key, str) and key and "\0" not in key else None

    def _reject(
        self,
        code: str,
        raw: bytes,
        start: int,
        line: int,
        *,
        key: str | None = None,
        name: str | None = None,
    ) -> None:
        self._rejections.add(code, start=start, line=line, raw=raw, key=key, name=name)

    def _find_key(self, raw: bytes) -> str | None:
        found = self._plan.key_pattern.search(raw, 0, _KEY_SEARCH_BYTES)
        if not found:
            return None
        try:
            return found[1].decode()
        except UnicodeDecodeError:
            return None
