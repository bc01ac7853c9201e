"""Recomputes what merged groups touched: partials of their days, then the rollups.

What is recomputed:
  * partials: the days at which a transaction of a group stands or stood;
  * daily_sales_summary: these days, the days of rejected records, and the days on which a changed
    product was sold (its name is shown);
  * financial_reports: the periods of the groups' days and of the days on which changed users or
    products had orders (tier, region, price);
  * user_analytics, product_performance: every row, as `as_of` moves them all; sums and preferences
    of touched users and products only.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from techmart_fast.contract.model import AnalyticsRules
from techmart_fast.together import together
from techmart_fast.warehouse.groups import LoadGroup, LoadTable, Refreshed
from techmart_fast.warehouse.jobs import Jobs
from techmart_fast.warehouse.periods import chunks, period_count, period_days, period_starts
from techmart_fast.warehouse.statements import Scalar, Statement, statement

PARTIALS = ("totals", "users", "products", "purchases")
RULES_LABEL = "rules"
"""Label of financial_reports: digest of the parameters that the rollups were computed with."""

NO_KEYS = {
    LoadTable.USERS: "SELECT user_id FROM users WHERE FALSE",
    LoadTable.PRODUCTS: "SELECT product_id FROM products WHERE FALSE",
}
"""What stands for the keys of changed users or products where none changed."""


def rule_parameters(rules: AnalyticsRules) -> Mapping[str, Scalar]:
    """The contract's analytics parameters as query parameters."""
    rfm = rules.rfm
    return {
        "cost_ratio": Scalar("NUMERIC", rules.cost_ratio),
        "operating_expense_ratio": Scalar("NUMERIC", rules.operating_expense_ratio),
        "high_value_customer_usd": Scalar("NUMERIC", rules.high_value_customer_usd),
        "churn_days": Scalar("INT64", rules.churn_days),
        "trend_days": Scalar("INT64", rules.trend_days),
        "high_performance_usd": Scalar("NUMERIC", rules.high_performance_usd),
        "medium_performance_usd": Scalar("NUMERIC", rules.medium_performance_usd),
        "rfm_recency_days_3": Scalar("INT64", rfm.recency_days[0]),
        "rfm_recency_days_2": Scalar("INT64", rfm.recency_days[1]),
        "rfm_frequency_orders_3": Scalar("INT64", rfm.frequency_orders[0]),
        "rfm_frequency_orders_2": Scalar("INT64", rfm.frequency_orders[1]),
        "rfm_monetary_usd_3": Scalar("NUMERIC", rfm.monetary_usd[0]),
        "rfm_monetary_usd_2": Scalar("NUMERIC", rfm.monetary_usd[1]),
    }


def rules_digest(rules: AnalyticsRules) -> str:
    """Short digest of the parameters (a label's value)."""
    values = rule_parameters(rules).items()
    text = " ".join(f"{name}={parameter.value}" for name, parameter in values)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def changed_keys(groups: Iterable[LoadGroup]) -> Mapping[str, str]:
    """What stands for `changed_users` and `changed_products`: keys of the staging tables."""
    tables: dict[str, str] = {}
    for table, key in ((LoadTable.USERS, "user_id"), (LoadTable.PRODUCTS, "product_id")):
        # Names only, of a known form: a group's id is checked, keys and tables are ours.
        selects = [
            f"SELECT {key} FROM {group.staging_table}"  # noqa: S608
            for group in groups
            if group.table is table
        ]
        keys = " UNION DISTINCT ".join(selects) or NO_KEYS[table]
        tables[f"changed_{table.value}"] = f"({keys})"
    return tables


def partial_statements(days: Iterable[date]) -> list[Statement]:
    """The statements that recompute all partials of some days."""
    return [
        statement(f"partials/{name}", literal_dates={"dates": piece})
        for piece in chunks(frozenset(days))
        for name in PARTIALS
    ]


def daily_statements(days: Iterable[date]) -> list[Statement]:
    """The statements that recompute daily_sales_summary for some days."""
    return [
        statement("rollups/daily_sales_summary", literal_dates={"dates": piece})
        for piece in chunks(frozenset(days))
    ]


