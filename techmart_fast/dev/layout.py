"""How one record, and a file of records, is written: JSON or CSV text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from techmart_fast.dev.spec import FileFormat


class Bare(str):
    """A value written as it stands (a number, `true`, a list), not as quoted JSON text."""

    __slots__ = ()


Values = Mapping[str, str]
"""Values of a record by field; absent fields are not written. Numbers are `Bare`."""

NULL = Bare("null")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A file format: what stands before, between and after the records.

    Text may hold lone surrogates U+DC80 to U+DCFF, which stand for the bytes 0x80 to 0xFF.
    """

    format: FileFormat
    fields: tuple[str, ...]
    opening: str
    between: str
    closing: str

    @property
    def is_csv(self) -> bool:
        """Whether records are CSV rows rather than JSON objects."""
        return self.format is FileFormat.CSV

    def record(self, values: Values) -> str:
        """The text of one record."""
        if self.is_csv:
            return ",".join(_csv_cell(values.get(name, "")) for name in self.fields)
        members = (f"{_json_text(name)}: {_json_value(text)}" for name, text in values.items())
        return f"{{{', '.join(members)}}}"

    def joined(self, records: Sequence[str]) -> str:
        """The text of several records, without what stands before the first and after the last."""
        return self.between.join(records)


def layout(file_format: FileFormat, fields: tuple[str, ...]) -> Layout:
    """The layout of a format; one record a line in all of them."""
    opening, between, closing = {
        FileFormat.NDJSON: ("", "\n", "\n"),
        FileFormat.JSON: ("[\n", ",\n", "\n]\n"),
        FileFormat.CSV: (f"{','.join(fields)}\n", "\n", "\n"),
    }[file_format]
    return Layout(
        format=file_format, fields=fields, opening=opening, between=between, closing=closing
    )


def _json_value(text: str) -> str:
    return text if isinstance(text, Bare) else _json_text(text)


_json_text = json.JSONEncoder(ensure_ascii=False).encode


def _csv_cell(text: str) -> str:
    if text is NULL:
        return ""
    if any(mark in text for mark in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
