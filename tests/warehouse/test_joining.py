"""Joined Parquet: every row of every file, though no row is encoded again."""

import hashlib
import io
import string
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from techmart_fast.errors import SpoolDamagedError, SpoolError
from techmart_fast.records import SpooledFile
from techmart_fast.warehouse import LoadTable, joining, packing, read_spool
from techmart_fast.warehouse.spool import LOAD_SCHEMAS
from tests.warehouse.values import packed_of, spooled, transaction

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
OFFSETS = ("data_page_offset", "index_page_offset", "dictionary_page_offset")

WIDE = pa.schema(
    [
        pa.field("number", pa.int64()),
        pa.field("small", pa.int16(), nullable=False),
        pa.field("text", pa.string()),
        pa.field("raw", pa.binary()),
        pa.field("flag", pa.bool_()),
        pa.field("money", pa.decimal128(12, 2)),
        pa.field("much", pa.decimal128(38, 9)),
        pa.field("day", pa.date32()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
        pa.field("clock", pa.time64("us")),
        pa.field("half", pa.float16()),
        pa.field("ratio", pa.float64()),
        pa.field("many", pa.list_(pa.int32())),
        pa.field("pair", pa.struct([("a", pa.string()), ("b", pa.int8())])),
        pa.field("by_name", pa.map_(pa.string(), pa.int64())),
        pa.field("nothing", pa.null()),
    ]
)
"""A column of every kind that a footer describes in its own way."""


def rows_of(table: LoadTable, number: int, count: int) -> list[dict[str, object]]:
    """Rows of member `number`, with extremes and, where they may be, nulls."""
    ids = [f"{number}-{row}" for row in range(count)]
    match table:
        case LoadTable.USERS:
            return [
                {
                    "user_id": one,
                    "email": f"{one}@example.com",
                    "age_group": None if row % 3 else "x",
                }
                for row, one in enumerate(ids)
            ]
        case LoadTable.PRODUCTS:
            price = Decimal("9999999999.99")
            return [{"product_id": one, "price": price, "is_active": False} for one in ids]
        case LoadTable.TRANSACTIONS:
            when = NEW_YEAR + timedelta(days=number, microseconds=1)
            return [
                transaction(
                    one,
                    f"2024-01-{number % 28 + 1:02}",
                    f"{row}.0{number % 10}",
                    product_id=None if row % 2 else f"p{row}",
                    timestamp=when,
                    currency=("USD", "EUR", "日本")[row % 3],
                )
                for row, one in enumerate(ids)
            ]
        case LoadTable.REJECTED_TRANSACTIONS:
            day = date(2024, 1, number % 28 + 1)
            return [{"source_offset": row, "transaction_date": day} for row in range(count)]


def members_of(
    folder: Path, table: LoadTable, sizes: Sequence[int], *, name: str = ""
) -> list[SpooledFile]:
    return [
        spooled(folder, table, rows_of(table, number, size), name=f"{name}{number}")
        for number, size in enumerate(sizes)
    ]


def joined(parquet: Iterable[bytes], schema: pa.Schema, *, rows: int) -> io.BytesIO | None:
    whole = io.BytesIO()
    return whole if joining.joined(parquet, schema, rows=rows, into=whole) else None


def encoded(table: pa.Table, **options: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(table, target, **({"store_schema": False} | options))
    return target.getvalue()


def by_arrow(data: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(data))


def by_duckdb(data: bytes, folder: Path, schema: pa.Schema) -> pa.Table:
    path = folder / "joined.parquet"
    path.write_bytes(data)
    with duckdb.connect() as engine:
        return engine.read_parquet(str(path)).to_arrow_table().cast(schema)


def body_of(data: bytes) -> bytes:
    """The row groups of a file: what is before its footer."""
    return data[4 : len(data) - 8 - int.from_bytes(data[-8:-4], "little")]


def footer_of(data: bytes) -> Any:
    return joining._read(data[4 + len(body_of(data)) : -8])


def with_footer(data: bytes, change: Callable[[Any], None]) -> bytes:
    """The same file with another footer."""
    footer = footer_of(data)
    change(footer)
    written = joining._written(footer)
    return b"PAR1" + body_of(data) + written + len(written).to_bytes(4, "little") + b"PAR1"


def rewritten(file: SpooledFile, data: bytes) -> SpooledFile:
    """A spool file with other bytes, as another version of the program would have written it."""
    file.path.write_bytes(data)
    return replace(file, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


@pytest.fixture
def encoded_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many members parts had whose rows were encoded again, during the test."""
    seen: list[int] = []
    whole = packing._encode_again

    def noted(part: Any, into: IO[bytes]) -> None:
        seen.append(len(part.members))
        whole(part, into)

    monkeypatch.setattr(packing, "_encode_again", noted)
    return seen


@pytest.mark.parametrize(
    "sizes",
    [[5], [4, 1], [1, 1], [2, 0, 3], [7] * 50],
    ids=lambda one: f"{len(one)} of {one[0]}",
)
@pytest.mark.parametrize("table", LoadTable)
def test_a_joined_file_has_the_rows_of_all_members_in_their_order(
    table: LoadTable, sizes: list[int], tmp_path: Path, encoded_again: list[int]
) -> None:
    members = members_of(tmp_path, table, sizes)
    data = packed_of(table, *members)
    expected = pa.concat_tables(read_spool(member) for member in members)
    found = by_arrow(data)
    assert found.schema.equals(LOAD_SCHEMAS[table])
    assert found.equals(expected)
    assert by_duckdb(data, tmp_path, expected.schema).equals(expected)
    assert encoded_again == []


def test_the_row_groups_are_the_members_bytes_unchanged(tmp_path: Path) -> None:
    members = members_of(tmp_path, LoadTable.TRANSACTIONS, [30, 1, 20])
    data = packed_of(LoadTable.TRANSACTIONS, *members)
    assert body_of(data) == b"".join(body_of(member.path.read_bytes()) for member in members)
    assert len(data) < sum(member.size_bytes for member in members)


def test_offsets_move_by_what_stands_before_and_nothing_else_changes(tmp_path: Path) -> None:
    members = members_of(tmp_path, LoadTable.TRANSACTIONS, [30, 1, 20])
    whole = footer_of(packed_of(LoadTable.TRANSACTIONS, *members))
    by, moved = 0, 0
    for member, group in zip(members, whole.row_groups, strict=True):
        data = member.path.read_bytes()
        footer = footer_of(data)
        (own,) = footer.row_groups
        assert group.file_offset == own.file_offset + by
        for column, before in zip(group.columns, own.columns, strict=True):
            for name in OFFSETS:
                if (offset := getattr(before.meta_data, name)) is not None:
                    moved += 1
                    assert getattr(column.meta_data, name) == offset + by
                    setattr(column.meta_data, name, offset)
            assert column == before
        by += len(body_of(data))
        footer.row_groups, footer.rows = whole.row_groups, whole.rows
        assert footer == whole
    assert moved > 3 * len(LOAD_SCHEMAS[LoadTable.TRANSACTIONS])  # dictionaries have one, too


def test_members_may_have_several_row_groups_and_other_encodings() -> None:
    table = pa.table({"n": range(100), "s": [f"{number % 7}" for number in range(100)]})
    options: list[dict[str, Any]] = [
        {"row_group_size": 30, "compression": "zstd"},
        {"row_group_size": 1, "compression": "none", "use_dictionary": False},
        {"compression": "snappy", "data_page_version": "2.0"},
        {"column_encoding": "DELTA_BINARY_PACKED", "use_dictionary": False, "version": "2.6"},
        {"write_statistics": False, "data_page_size": 10, "write_page_checksum": True},
    ]
    options[3]["column_encoding"] = {"n": "DELTA_BINARY_PACKED", "s": "DELTA_BYTE_ARRAY"}
    whole = joined((encoded(table, **one) for one in options), table.schema, rows=500)
    assert whole is not None
    metadata = pq.read_metadata(whole)
    assert metadata.num_row_groups == 4 + 100 + 1 + 1 + 1
    assert {metadata.row_group(n).column(0).compression for n in (0, 4, 104)} == {
        "ZSTD",
        "UNCOMPRESSED",
        "SNAPPY",
    }
    assert by_arrow(whole.getvalue()).equals(pa.concat_tables([table] * len(options)))


def test_a_file_that_is_joined_can_be_joined_again() -> None:
    table = pa.table({"n": [1, 2]})
    once = joined([encoded(table)] * 2, table.schema, rows=4)
    assert once is not None
    twice = joined([once.getvalue(), encoded(table), once.getvalue()], table.schema, rows=10)
    assert twice is not None
    assert by_arrow(twice.getvalue())["n"].to_pylist() == [1, 2] * 5


@pytest.mark.parametrize("store_schema", [True, False])
@pytest.mark.parametrize("write_statistics", [True, False])
def test_the_description_loses_nothing_of_what_the_library_writes(
    store_schema: bool, write_statistics: bool
) -> None:
    table = WIDE.empty_table()
    rows = [dict.fromkeys(WIDE.names) | {"small": number} for number in range(3)]
    rows[1] |= {"many": [1, 2], "pair": {"a": "x", "b": 1}, "by_name": {"k": 1}, "text": "é"}
    table = pa.Table.from_pylist(rows, schema=WIDE)
    sorting = [pq.SortingColumn(1, descending=True)]
    data = encoded(
        table,
        store_schema=store_schema,
        write_statistics=write_statistics,
        sorting_columns=sorting,
    )
    assert with_footer(data, lambda _: None) == data
    whole = joined([data, data], by_arrow(data).schema, rows=6)
    assert whole is not None
    assert by_arrow(whole.getvalue()).equals(pa.concat_tables([by_arrow(data)] * 2))
    assert pq.read_metadata(whole).row_group(1).sorting_columns == tuple(sorting)


def test_numbers_and_offsets_that_other_versions_write_are_renewed() -> None:
    def numbered(footer: Any) -> None:
        for number, group in enumerate(footer.row_groups):
            group.ordinal = number
            group.file_offset = 0  # which says that it is not known
            for column in group.columns:
                column.file_offset = column.meta_data.data_page_offset

    table = pa.table({"n": [1, 2, 3]})
    data = with_footer(encoded(table, row_group_size=2), numbered)
    whole = joined([data, data], table.schema, rows=6)
    assert whole is not None
    groups = footer_of(whole.getvalue()).row_groups
    assert [group.ordinal for group in groups] == [0, 1, 2, 3]
    assert [group.file_offset for group in groups] == [0] * 4
    columns = [group.columns[0] for group in groups]
    assert [one.file_offset for one in columns] == [
        one.meta_data.data_page_offset for one in columns
    ]
    assert by_arrow(whole.getvalue())["n"].to_pylist() == [1, 2, 3] * 2


def elsewhere(footer: Any) -> None:
    footer.row_groups[0].columns[0].file_path = b"other.parquet"


def without_metadata(footer: Any) -> None:
    footer.row_groups[0].columns[0].meta_data = None


PLAIN = pa.table({"n": [1, 2]})
UNFIT: dict[str, bytes] = {
    "no Parquet": b"PAR1 and nothing else",
    "short": b"PAR1PAR1",
    "encrypted": encoded(PLAIN)[:-4] + b"PARE",
    "footer longer than the file": encoded(PLAIN)[:-8] + b"\xff\xff\xff\x7fPAR1",
    "no footer": b"PAR1" + b"\xff" * 9 + b"\x09\0\0\0PAR1",
    "footer and more": encoded(PLAIN)[:-8]
    + b"\0"
    + (int.from_bytes(encoded(PLAIN)[-8:-4], "little") + 1).to_bytes(4, "little")
    + b"PAR1",
    "page index": encoded(PLAIN, write_page_index=True),
    "column elsewhere": with_footer(encoded(PLAIN), elsewhere),
    "column without metadata": with_footer(encoded(PLAIN), without_metadata),
    "other column": encoded(pa.table({"m": [1, 2]})),
    "other type": encoded(pa.table({"n": pa.array([1, 2], pa.int32())})),
    "required column": encoded(PLAIN.cast(pa.schema([pa.field("n", pa.int64(), nullable=False)]))),
    "more columns": encoded(PLAIN.append_column("m", [[1, 2]])),
    "other notes": encoded(PLAIN.replace_schema_metadata({"by": "hand"}), store_schema=True),
    "other version of the format": encoded(PLAIN, version="1.0"),
    "another version of the library": encoded(PLAIN).replace(b"arrow version ", b"arrow version-"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_does_not_fit_is_not_joined(what: str) -> None:
    assert joined([encoded(PLAIN), UNFIT[what]], PLAIN.schema, rows=4) is None


@pytest.mark.parametrize(
    "what",
    [what for what in UNFIT if not what.startswith(("other notes", "other version", "anoth"))],
)
def test_what_can_not_be_joined_or_has_other_columns_is_not_the_first_either(what: str) -> None:
    assert joined([UNFIT[what]] * 2, PLAIN.schema, rows=4) is None


def test_a_footer_that_the_description_would_change_is_not_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(joining, "_written", lambda _: b"")
    assert joined([encoded(PLAIN)] * 2, PLAIN.schema, rows=4) is None


def test_no_file_and_more_row_groups_than_can_be_numbered_are_not_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert joined([], PLAIN.schema, rows=0) is None
    monkeypatch.setattr(joining, "MOST_ROW_GROUPS", 2)
    assert joined([encoded(PLAIN)] * 2, PLAIN.schema, rows=4) is not None
    assert joined([encoded(PLAIN)] * 3, PLAIN.schema, rows=6) is None


def test_what_does_not_add_up_is_never_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SpoolError, match=r"of 5 rows in 2 row groups.*gave 4 rows in 2 row groups"):
        joined([encoded(PLAIN)] * 2, PLAIN.schema, rows=5)
    members = members_of(tmp_path, LoadTable.USERS, [3, 3])
    members[1] = replace(members[1], rows=4)
    with pytest.raises(SpoolError, match="gave 6 rows"):
        packed_of(LoadTable.USERS, *members)
    whole = joining._written

    def broken(footer: Any) -> bytes:
        return whole(footer) if len(footer.row_groups) == 1 else b"no footer"

    monkeypatch.setattr(joining, "_written", broken)
    with pytest.raises(SpoolError, match="gave what can't be read"):
        joined([encoded(PLAIN)] * 2, PLAIN.schema, rows=4)


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_damaged_member_is_named(damage: str, number: int, tmp_path: Path) -> None:
    members = members_of(tmp_path, LoadTable.USERS, [3, 3, 3])
    path = members[number].path
    data = path.read_bytes()
    match damage:
        case "changed":
            path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
        case "cut":
            path.write_bytes(data[:-1])
        case "gone":
            path.unlink()
    with pytest.raises(SpoolDamagedError, match=str(path)):
        packed_of(LoadTable.USERS, *members)


def older(data: bytes, how: str) -> bytes:
    """A member's rows as an older version may have written them."""
    table = by_arrow(data)
    options: dict[str, Any] = {}
    match how:
        case "nullable":
            table = table.cast(pa.schema([one.with_nullable(True) for one in table.schema]))
        case "order":
            table = table.select(table.schema.names[::-1])
        case "narrow":
            place = table.schema.names.index("source_ordinal")
            narrow = table["source_ordinal"].cast(pa.int32())
            table = table.set_column(place, "source_ordinal", narrow)
        case "more":
            table = table.append_column("dropped_since", [["x"] * table.num_rows])
        case "library":
            return data.replace(b"arrow version ", b"arrow version-")
        case option:
            options = {option: True}
    return encoded(table, **options)


@pytest.mark.parametrize("older_ones", [{0}, {1}, {0, 1, 2}], ids=str)
@pytest.mark.parametrize(
    "how", ["nullable", "order", "narrow", "more", "library", "store_schema", "write_page_index"]
)
def test_members_of_an_older_version_are_encoded_again(
    how: str, older_ones: set[int], tmp_path: Path, encoded_again: list[int]
) -> None:
    members = members_of(tmp_path, LoadTable.TRANSACTIONS, [3, 2, 4])
    expected = pa.concat_tables(read_spool(member) for member in members)
    for number in older_ones:
        data = older(members[number].path.read_bytes(), how)
        members[number] = rewritten(members[number], data)
    found = by_arrow(packed_of(LoadTable.TRANSACTIONS, *members))
    assert found.schema.equals(LOAD_SCHEMAS[LoadTable.TRANSACTIONS])
    assert found.equals(expected)
    # Files that are all of one library, with the columns of today, are joined whichever it is.
    alike = how in ("library", "store_schema") and len(older_ones) == 3
    assert encoded_again == ([] if alike else [3])


@pytest.mark.parametrize("fault", ["column missing", "null", "text"])
def test_a_member_that_lacks_what_the_table_needs_is_named(fault: str, tmp_path: Path) -> None:
    members = members_of(tmp_path, LoadTable.USERS, [2, 2])
    table = by_arrow(members[1].path.read_bytes())
    if fault == "column missing":
        table = table.drop_columns(["region"])
    else:
        values = pa.array([None, "europe"] if fault == "null" else ["x", "y"])
        name = "region" if fault == "null" else "source_offset"
        table = table.set_column(table.schema.names.index(name), name, values)
    members[1] = rewritten(members[1], encoded(table))
    with pytest.raises(
        SpoolError, match=r"does not have the columns of users.*Delete it"
    ) as caught:
        packed_of(LoadTable.USERS, *members)
    assert str(members[1].path) in str(caught.value)


COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int64": (pa.int64(), st.integers(-(1 << 63), (1 << 63) - 1)),
    "few": (pa.string(), st.sampled_from(["a", "bb", ""])),
    "text": (pa.string(), st.text(string.printable + "é日😀", max_size=20)),
    "flag": (pa.bool_(), st.booleans()),
    "money": (
        pa.decimal128(12, 2),
        st.decimals(-9999999999, 9999999999, places=2, allow_nan=False),
    ),
    "day": (pa.date32(), st.dates()),
    "at": (
        pa.timestamp("us", tz="UTC"),
        st.datetimes(timezones=st.just(UTC)),
    ),
}


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[pa.Table, dict[str, Any]]]:
    """Tables of one schema, each with the options that its file is written with."""
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=5, unique=True))
    optional = {name: draw(st.booleans()) for name in names}
    schema = pa.schema([pa.field(name, COLUMNS[name][0], optional[name]) for name in names])
    row = st.fixed_dictionaries(
        {
            name: st.none() | COLUMNS[name][1] if optional[name] else COLUMNS[name][1]
            for name in names
        }
    )
    options = st.fixed_dictionaries(
        {
            "compression": st.sampled_from(["zstd", "snappy", "none"]),
            "row_group_size": st.integers(1, 20),
            "use_dictionary": st.booleans(),
            "write_statistics": st.booleans(),
            "data_page_version": st.sampled_from(["1.0", "2.0"]),
        }
    )
    made = draw(st.lists(st.tuples(st.lists(row, max_size=15), options), min_size=1, max_size=6))
    return [(pa.Table.from_pylist(rows, schema=schema), one) for rows, one in made]


@settings(deadline=None, max_examples=60)
@given(tables())
def test_any_tables_are_read_as_one(made: list[tuple[pa.Table, dict[str, Any]]]) -> None:
    expected = pa.concat_tables(table for table, _ in made)
    whole = joined(
        (encoded(table, **options) for table, options in made),
        expected.schema,
        rows=expected.num_rows,
    )
    assert whole is not None
    found = by_arrow(whole.getvalue())
    assert found.schema.equals(expected.schema)
    assert found.equals(expected)


@pytest.mark.parametrize("by", [0, 1, -1, 10_000])
def test_columns_that_would_be_read_elsewhere_are_noticed(
    by: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of the same rows have the same footers: without the move all would be the first one."""
    rows = rows_of(LoadTable.USERS, 1, 40)
    files = [spooled(tmp_path, LoadTable.USERS, rows, name=name) for name in ("a", "b")]
    move = joining._move
    monkeypatch.setattr(
        joining,
        "_move",
        lambda group, right, *, number: move(group, by and right + by, number=number),
    )
    with pytest.raises(SpoolError, match=r"80 rows in 2 row groups, [1-9][0-9]* columns elsewhere"):
        packed_of(LoadTable.USERS, *files)