def financial_statements(days: Iterable[date], rules: AnalyticsRules) -> list[Statement]:
    """The statements that recompute financial_reports for the periods of some days."""
    return [
        statement(
            "rollups/financial_reports",
            literal_dates={
                "dates": piece,
                "scan_dates": period_days(piece),
                "period_starts": period_starts(piece),
            },
            parameters=rule_parameters(rules),
        )
        for piece in chunks(frozenset(days))
    ]


def key_statements(
    days: Iterable[date],
    *,
    as_of: date | None,
    rules: AnalyticsRules,
    changed: Mapping[str, str],
) -> list[Statement]:
    """The statements that recompute user_analytics and product_performance."""
    return [
        statement(
            f"rollups/{name}",
            literal_dates={"dates": frozenset(days)},
            tables=changed,
            parameters={**rule_parameters(rules), "as_of": Scalar("DATE", as_of)},
        )
        for name in ("user_analytics", "product_performance")
    ]


class Rollups:
    """Runs the statements in order, as far as possible at the same time."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def refresh(
        self,
        groups: Sequence[LoadGroup],
        rules: AnalyticsRules,
        *,
        everything: bool,
        all_periods: bool,
        oldest: date,
    ) -> Refreshed:
        """Recompute what the groups touched; see `WarehouseSink.refresh`.

        Partials and daily summaries of days before `oldest` stay as they are: the facts and
        rejections that they come from have expired.
        """
        started = time.monotonic()
        touched = _dates(groups, LoadTable.TRANSACTIONS)
        if everything:
            touched |= await self._fact_dates() | await self._days(statement("queries/as_of"))
        touched = frozenset(day for day in touched if day >= oldest)
        await self._run_all(partial_statements(touched))
        days = await self._days(statement("queries/as_of"))
        as_of = max(days, default=None)
        changed = changed_keys(groups)
        of_changed = await self._changed_dates(groups, changed, days - touched)
        named = touched | _dates(groups, LoadTable.REJECTED_TRANSACTIONS) | of_changed
        summaries = frozenset(day for day in named if day >= oldest)
        reported = touched | of_changed | (days if all_periods else frozenset())
        await self._run_all(
            [
                *key_statements(touched, as_of=as_of, rules=rules, changed=changed),
                *daily_statements(summaries),
                *financial_statements(reported, rules),
            ]
        )
        return Refreshed(
            as_of=as_of,
            dates=len(touched),
            days=len(summaries),
            periods=period_count(reported),
            seconds=time.monotonic() - started,
        )

    async def _changed_dates(
        self, groups: Sequence[LoadGroup], changed: Mapping[str, str], others: frozenset[date]
    ) -> frozenset[date]:
        if not others or not any(
            group.table in {LoadTable.USERS, LoadTable.PRODUCTS} for group in groups
        ):
            return frozenset()
        return await self._days(statement("queries/changed_dates", tables=changed))

    async def _fact_dates(self) -> frozenset[date]:
        query = statement(
            "queries/daily_sums",
            parameters={"since": Scalar("DATE", date.min), "until": Scalar("DATE", date.max)},
        )
        return await self._days(query)

    async def _days(self, query: Statement) -> frozenset[date]:
        rows = await self._jobs.table(query)
        return frozenset(rows["transaction_date"].to_pylist())

    async def _run_all(self, statements: Sequence[Statement]) -> None:
        """Run statements of different tables at the same time, those of one table in turn."""
        by_table: dict[str, list[Statement]] = {}
        for one in statements:
            by_table.setdefault(one.subject, []).append(one)
        await together(
            {f"refresh {table}": self._run_queue(queue) for table, queue in by_table.items()}
        )

    async def _run_queue(self, queue: Sequence[Statement]) -> None:
        for one in queue:
            await self._jobs.run(one)


def _dates(groups: Iterable[LoadGroup], table: LoadTable) -> frozenset[date]:
    return frozenset(day for group in groups if group.table is table for day in group.dates)
