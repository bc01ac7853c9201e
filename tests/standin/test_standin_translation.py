"""The translation: what reaches DuckDB, what never does, and how a wrong translation shows."""

from collections.abc import Iterator

import pytest
import sqlglot
from sqlglot import exp

from techmart_fast.standin.bqtypes import BqType, Field, Kind
from techmart_fast.standin.failure import ServiceError
from techmart_fast.standin.refs import DatasetRef, TableRef
from techmart_fast.standin.resources import Dataset, Partitioning, Table
from techmart_fast.standin.sql.analyse import Analysed, analyse_query, duckdb_sql
from techmart_fast.standin.sql.assign import assigned
from techmart_fast.standin.sql.check import CONSUMED
from techmart_fast.standin.sql.names import Names
from techmart_fast.standin.sql.parameters import Parameters, parameters_of
from techmart_fast.standin.sql.parse import VIEW_TEXT, parse_query, parse_script
from techmart_fast.standin.sql.rules import PLAIN, RULES
from techmart_fast.standin.sql.statements import result_kinds, writes_of
from techmart_fast.standin.storage import Storage
from techmart_fast.standin.work import Work

SHOP = DatasetRef("p", "shop")
NONE = Parameters({}, {})


def table(name: str, *columns: Field, **properties: object) -> Table:
    ref = TableRef("p", "shop", name)
    return Table(ref=ref, schema=columns, created_ms=1, modified_ms=1, **properties)


@pytest.fixture(scope="module")
def stocked(storage: Storage) -> Storage:
    """The engine with a partitioned table `sales` and a view `v` of it."""
    day = Field(name="day", kind=Kind.DATE)
    numeric = {"precision": "12", "scale": "2"}
    sales = table(
        "sales",
        Field(name="Id", kind=Kind.STRING),
        Field(name="amount", kind=Kind.NUMERIC, details=numeric),
        day,
        Field(name="tags", kind=Kind.STRING, mode="REPEATED"),
        partitioning=Partitioning(column="day"),
    )
    with storage.work() as work:
        work.add_dataset(Dataset(ref=SHOP, location="US", created_ms=1, modified_ms=1))
        work.add_table(sales)
        work.add_table(table("v", view_query="SELECT Id, day AS d FROM shop.sales"))
    return storage


@pytest.fixture
def work(stocked: Storage) -> Iterator[Work]:
    with stocked.work() as opened:
        yield opened


def analysed(work: Work, sql: str, parameters: Parameters = NONE) -> Analysed:
    names = Names(work=work, project="p", default=SHOP)
    return analyse_query(parse_query(sql), names, parameters)


def test_a_parameter_is_bound_and_its_value_is_not_in_the_text(work: Work) -> None:
    given = {
        "name": "Secret",
        "parameterType": {"type": "STRING"},
        "parameterValue": {"value": "hunter2"},
    }
    parameters = parameters_of({"queryParameters": [given]})
    found = analysed(work, "SELECT Id FROM sales WHERE Id = @secret", parameters)
    assert "hunter2" not in found.sql
    assert parameters.used_in(found.tree) == {"secret": "hunter2"}


def test_a_table_is_read_under_its_physical_name_and_a_view_as_a_subquery(work: Work) -> None:
    found = analysed(work, "SELECT v.Id FROM v")
    assert '"warehouse"."p.shop"."sales"' in found.sql
    assert found.names == ("Id",)
    assert [scan.table.ref.table for scan in found.scans] == ["sales"]


def test_a_scan_knows_its_columns_and_the_filters_on_the_partition(work: Work) -> None:
    found = analysed(work, "SELECT SUM(amount) FROM sales WHERE day > '2024-01-01' AND Id = 'x'")
    (scan,) = found.scans
    assert scan.columns == {"amount", "day", "id"}
    assert [one.sql() for one in scan.filters] == ["sales.day > CAST('2024-01-01' AS DATE)"]
    (through,) = analysed(work, "SELECT Id FROM v WHERE d = '2024-01-01'").scans
    assert len(through.filters) == 1


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("amount / 2", "NUMERIC"),
        ("amount * 1.5", "NUMERIC"),
        ("amount * CAST(1.5 AS FLOAT64)", "FLOAT64"),
        ("AVG(amount) OVER ()", "NUMERIC"),
        ("COUNT(*) OVER () / 2", "FLOAT64"),
        ("ARRAY_LENGTH(tags)", "INT64"),
        ("tags", "ARRAY<STRING>"),
        ("STRUCT(day, amount AS a)", "STRUCT<day DATE, a NUMERIC>"),
        ("IF(day IS NULL, NULL, amount)", "NUMERIC"),
        ("(SELECT MAX(s.day) FROM sales AS s)", "DATE"),
        ("ARRAY(SELECT t FROM UNNEST(tags) AS t)", "ARRAY<STRING>"),
    ],
)
def test_the_type_of_an_expression_is_known_before_duckdb_sees_it(
    work: Work, expression: str, kind: str
) -> None:
    found = analysed(work, f"SELECT {expression} AS x FROM sales")
    assert [str(one) for one in found.kinds] == [kind]
    assert result_kinds(work.query(found.sql, {}).types, found) == tuple(found.kinds)


