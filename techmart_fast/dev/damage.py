"""How records go wrong: refused values, gaps, broken text; and what merely looks untidy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from techmart_fast.dev.layout import NULL, Bare, Layout, Values
from techmart_fast.records import KEY_FIELD, Feed

NESTING = 2_000
"""Depth of a record that is nested too deeply; parsers give up at about 1,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRecord:
    """A record that must be rejected for `code`; `dated` if its timestamp can still be read."""

    text: str
    code: str
    dated: bool = False


@dataclass(frozen=True, slots=True)
class _Fault:
    code: str
    field: str
    values: tuple[str, ...]


_LONG_ID = "x" * 65

_VALUE_FAULTS: Mapping[Feed, tuple[_Fault, ...]] = {
    Feed.TRANSACTIONS: (
        _Fault(
            "amount_out_of_range",
            "amount",
            (Bare("0.00"), Bare("-12.50"), Bare("100000.01"), Bare("123456789012345678901234567")),
        ),
        _Fault("unknown_currency", "currency", ("XYZ", "JPY", "US$")),
        _Fault("timestamp_without_offset", "timestamp", ("2024-05-04T12:34:56",)),
        _Fault("amount_precision", "amount", (Bare("12.345"), "1.001", Bare("10.0049"))),
        _Fault("unknown_status", "status", ("shipped", "ok", "completed!")),
        _Fault("invalid_timestamp", "timestamp", ("2024-02-30T10:00:00Z", "04/05/2024", "soon")),
        _Fault("unknown_payment_method", "payment_method", ("cheque", "bitcoin", "credit card")),
        _Fault("not_a_number", "amount", ("12,50", "NaN", "1_000.00", "$12.50", "Infinity")),
        _Fault(
            "timestamp_out_of_range", "timestamp", ("1999-12-31T23:59:59Z", "2999-01-01T00:00:00Z")
        ),
        _Fault("id_too_long", "transaction_id", (f"txn_{_LONG_ID}",)),
    ),
    Feed.USERS: (
        _Fault("invalid_email", "email", ("no-at-sign", "two@@example.com", "nobody@localhost")),
        _Fault("unknown_country", "country", ("UK", "XX", "USA")),
        _Fault("invalid_date", "registration_date", ("2023-02-30", "31/12/2023", "last week")),
        _Fault("unknown_customer_tier", "customer_tier", ("gold",)),
        _Fault("unknown_age_group", "age_group", ("200+", "17")),
        _Fault("id_too_long", "user_id", (f"usr_{_LONG_ID}",)),
        _Fault("value_too_long", "email", (f"{'long.' * 400}name@example.com",)),
    ),
    Feed.PRODUCTS: (
        _Fault("price_not_positive", "price", (Bare("0"), Bare("-1.00"), "0.00")),
        _Fault("invalid_inventory", "inventory_count", (Bare("-5"), Bare("2.5"))),
        _Fault("not_a_number", "price", ("call us", "19,90")),
        _Fault("unknown_currency", "currency", ("XYZ",)),
        _Fault("value_too_long", "name", ("Very " * 400 + "Long Name",)),
        _Fault("id_too_long", "product_id", (f"prd_{_LONG_ID}",)),
    ),
}

_REQUIRED: Mapping[Feed, tuple[str, ...]] = {
    Feed.TRANSACTIONS: (
        *("user_id", "amount", "timestamp", "status"),
        *("transaction_id", "product_id", "currency", "payment_method"),
    ),
    Feed.USERS: ("email", "country", "registration_date", "user_id"),
    Feed.PRODUCTS: ("name", "price", "product_id"),
}

_TEXT_FIELD: Mapping[Feed, str] = {
    Feed.TRANSACTIONS: "product_id",
    Feed.USERS: "email",
    Feed.PRODUCTS: "name",
}
_NUMBER_FIELD = {Feed.TRANSACTIONS: "amount", Feed.PRODUCTS: "price"}


