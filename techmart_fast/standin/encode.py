"""Rows as the REST API writes them: DuckDB builds each row's JSON text (`{"f":[{"v":…},…]}`).

https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/getQueryResults: every scalar is a
JSON string, a repeated field an array of `{"v":…}`, a record `{"f":[…]}`, null is null.
"""

from collections.abc import Sequence

from techmart_fast.standin.bqtypes import BqType, Kind, quoted, text_literal


def row_text(columns: Sequence[tuple[str, BqType]], *, int64_timestamps: bool) -> str:
    """A DuckDB expression: the JSON text of a row with these columns."""
    cells = [_cell(quoted(name), kind, int64_timestamps, depth=0) for name, kind in columns]
    return _joined("f", cells)


def _cell(value: str, kind: BqType, int64_timestamps: bool, *, depth: int) -> str:
    """`{"v":…}` of one value."""
    inner = _value(value, kind, int64_timestamps, depth)
    # A null array is an empty one in results; any other null is null.
    absent = "[]" if kind.kind is Kind.ARRAY else "null"
    return f"""concat('{{"v":', coalesce({inner}, '{absent}'), '}}')"""


def _value(value: str, kind: BqType, int64_timestamps: bool, depth: int) -> str:
    if kind.kind is Kind.ARRAY:
        name = f"e{depth}"
        cell = _cell(name, kind.item, int64_timestamps, depth=depth + 1)
        return f"'[' || array_to_string(list_transform({value}, lambda {name}: {cell}), ',') || ']'"
    if kind.kind is Kind.STRUCT:
        cells = [
            _cell(f"struct_extract_at({value}, {place})", inner, int64_timestamps, depth=depth)
            for place, (_, inner) in enumerate(kind.fields, start=1)
        ]
        return f"CASE WHEN {value} IS NOT NULL THEN {_joined('f', cells)} END"
    return _scalar(value, kind.kind, int64_timestamps)


def _joined(key: str, cells: Sequence[str]) -> str:
    # One call for all: a chain of || takes DuckDB some milliseconds for each link to plan.
    commas = ", ',', ".join(cells)
    return f"""concat('{{"{key}":[', {commas}, ']}}')""" if cells else f"""'{{"{key}":[]}}'"""


def _scalar(value: str, kind: Kind, int64_timestamps: bool) -> str:
    match kind:
        case Kind.STRING | Kind.JSON:
            return f"CAST(to_json(CAST({value} AS VARCHAR)) AS VARCHAR)"
        case Kind.BYTES:
            text = f"to_base64({value})"
        case Kind.BOOL:
            text = f"CASE WHEN {value} THEN 'true' ELSE 'false' END"
            return f"CASE WHEN {value} IS NOT NULL THEN '\"' || {text} || '\"' END"
        case Kind.NUMERIC | Kind.BIGNUMERIC:
            # A result's DECIMAL has decimals, whatever its value.
            text = f"rtrim(rtrim(CAST({value} AS VARCHAR), '0'), '.')"
        case Kind.FLOAT64:
            text = f"bq_float_json({value})"
        case Kind.TIMESTAMP if int64_timestamps:
            text = f"CAST(epoch_us({value}) AS VARCHAR)"
        case Kind.TIMESTAMP:
            text = f"bq_seconds_text(epoch_us({value}))"
        case Kind.DATETIME:
            text = f"replace(CAST({value} AS VARCHAR), ' ', {text_literal('T')})"
        case _:
            text = f"CAST({value} AS VARCHAR)"
    return f"'\"' || {text} || '\"'"