def test_a_translation_of_another_type_than_expected_is_an_error_not_a_result(work: Work) -> None:
    found = analysed(work, "SELECT amount AS x FROM sales")
    wrong = work.query("SELECT CAST(1 AS DOUBLE) AS x", {}).types
    with pytest.raises(ServiceError, match="as FLOAT64, not as NUMERIC") as refused:
        result_kinds(wrong, found)
    assert refused.value.reason == "internalError"


def test_a_type_that_bigquery_does_not_have_is_an_error(work: Work) -> None:
    found = analysed(work, "SELECT 1 AS x")
    with pytest.raises(ServiceError, match="HUGEINT"):
        result_kinds(work.query("SELECT 1::HUGEINT AS x", {}).types, found)


def test_no_node_is_both_plain_and_ruled() -> None:
    assert not PLAIN & RULES.keys()
    assert not PLAIN & set(CONSUMED)


@pytest.mark.parametrize(
    "name", ["NET.HOST(s)", "ML.X(s)", "JSON_VALUE(s)", "KEYS.NEW_KEYSET(s)", "MY_FUNCTION(s)"]
)
def test_a_function_without_a_rule_is_refused_by_name(work: Work, name: str) -> None:
    with pytest.raises(ServiceError) as refused:
        analysed(work, f"SELECT {name} FROM (SELECT 's' AS s)")
    assert refused.value.reason in ("notImplemented", "invalidQuery")


def test_every_function_that_sqlglot_reads_has_a_rule_or_is_refused(work: Work) -> None:
    """Nothing reaches DuckDB because two dialects happen to use one name."""
    functions = {
        one for one in vars(exp).values() if isinstance(one, type) and issubclass(one, exp.Func)
    }
    unknown = functions - RULES.keys() - PLAIN - set(CONSUMED)
    assert len(unknown) > 200
    probe = sqlglot.parse_one("SELECT SOUNDEX('a')", dialect="bigquery")
    assert isinstance(probe, exp.Query)
    with pytest.raises(ServiceError, match="SOUNDEX"):
        analyse_query(probe, Names(work=work, project="p"), NONE)


@pytest.mark.parametrize(
    ("sql", "written"),
    [
        ("INSERT INTO a (x) SELECT 1", {"p.shop.a"}),
        ("MERGE other.b USING c ON FALSE WHEN NOT MATCHED THEN INSERT ROW", {"p.other.b"}),
        ("CREATE OR REPLACE TABLE `q.d.t` AS SELECT 1 AS x", {"q.d.t"}),
        ("DELETE FROM a WHERE TRUE; UPDATE b SET x = 1 WHERE TRUE", {"p.shop.a", "p.shop.b"}),
        ("DROP TABLE a; TRUNCATE TABLE b; ALTER TABLE c ADD COLUMN x INT64",
         {"p.shop.a", "p.shop.b", "p.shop.c"}),
        ("SELECT * FROM a", set()),
    ],
)  # fmt: skip
def test_a_statement_tells_which_tables_it_changes(sql: str, written: set[str]) -> None:
    found: set[TableRef] = set()
    for statement in parse_script(sql):
        found |= writes_of(statement, project="p", default=SHOP)
    assert {f"{one.project}.{one.dataset}.{one.table}" for one in found} == written


def test_the_text_of_a_view_is_kept_as_it_was_written() -> None:
    script = """SELECT 1; CREATE OR REPLACE VIEW v OPTIONS (description = "as (x") AS -- why
      SELECT 1 AS a, 'x; AS' AS b ;
      CREATE VIEW w AS (SELECT 2 AS as_is)"""
    assert [one.meta.get(VIEW_TEXT) for one in parse_script(script)] == [
        None,
        "SELECT 1 AS a, 'x; AS' AS b",
        "(SELECT 2 AS as_is)",
    ]


def test_types_print_as_bigquery_and_as_duckdb_write_them() -> None:
    inner = BqType(Kind.STRUCT, fields=(("a b", BqType(Kind.NUMERIC)),))
    kind = BqType(Kind.ARRAY, element=inner)
    assert str(kind) == "ARRAY<STRUCT<a b NUMERIC>>"
    assert kind.duckdb == 'STRUCT("a b" DECIMAL(38,9))[]'
    with pytest.raises(TypeError):
        _ = inner.item


def test_values_of_numeric_columns_need_no_second_rounding_where_they_come_from(
    work: Work,
) -> None:
    # A copy of NUMERIC(12, 2) into NUMERIC(12, 2) is not cast down and up again.
    column = work.table(TableRef("p", "shop", "sales")).schema[1]
    same = analysed(work, "SELECT amount FROM sales").tree.selects[0]
    other = analysed(work, "SELECT amount * 2 AS a FROM sales").tree.selects[0]
    assert "DECIMAL(12" not in duckdb_sql(assigned(same, column))
    assert "DECIMAL(12" in duckdb_sql(assigned(other, column))
