"""Data types: what a literal, a loaded column and a result hold."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest
from google.cloud import bigquery

from tests.standin.conformance.asking import refused
from tests.standin.conftest import Shop

TYPES = pytest.mark.page("https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types")
DECIMALS = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types"
)
ARRAYS = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#array_nulls"
)
CASTS = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_functions"
)
PARQUET = pytest.mark.page(
    "https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-parquet#parquet_conversions"
)
MOST = "99999999999999999999999999999.999999999"


@DECIMALS
@pytest.mark.parametrize(
    ("written", "held"),
    [
        ("0.0000000005", "0.000000001"),
        ("-0.0000000005", "-0.000000001"),
        ("0.00000000049", "0"),
        ("1.0000000015", "1.000000002"),
        (MOST, MOST),
        ("-" + MOST, "-" + MOST),
        ("1.2e3", "1200"),
    ],
)
def test_a_numeric_has_nine_decimals_and_rounds_half_away_from_zero(
    shop: Shop, written: str, held: str
) -> None:
    assert shop.value(f"SELECT NUMERIC '{written}'") == Decimal(held)


@DECIMALS
@pytest.mark.parametrize(
    "expression",
    [
        "NUMERIC '1e29'",
        f"NUMERIC '{MOST}5'",
        f"NUMERIC '{MOST}' + NUMERIC '0.000000001'",
        "NUMERIC '1e20' * NUMERIC '1e9'",
        "NUMERIC '1e28' / NUMERIC '0.01'",
        "CAST(1e30 AS NUMERIC)",
        "NUMERIC 'one'",
    ],
)
def test_a_numeric_that_overflows_is_an_error(shop: Shop, expression: str) -> None:
    with refused("invalidQuery"):
        shop.value(f"SELECT {expression}")


@DECIMALS
@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("NUMERIC '2' / 3", "0.666666667"),
        ("NUMERIC '-2' / 3", "-0.666666667"),
        ("NUMERIC '1.5' * NUMERIC '0.000000001'", "0.000000002"),
        ("NUMERIC '-1.5' * NUMERIC '0.000000001'", "-0.000000002"),
        ("ROUND(NUMERIC '2.5')", "3"),
        ("ROUND(NUMERIC '-2.5')", "-3"),
        ("ROUND(NUMERIC '0.125', 2)", "0.13"),
        ("CAST(BIGNUMERIC '0.0000000005' AS NUMERIC)", "0.000000001"),
    ],
)
def test_numeric_arithmetic_rounds_half_away_from_zero(
    shop: Shop, expression: str, result: str
) -> None:
    assert shop.value(f"SELECT {expression}") == Decimal(result)


@DECIMALS
@pytest.mark.parametrize(
    "text", ["12345678901234567890.123456789012345678", "-0.000000000000000001", "0.1"]
)
def test_a_bignumeric_is_exact(shop: Shop, text: str) -> None:
    """Within what the stand-in holds of it."""
    given = bigquery.ScalarQueryParameter("p", "BIGNUMERIC", Decimal(text))
    assert shop.rows(f"SELECT BIGNUMERIC '{text}', @p, CAST('{text}' AS BIGNUMERIC)", given) == [
        (Decimal(text),) * 3
    ]


WIDE = ["0.1234567890123456789", "123456789012345678901", "1e-19", "1e20"]


@DECIMALS
@pytest.mark.parametrize("text", WIDE)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT BIGNUMERIC '{}'",
        "SELECT CAST('{}' AS BIGNUMERIC)",
        "SELECT SAFE_CAST('{}' AS BIGNUMERIC)",
        "SELECT CAST(s AS BIGNUMERIC) FROM UNNEST(['{}']) AS s",
        "SELECT SAFE_CAST(s AS BIGNUMERIC) FROM UNNEST(['{}']) AS s",
        "SELECT BIGNUMERIC '1' = BIGNUMERIC '{}'",
        "SELECT SAFE_CAST(s AS BIGNUMERIC) = 1 FROM (SELECT '{}' AS s)",
    ],
)
def test_a_bignumeric_that_the_standin_can_not_hold_is_never_rounded(
    shop: Shop, sql: str, text: str
) -> None:
    with refused("notImplemented", 501, match="BIGNUMERIC"):
        shop.value(sql.format(text))


@DECIMALS
@pytest.mark.parametrize("text", WIDE)
def test_a_wide_bignumeric_parameter_is_never_rounded(shop: Shop, text: str) -> None:
    scalar = bigquery.ScalarQueryParameter("p", "BIGNUMERIC", Decimal(text))
    given = [
        scalar,
        bigquery.ArrayQueryParameter("p", "BIGNUMERIC", [Decimal(text)]),
        bigquery.StructQueryParameter("p", scalar),
    ]
    for one in given:
        with refused("notImplemented", 501, match="BIGNUMERIC"):
            shop.value("SELECT @p", one)


@DECIMALS
@pytest.mark.parametrize(
    "value", ["0.1234567890123456789", "1e20", "NUMERIC '123456789012345678901'"]
)
def test_a_wide_bignumeric_is_not_stored_rounded(shop: Shop, value: str) -> None:
    shop.query("CREATE TABLE t (a BIGNUMERIC)")
    with refused("notImplemented", 501, match="BIGNUMERIC"):
        shop.query(f"INSERT INTO t (a) VALUES ({value})")
    assert shop.rows("SELECT a FROM t") == []


@PARQUET
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (pa.decimal256(40, 19), "0.1234567890123456789"),
        (pa.decimal256(76, 38), "1"),
        (pa.decimal128(38, 19), "1"),
        (pa.decimal128(38, 9), "123456789012345678901"),
    ],
)
def test_a_wide_bignumeric_is_not_loaded_rounded(shop: Shop, kind: pa.DataType, text: str) -> None:
    shop.query("CREATE TABLE t (a BIGNUMERIC)")
    rows = pa.table({"a": pa.array([Decimal(text)], kind)})
    with refused("notImplemented", 501, match=r"BIGNUMERIC|DECIMAL"):
        shop.load(rows, "t")
    assert shop.rows("SELECT a FROM t") == []


@PARQUET
@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (pa.decimal128(38, 9), "NUMERIC"),
        (pa.decimal128(10, 2), "NUMERIC"),
        (pa.decimal128(30, 10), "BIGNUMERIC"),
        (pa.int32(), "INTEGER"),
        (pa.int64(), "INTEGER"),
        (pa.float32(), "FLOAT"),
        (pa.float64(), "FLOAT"),
        (pa.bool_(), "BOOLEAN"),
        (pa.string(), "STRING"),
        (pa.binary(), "BYTES"),
        (pa.date32(), "DATE"),
        (pa.timestamp("us", tz="UTC"), "TIMESTAMP"),
        (pa.timestamp("ms", tz="UTC"), "TIMESTAMP"),
        (pa.timestamp("us"), "DATETIME"),
    ],
)
def test_a_parquet_type_becomes_the_documented_type(
    shop: Shop, kind: pa.DataType, found: str
) -> None:
    shop.load(pa.table({"a": pa.nulls(1, kind)}), "t")
    (column,) = shop.client.get_table(shop.table("t")).schema
    assert (column.field_type, column.mode) == (found, "NULLABLE")
    assert shop.rows("SELECT a FROM t") == [(None,)]


NESTED = pa.struct([("sku", pa.string()), ("sizes", pa.list_(pa.int64()))])
ROWS = pa.table(
    {
        "id": pa.array([1, 2], pa.int64()),
        "money": pa.array([Decimal("-0.000000001"), None], pa.decimal128(38, 9)),
        "at": pa.array(
            [dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC), None],
            pa.timestamp("us", tz="UTC"),
        ),
        "local": pa.array([dt.datetime(9999, 12, 31, 23, 59, 59, 999999), None]),
        "day": pa.array([dt.date(1, 1, 1), None]),
        "raw": pa.array([b"\x00'\"\\\xff", None]),
        "text": pa.array(["ä\0'\"\\\n\u2028😀", None]),
        "tags": pa.array([["a", ""], None], pa.list_(pa.string())),
        "items": pa.array([[{"sku": "x", "sizes": [1]}, {"sku": None, "sizes": []}], None],
                          pa.list_(NESTED)),
        "place": pa.array([{"sku": "y", "sizes": [2, 3]}, None], NESTED),
    }
)  # fmt: skip


@PARQUET
def test_loaded_values_come_back_by_query_and_by_listing(shop: Shop) -> None:
    shop.load(ROWS, "t")
    full = tuple(column[0].as_py() for column in ROWS.columns)
    empty = (2, None, None, None, None, None, None, [], [], None)
    assert shop.rows("SELECT * FROM t ORDER BY id") == [full, empty]
    listed = shop.client.list_rows(shop.table("t"))
    assert sorted(row.values() for row in listed) == [full, empty]


@PARQUET
def test_loaded_values_survive_a_copy_by_sql(shop: Shop) -> None:
    shop.load(ROWS, "t")
    shop.query("CREATE TABLE u AS SELECT * FROM t; INSERT INTO u SELECT * FROM t")
    first = shop.rows("SELECT * FROM t ORDER BY id")
    assert shop.rows("SELECT * FROM u ORDER BY id") == [first[0], first[0], first[1], first[1]]


@PARQUET
def test_nanoseconds_are_refused(shop: Shop) -> None:
    rows = pa.table({"a": pa.array([1], pa.timestamp("ns", tz="UTC"))})
    with refused("invalid", match="nano"):
        shop.load(rows, "t")


@ARRAYS
def test_a_null_array_is_read_back_as_an_empty_one(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a ARRAY<INT64>)")
    shop.query("INSERT INTO t (a) VALUES (NULL), ([]), ([1])")
    assert shop.rows("SELECT a, a IS NULL, ARRAY_LENGTH(a) FROM t ORDER BY 3") == [
        ([], False, 0), ([], False, 0), ([1], False, 1)
    ]  # fmt: skip
    assert shop.value("SELECT CAST(NULL AS ARRAY<INT64>)") == []


@ARRAYS
def test_an_array_with_a_null_can_be_used_but_not_returned(shop: Shop) -> None:
    assert shop.value("SELECT ARRAY_LENGTH([1, NULL])") == 2
    with refused("invalidQuery", match="null element"):
        shop.value("SELECT [1, NULL]")


@TYPES
def test_an_array_of_arrays_needs_structs_between(shop: Shop) -> None:
    assert shop.value("SELECT [STRUCT([1] AS a), STRUCT([] AS a)]") == [{"a": [1]}, {"a": []}]
    with refused("invalidQuery"):
        shop.value("SELECT [[1]]")


@TYPES
@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775807 - 1", -(2**63)),
        ("-9223372036854775808", -(2**63)),
        ("0x10", 16),
        ("DATE '0001-01-01'", dt.date(1, 1, 1)),
        ("DATE '9999-12-31'", dt.date(9999, 12, 31)),
        ("TIMESTAMP '2024-01-01 00:00:00.000001'",
         dt.datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)),
        ("TIMESTAMP '2024-01-01 00:00:00+02:00'",
         dt.datetime(2023, 12, 31, 22, tzinfo=dt.UTC)),
        ("DATETIME '2024-01-01T12:30:00.5'", dt.datetime(2024, 1, 1, 12, 30, 0, 500000)),
        ("b'abc'", b"abc"),
        ("''", ""),
        (r"'\u00e9\n'", "é\n"),
        ("STRUCT(1 AS a, STRUCT('x' AS c, CAST(NULL AS DATE) AS d) AS b)",
         {"a": 1, "b": {"c": "x", "d": None}}),
        ("CAST('inf' AS FLOAT64)", float("inf")),
        ("1e-320", 1e-320),
    ],
)  # fmt: skip
def test_a_value_of_every_type(shop: Shop, expression: str, value: object) -> None:
    assert shop.value(f"SELECT {expression}") == value


@TYPES
@pytest.mark.parametrize(
    "expression",
    [
        "9223372036854775808",
        "9223372036854775807 + 1",
        "-9223372036854775808 - 1",
        "DATE '10000-01-01'",
        "DATE '2023-02-29'",
        "1 / 0",
        "1e308 * 10",
        "- -9223372036854775808",
        "0 - 9223372036854775808",
        "DATE_ADD(DATE '9999-12-31', INTERVAL 1 DAY)",
        "DATE_SUB(DATE_ADD(DATE '9999-12-31', INTERVAL 1 DAY), INTERVAL 1 DAY)",
        "DATE_SUB(DATE '0001-01-01', INTERVAL 1 MONTH)",
        "DATE '9999-12-31' + 1",
        "DATE_FROM_UNIX_DATE(2932897)",
        "TIMESTAMP_ADD(TIMESTAMP '9999-12-31 23:59:59.999999', INTERVAL 1 MICROSECOND)",
        "TIMESTAMP_SUB(TIMESTAMP '0001-01-01', INTERVAL 1 SECOND)",
        "TIMESTAMP_SECONDS(253402300800)",
    ],
)
def test_a_value_out_of_range_is_an_error(shop: Shop, expression: str) -> None:
    with refused("invalidQuery"):
        shop.value(f"SELECT {expression}")


@CASTS
@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("CAST(2.5 AS INT64)", 3),
        ("CAST(-2.5 AS INT64)", -3),
        ("CAST('0x1A' AS INT64)", 26),
        ("CAST(TRUE AS STRING)", "true"),
        ("CAST(NUMERIC '1.500' AS STRING)", "1.5"),
        ("CAST(DATE '2024-01-31' AS TIMESTAMP)", dt.datetime(2024, 1, 31, tzinfo=dt.UTC)),
        ("CAST(b'abc' AS STRING)", "abc"),
        ("SAFE_CAST('apple' AS INT64)", None),
        ("SAFE_CAST('2024-13-01' AS DATE)", None),
        ("SAFE_CAST('1e29' AS NUMERIC)", None),
    ],
)
def test_casts(shop: Shop, expression: str, value: object) -> None:
    assert shop.value(f"SELECT {expression}") == value


@DECIMALS
def test_a_parameterized_numeric_rounds_and_refuses(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a NUMERIC(5, 2))")
    shop.query("INSERT INTO t (a) VALUES (1.005), (-1.005), (999.994)")
    assert shop.rows("SELECT a FROM t ORDER BY a") == [
        (Decimal("-1.01"),), (Decimal("1.01"),), (Decimal("999.99"),)
    ]  # fmt: skip
    with refused("invalidQuery"):
        shop.query("INSERT INTO t (a) VALUES (999.995)")


@DECIMALS
def test_a_loaded_number_beyond_its_column_is_invalid(shop: Shop) -> None:
    shop.query("CREATE TABLE t (a NUMERIC(5, 2))")
    for number in ("1000", "999.995"):
        rows = pa.table({"a": pa.array([Decimal(number)], pa.decimal128(38, 9))})
        with refused("invalid"):
            shop.load(rows, "t")
    assert shop.rows("SELECT a FROM t") == []


@TYPES
def test_dates_at_the_end_of_the_calendar(shop: Shop) -> None:
    assert shop.rows("""SELECT LAST_DAY(DATE '9999-12-01'), DATE_FROM_UNIX_DATE(2932896),
        DATE_ADD(DATE '9999-12-30', INTERVAL 1 DAY)""") == [(dt.date(9999, 12, 31),) * 3]


@PARQUET
def test_a_loaded_decimal_has_no_parameters(shop: Shop) -> None:
    kind = pa.decimal128(10, 2)
    shop.load(pa.table({"a": pa.array([Decimal("1.25")], kind)}), "t")
    (column,) = shop.client.get_table(shop.table("t")).schema
    assert (column.field_type, column.precision, column.scale) == ("NUMERIC", None, None)
