"""Rows as the REST API writes them: DuckDB builds each row's JSON text (`{"f":[{"v":…},…]}`).

https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/getQueryResults: every scalar is a
JSON string, a repeated field an array of `{"v":…}`, a record `{"f":[…]}`, null is null.
"""

from collections.abc import Sequence

from techmart_fast.standin.bqtypes import BqType, Kind, quoted


def row_text(columns: Sequence[tuple[str, BqType]], *, int64_timestamps: bool) -> str:
    """A DuckDB expression: the JSON text of a row with these columns."""
    values = [(quoted(name), kind) for name, kind in columns]
    return f"CAST({_record(values, int64_timestamps, depth=0)} AS VARCHAR)"


def _record(values: Sequence[tuple[str, BqType]], int64_timestamps: bool, *, depth: int) -> str:
    """`{"f":[{"v":…},…]}` of some values, as JSON."""
    written = [_value(value, kind, int64_timestamps, depth) for value, kind in values]
    if any(is_json for _, is_json in written):
        # The elements of a list are of one type. Texts alone are quicker as they are.
        written = [(one if is_json else f"to_json({one})", True) for one, is_json in written]
    # Structs and lists: DuckDB plans them in half the time of a text that is put together.
    cells = ", ".join(f"{{'v': {one}}}" for one, _ in written)
    return f"to_json({{'f': [{cells}]}})"


def _value(value: str, kind: BqType, int64_timestamps: bool, depth: int) -> tuple[str, bool]:
    """What stands for a value, and whether that is JSON already rather than a text."""
    if kind.kind is Kind.ARRAY:
        name = f"e{depth}"
        inner, _ = _value(name, kind.item, int64_timestamps, depth + 1)
        cells = f"to_json(list_transform({value}, lambda {name}: {{'v': {inner}}}))"
        # A null array is an empty one in results; any other null is null.
        return f"coalesce({cells}, '[]')", True
    if kind.kind is Kind.STRUCT:
        fields = [
            (f"struct_extract_at({value}, {place})", inner)
            for place, (_, inner) in enumerate(kind.fields, start=1)
        ]
        record = _record(fields, int64_timestamps, depth=depth)
        return f"CASE WHEN {value} IS NOT NULL THEN {record} END", True
    return _scalar(value, kind.kind, int64_timestamps), False


def _scalar(value: str, kind: Kind, int64_timestamps: bool) -> str:
    text = f"CAST({value} AS VARCHAR)"
    match kind:
        case Kind.BYTES:
            text = f"to_base64({value})"
        case Kind.NUMERIC | Kind.BIGNUMERIC:
            # A result's DECIMAL has decimals, whatever its value.
            text = f"rtrim(rtrim({text}, '0'), '.')"
        case Kind.FLOAT64:
            text = f"bq_float_json({value})"
        case Kind.TIMESTAMP if int64_timestamps:
            text = f"CAST(epoch_us({value}) AS VARCHAR)"
        case Kind.TIMESTAMP:
            text = f"bq_seconds_text(epoch_us({value}))"
        case Kind.DATETIME:
            text = f"replace({text}, ' ', 'T')"
    return text