def refused_value(feed: Feed, values: Values, layout: Layout, serial: int) -> BadRecord:
    """A record with one value that the default contract refuses; the reasons come in turn."""
    faults = _VALUE_FAULTS[feed]
    fault = faults[serial % len(faults)]
    spelling = fault.values[serial // len(faults) % len(fault.values)]
    text = layout.record({**values, fault.field: spelling})
    return BadRecord(text=text, code=fault.code, dated="timestamp" not in fault.code)


def missing_value(feed: Feed, values: Values, layout: Layout, serial: int) -> BadRecord:
    """A record without a required value: empty, absent, null or blank, in turn."""
    field = _REQUIRED[feed][serial % len(_REQUIRED[feed])]
    gap = ("", None, NULL, "  ")[serial % 4]
    changed = {name: text for name, text in values.items() if name != field}
    if gap is not None:
        changed = {name: gap if name == field else text for name, text in values.items()}
    text = layout.record(changed)
    return BadRecord(text=text, code="missing_field", dated=field != "timestamp")


def broken(feed: Feed, values: Values, layout: Layout, serial: int) -> BadRecord:
    """A record whose text or types are broken; the ways come in turn."""
    ways = _CSV_WAYS if layout.is_csv else _JSON_WAYS
    code, way = ways[serial % len(ways)]
    return BadRecord(text=way(feed, dict(values), layout), code=code)


_Way = Callable[[Feed, dict[str, str], Layout], str]


def _cut(_: Feed, values: dict[str, str], layout: Layout) -> str:
    text = layout.record(values)
    return text[: len(text) // 2]


def _garbage(_: Feed, __: dict[str, str], ___: Layout) -> str:
    return "<html>502 Bad Gateway</html>"


def _text_as_number(feed: Feed, values: dict[str, str], layout: Layout) -> str:
    return layout.record({**values, _TEXT_FIELD[feed]: Bare("12345")})


def _number_as_truth(feed: Feed, values: dict[str, str], layout: Layout) -> str:
    return layout.record({**values, _NUMBER_FIELD[feed]: Bare("true")})


def _id_as_list(feed: Feed, values: dict[str, str], layout: Layout) -> str:
    return layout.record({**values, KEY_FIELD[feed]: Bare('["a", "b"]')})


def _nul(feed: Feed, values: dict[str, str], layout: Layout) -> str:
    field = _TEXT_FIELD[feed]
    return layout.record({**values, field: f"{values[field]}\0"})


def _surrogate(feed: Feed, values: dict[str, str], layout: Layout) -> str:
    return layout.record({**values, _TEXT_FIELD[feed]: Bare('"half of a pair: \\ud83d"')})


def _surrogate_bytes(feed: Feed, values: dict[str, str], layout: Layout) -> str:
    field = _TEXT_FIELD[feed]
    return layout.record({**values, field: f"{values[field]}\udced\udca0\udcbd"})


def _latin_1(feed: Feed, values: dict[str, str], layout: Layout) -> str:
    field = _TEXT_FIELD[feed]
    return layout.record({**values, field: f"{values[field]}\udce9"})


def _too_deep(_: Feed, values: dict[str, str], layout: Layout) -> str:
    return layout.record({**values, "note": Bare("[" * NESTING + "]" * NESTING)})


def _not_an_object(_: Feed, values: dict[str, str], __: Layout) -> str:
    return f'["{next(iter(values.values()))}", 12.5, null]'


def _nan(feed: Feed, values: dict[str, str], layout: Layout) -> str:
    return layout.record({**values, _NUMBER_FIELD[feed]: Bare("NaN")})


def _one_column_more(_: Feed, values: dict[str, str], layout: Layout) -> str:
    return f"{layout.record(values)},surplus"


def _misplaced_quote(_: Feed, values: dict[str, str], layout: Layout) -> str:
    # The quote opens in the second cell and closes in the third: one column is swallowed.
    first, second, third, *rest = layout.record(values).split(",")
    return ",".join([first, f'"{second}', f'{third}"', *rest])


_JSON_WAYS: tuple[tuple[str, _Way], ...] = (
    ("invalid_json", _cut),
    ("wrong_type", _text_as_number),
    ("invalid_utf8", _latin_1),
    ("nul_character", _nul),
    ("not_an_object", _not_an_object),
    ("invalid_json", _garbage),
    ("too_deep", _too_deep),
    ("invalid_json", _surrogate),
    ("wrong_type", _number_as_truth),
    ("invalid_json", _nan),
    ("wrong_type", _id_as_list),
)

_CSV_WAYS: tuple[tuple[str, _Way], ...] = (
    ("invalid_csv", _cut),
    ("invalid_utf8", _latin_1),
    ("invalid_csv", _misplaced_quote),
    ("nul_character", _nul),
    ("invalid_csv", _one_column_more),
    ("invalid_csv", _garbage),
    ("invalid_utf8", _surrogate_bytes),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Untidy:
    """A record that loads after `repaired` values were trimmed or put into their usual case."""

    text: str
    repaired: int


def untidy(feed: Feed, values: Values, layout: Layout, serial: int) -> Untidy:
    """A right record, written untidily: white space, case, another notation, in turn."""
    turns = _UNTIDY[feed]
    changed, repaired = turns[serial % len(turns)](dict(values))
    return Untidy(text=layout.record(changed), repaired=repaired)


_Turn = Callable[[dict[str, str]], tuple[dict[str, str], int]]


def _padded(*fields: str) -> _Turn:
    def turn(values: dict[str, str]) -> tuple[dict[str, str], int]:
        return {**values, **{field: f" {values[field]}  " for field in fields}}, len(fields)

    return turn


def _in_case(change: Callable[[str], str], field: str) -> _Turn:
    def turn(values: dict[str, str]) -> tuple[dict[str, str], int]:
        changed = change(values[field]) if values.get(field) else values.get(field, "")
        if field not in values or changed == values[field]:
            return values, 0
        return {**values, field: changed}, 1

    return turn


def _number_as_text(field: str) -> _Turn:
    return lambda values: ({**values, field: str(values[field])}, 0)


def _short_number(values: dict[str, str]) -> tuple[dict[str, str], int]:
    """12.50 as 12.5, 12.00 as 12."""
    return {**values, "amount": Bare(values["amount"].rstrip("0").rstrip("."))}, 0


def _with_offset(values: dict[str, str]) -> tuple[dict[str, str], int]:
    return {**values, "timestamp": values["timestamp"].replace("Z", "+00:00")}, 0


def _backwards(values: dict[str, str]) -> tuple[dict[str, str], int]:
    """Fields in another order (no difference in CSV)."""
    return dict(reversed(values.items())), 0


def _with_more(values: dict[str, str]) -> tuple[dict[str, str], int]:
    """A field that no contract knows (CSV has no place for it)."""
    return {**values, "channel": "mobile app"}, 0


_UNTIDY: Mapping[Feed, tuple[_Turn, ...]] = {
    Feed.TRANSACTIONS: (
        _padded("user_id"),
        _in_case(str.lower, "currency"),
        _in_case(str.title, "payment_method"),
        _number_as_text("amount"),
        _with_offset,
        _padded("timestamp", "status"),
        _short_number,
        _in_case(lambda word: f"\t{word.upper()}", "status"),
        _backwards,
        _with_more,
        _padded("transaction_id", "product_id"),
    ),
    Feed.USERS: (
        _padded("country"),
        _in_case(str.lower, "country"),
        _in_case(str.upper, "customer_tier"),
        _padded("email", "registration_date"),
        _padded("user_id"),
    ),
    Feed.PRODUCTS: (
        _padded("name"),
        _number_as_text("price"),
        _in_case(str.lower, "currency"),
        _padded("product_id"),
        _with_more,
    ),
}
