"""Every statement the sink can send passes Google's analyser; dates become literals."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import pytest

from techmart_fast.contract import default_contract
from techmart_fast.warehouse import LoadTable, MetricRow, ReportKind, RunRow, Touched
from techmart_fast.warehouse.estimate import planned_statements
from techmart_fast.warehouse.fingerprints import (
    batches_statement,
    hashed_statement,
    other_days_statement,
    parts_statement,
    rows_statement,
)
from techmart_fast.warehouse.groups import LoadGroup
from techmart_fast.warehouse.repairs import forget_statements, replace_statements
from techmart_fast.warehouse.reports import report_statement
from techmart_fast.warehouse.rollups import (
    changed_keys,
    changed_statement,
    daily_statements,
    finance_statements,
    financial_statements,
    key_statements,
    order_statements,
    partial_statements,
    touched_statements,
)
from techmart_fast.warehouse.runs import run_statements
from techmart_fast.warehouse.schema import SCHEMA_DATASET, declared
from techmart_fast.warehouse.sink import merge_statements
from techmart_fast.warehouse.statements import (
    Scalar,
    Statement,
    partition_predicate,
    sql_text,
    statement,
)
from tests.warehouse.analyser import SqlError, analyse, declared_types
from tests.warehouse.values import group_of, paper_file

DAY = date(2024, 2, 29)
RULES = default_contract().analytics
TOUCHED = Touched(
    users=frozenset({1, 3, 4, 5, 200}), products=frozenset({7}), changed_users=frozenset({255})
)
MANY_DAYS = frozenset(date(2000, 1, 1) + timedelta(days=2 * number) for number in range(2500))

RUN = RunRow(
    run_id="r1",
    started=datetime(2024, 3, 1, 8, tzinfo=UTC),
    ended=datetime(2024, 3, 1, 8, 0, 30, tzinfo=UTC),
    status="completed",
    records_read=10,
    records_loaded=8,
    records_rejected=1,
    records_held=0,
    records_duplicate=1,
    rows_per_second=Decimal("0.33"),
    bytes_per_second=Decimal("100"),
    peak_memory_bytes=1,
    contract_version="abc",
)
METRIC = MetricRow(
    table="users",
    dimension="accuracy",
    metric="score",
    check_date=DAY,
    value=Decimal("0.9912"),
    threshold=Decimal("0.99"),
    status="PASS",
)


def groups() -> list[LoadGroup]:
    return [
        group_of(name, table, paper_file(table, *([DAY] if "trans" in table else [])))
        for name in ("g1", "g2")
        for table in LoadTable
    ]


def every_statement() -> Iterator[Statement]:
    """Each statement in each shape it can take."""
    for relation in declared().values():
        yield Statement(name=f"ddl/{relation.name}", sql=relation.sql)
        yield Statement(name=f"ddl/{relation.name}", sql=relation.create(SCHEMA_DATASET))
        if relation.requires_partition_filter:
            for days in (None, 90):
                yield Statement(name=f"ddl/{relation.name}", sql=relation.expire(days))
        for column in relation.columns:
            if not column.required:
                present = frozenset(one.name for one in relation.columns if one != column)
                for number, step in enumerate(relation.migrate(present)):
                    yield Statement(name=f"migrate/{relation.name}/{number}", sql=step)
    for group in groups():
        yield from merge_statements(group)
    yield from merge_statements(
        group_of(
            "g1",
            LoadTable.TRANSACTIONS,
            paper_file(LoadTable.TRANSACTIONS, DAY),
            dates=MANY_DAYS,
        )
    )
    yield from partial_statements([DAY], refreshed=3)
    yield from order_statements([DAY], refreshed=3, touched=TOUCHED)
    yield from daily_statements([DAY, date(2024, 3, 1), date(2024, 3, 2)])
    yield from finance_statements([DAY, date(2024, 3, 1)])
    yield from financial_statements([DAY], RULES)
    for chosen in (groups(), groups()[:2], []):
        changed = changed_keys(chosen)
        yield from touched_statements([DAY], refreshed=3, changed=changed)
        for name in ("buyers", "changed_dates"):
            yield changed_statement(name, changed=changed, touched=TOUCHED)
        yield from _of_keys([DAY], changed)
    yield from _of_keys([DAY], changed_keys([]), moved=True)
    yield from _of_keys([], changed_keys([]), touched=Touched(), as_of=None, moved=True)
    yield from touched_statements([], refreshed=0, changed=changed_keys([]))
    yield statement("queries/as_of")
    yield statement("queries/bases")
    yield statement("queries/probe")
    for day_sets in (frozenset[date](), frozenset({DAY}), MANY_DAYS):
        yield from planned_statements(
            list(LoadTable),
            day_sets,
            frozenset({DAY}),
            Touched(changed_products=TOUCHED.users),
            RULES,
        )
    bounds = {"since": Scalar("DATE", DAY), "until": Scalar("DATE", DAY)}
    yield statement("queries/daily_sums", parameters=bounds)
    yield from _of_reconciliation()
    yield from _of_repairs()
    for kind in ReportKind:
        yield report_statement(kind, limit=None, since=None, until=None, report_type=None)
    yield report_statement(
        ReportKind.FINANCIALS, limit=3, since=DAY, until=DAY, report_type="weekly"
    )
    for metric in (METRIC, replace(METRIC, value=None, threshold=None)):
        yield from run_statements(RUN, [metric, metric])
    yield from run_statements(replace(RUN, error="no disk"), [])


def _of_repairs() -> Iterator[Statement]:
    for group in groups()[:4]:
        yield from replace_statements(group, [DAY] if "trans" in group.table else [0, 255])
    yield from replace_statements(groups()[2], MANY_DAYS)
    yield from forget_statements(list(LoadTable))


def _of_reconciliation() -> Iterator[Statement]:
    for table in LoadTable:
        days = [DAY] if "trans" in table else []
        yield hashed_statement(table, days)
        yield parts_statement(table, days)
        yield batches_statement(table, days)
        yield rows_statement(table, days, batch_ids=["b1", "b2"], limit=9)
        if days:
            yield other_days_statement(table, first=DAY, last=DAY, since=None, until=None)


def _of_keys(
    days: list[date],
    changed: Mapping[str, str],
    *,
    touched: Touched = TOUCHED,
    as_of: date | None = DAY,
    moved: bool = False,
) -> list[Statement]:
    return key_statements(
        days,
        as_of=as_of,
        rules=RULES,
        changed=changed,
        touched=touched,
        refreshed=3,
        moved=moved,
    )


def test_googles_analyser_accepts_every_statement_in_every_shape() -> None:
    # One text is analysed once: the shapes of a file often render alike.
    distinct = {(one.sql, str(one.parameters)): one for one in every_statement()}
    for one in distinct.values():
        analyse(one)


def test_googles_analyser_accepts_what_the_page_tells_people_to_send() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "bigquery.md").read_text(encoding="utf-8")
    told = re.findall(r'bq query [^"]*"((?:SELECT|DELETE)[^"]+)"', page)
    assert len(told) == 2
    for number, one in enumerate(";".join(told).split(";")):
        analyse(Statement(name=f"docs/bigquery/{number}", sql=one.strip()))


def test_every_sql_file_is_among_the_statements() -> None:
    folder = files("techmart_fast.warehouse").joinpath("sql")
    stored = {
        f"{group.name}/{file.name.removesuffix('.sql')}"
        for group in folder.iterdir()
        for file in group.iterdir()
    }
    assert {one.name for one in every_statement()} >= stored


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("SUM(amount_usd)", "SUM(amount_eur)"),
        ("SUM(amount_usd)", "SUM(status)"),
        ("FROM partial_totals", "FROM partial_total"),
        ("NUMERIC '0'", "NUMERIC 'none'"),
        ("status = S.status", "status = @status"),
    ],
    ids=["column", "type", "table", "literal", "parameter"],
)
def test_the_analyser_refuses_what_is_wrong(right: str, wrong: str) -> None:
    sound = partial_statements([DAY], refreshed=0)[0]
    assert right in sound.sql
    with pytest.raises(SqlError):
        analyse(replace(sound, sql=sound.sql.replace(right, wrong)))


def test_the_declared_columns_are_those_that_the_analyser_reads() -> None:
    for relation in declared().values():
        if not relation.is_view:
            names = [line.split()[0] for line in declared_types(relation.name)]
            assert [column.name for column in relation.columns] == names


def test_statements_on_the_facts_name_their_partitions_as_literals() -> None:
    some = [
        *merge_statements(groups()[2]),
        *partial_statements([DAY], refreshed=3),
        *order_statements([DAY], refreshed=3, touched=TOUCHED),
        *touched_statements([DAY], refreshed=3, changed=changed_keys([])),
        *_of_keys([DAY], changed_keys([])),
        *finance_statements([DAY]),
        *financial_statements([DAY], RULES),
        parts_statement(LoadTable.TRANSACTIONS, [DAY]),
        batches_statement(LoadTable.TRANSACTIONS, [DAY]),
        *replace_statements(groups()[2], [DAY]),
    ]
    for one in some:
        assert "DATE '2024-02-29'" in one.sql
        assert "IN UNNEST(@" not in one.sql
        # What reads or changes the facts, or a table of their size, does so by literal days only.
        assert (
            one.sql.count("transaction_date IN (") + one.sql.count("transaction_date BETWEEN") > 0
        )


def test_statements_on_orders_by_key_name_their_partitions_as_literals() -> None:
    by_user, by_product = order_statements([DAY], refreshed=3, touched=TOUCHED)[2:]
    users = "(T.user_bucket BETWEEN 3 AND 5 OR T.user_bucket IN (1, 200))"
    assert f"ON {users}\n" in by_user.sql
    assert "ON T.product_bucket IN (7)\n" in by_product.sql
    of_users, of_products = _of_keys([DAY], changed_keys([]))
    own = "orders_by_user.user_bucket"
    assert f"({own} BETWEEN 3 AND 5 OR {own} IN (1, 200, 255))" in of_users.sql
    assert "orders_by_product.product_bucket IN (7)" in of_products.sql
    # Nothing is left that would not prune.
    for one in (by_user, by_product, of_users, of_products):
        assert "IN UNNEST(@" not in one.sql


def test_windows_are_read_only_when_they_moved() -> None:
    still, moved = (_of_keys([DAY], changed_keys([]), moved=flag)[1].sql for flag in (False, True))
    assert "partial_products.transaction_date IS NULL\n" in still
    days = "partial_products.transaction_date BETWEEN DATE '2023-03-02' AND DATE '2024-02-29'"
    assert days in moved


def test_buckets_are_computed_alike_in_every_statement() -> None:
    formula = re.compile(r"CAST\(CONCAT\('0x', SUBSTR\(TO_HEX\(MD5\(\w+\)\), 1, 2\)\) AS INT64\)")
    for name in ("partials/orders", "queries/touched"):
        assert len(formula.findall(sql_text(name))) == sql_text(name).count("MD5(") == 2


def test_a_group_of_very_many_days_is_merged_in_several_statements() -> None:
    file = paper_file(LoadTable.TRANSACTIONS, DAY)
    merging = merge_statements(group_of("g1", LoadTable.TRANSACTIONS, file, dates=MANY_DAYS))
    assert len(merging) == 2
    for one in merging:
        assert len(one.sql.encode()) < 1_000_000
        assert "\n  WHERE transaction_date IN (DATE" in one.sql  # its own share of new days


def test_consecutive_days_become_ranges() -> None:
    days = [date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3), date(2024, 2, 1)]
    assert partition_predicate("T.d", days) == (
        "(T.d BETWEEN DATE '2024-01-01' AND DATE '2024-01-03' OR T.d IN (DATE '2024-02-01'))"
    )


@pytest.mark.parametrize(
    ("days", "predicate"),
    [
        (None, "TRUE"),
        ([], "d IS NULL"),
        ([DAY], "d IN (DATE '2024-02-29')"),
        ([DAY, DAY], "d IN (DATE '2024-02-29')"),
        ([DAY, date(2024, 3, 1)], "d IN (DATE '2024-02-29', DATE '2024-03-01')"),
    ],
)
def test_few_days_become_a_list(days: list[date] | None, predicate: str) -> None:
    assert partition_predicate("d", days) == predicate


def test_a_parameter_that_is_not_given_is_an_error_before_anything_is_sent() -> None:
    with pytest.raises(KeyError, match="row_limit"):
        statement("queries/report_users")


def test_no_file_splices_a_value() -> None:
    for one in every_statement():
        if one.step in {"merge", "partials", "rollups", "queries"}:
            assert "{" not in sql_text(one.name)
