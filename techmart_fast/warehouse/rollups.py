"""Recomputes what merged groups touched: partials of their days, then the rollups.

What is recomputed:
  * partials: the days at which a transaction of a group stands or stood, and of the orders by key
    the buckets of the users and products whose orders changed;
  * daily_sales_summary: these days, the days of rejected records, and the days on which a changed
    product was sold (its name is shown);
  * partial_finances: the groups' days, and the days on which changed users or products had orders
    (tier, region, price); financial_reports: the periods of these days;
  * user_analytics, product_performance: the rows of touched users and products; all rows when
    `as_of` or the contract's parameters moved, but sums and preferences of touched ones only.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

from techmart_fast.contract.model import AnalyticsRules
from techmart_fast.together import both, together
from techmart_fast.warehouse.buckets import Touched
from techmart_fast.warehouse.groups import LoadGroup, LoadTable, Refreshed
from techmart_fast.warehouse.jobs import Jobs
from techmart_fast.warehouse.periods import chunks, period_count, period_days, period_starts
from techmart_fast.warehouse.statements import Scalar, Statement, statement

REFRESHES_LABEL = "refreshes"
"""Label of partial_orders: number of the last refresh that came to its end."""

RULES_LABEL = "rules"
"""Label of financial_reports: digest of the parameters that the rollups were computed with."""
UNFINISHED = "unfinished"
"""Value of both labels while their tables may hold figures of before and after."""

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


def partial_statements(
    days: Iterable[date], *, refreshed: int, again: bool = False
) -> list[Statement]:
    """The statements that recompute the partials of some days from the facts.

    `refreshed` is the number of the last refresh that came to its end. `again` takes every order of
    these days for a new one.
    """
    marks = {"refreshed": Scalar("INT64", refreshed), "again": Scalar("BOOL", again)}
    return [
        statement(f"partials/{name}", literals={"dates": piece}, parameters=marks)
        for piece in chunks(frozenset(days))
        for name in ("totals", "orders")
    ]


def touched_statements(
    days: Iterable[date], *, refreshed: int, changed: Mapping[str, str]
) -> list[Statement]:
    """The queries for the buckets that new orders on these days, and changed keys, touch."""
    return [
        statement(
            "queries/touched",
            literals={"dates": piece},
            tables=changed,
            parameters={"refreshed": Scalar("INT64", refreshed)},
        )
        for piece in list(chunks(frozenset(days))) or [()]
    ]


def order_statements(days: Iterable[date], *, refreshed: int, touched: Touched) -> list[Statement]:
    """The statements that bring new orders of some days to where they are by day and by key."""
    return [
        statement(
            f"partials/{name}",
            literals={
                "dates": piece,
                "user_buckets": touched.users,
                "product_buckets": touched.products,
            },
            parameters={"refreshed": Scalar("INT64", refreshed)},
        )
        for piece in chunks(frozenset(days))
        for name in ("users", "products", "orders_by_user", "orders_by_product")
    ]


def daily_statements(days: Iterable[date]) -> list[Statement]:
    """The statements that recompute daily_sales_summary for some days."""
    return [
        statement("rollups/daily_sales_summary", literals={"dates": piece})
        for piece in chunks(frozenset(days))
    ]


def finance_statements(days: Iterable[date]) -> list[Statement]:
    """The statements that recompute the partials of some days that financial reports add up."""
    return [
        statement("partials/finances", literals={"dates": piece})
        for piece in chunks(frozenset(days))
    ]


def financial_statements(days: Iterable[date], rules: AnalyticsRules) -> list[Statement]:
    """The statements that recompute financial_reports for the periods of some days."""
    return [
        statement(
            "rollups/financial_reports",
            literals={
                "dates": piece,
                "scan_dates": period_days(piece),
                "period_starts": period_starts(piece),
            },
            parameters=rule_parameters(rules),
        )
        for piece in chunks(frozenset(days))
    ]


def basis_of(as_of: date | None, rules: AnalyticsRules) -> str:
    """What rows of users and products are computed with, as it is stored with them."""
    return f"{as_of} {rules_digest(rules)}"


def window_days(as_of: date | None, rules: AnalyticsRules) -> Sequence[date]:
    """The days that figures of product_performance look back to, from `as_of`."""
    if as_of is None:
        return ()
    length = max(365, 2 * rules.trend_days)
    first = max(as_of.toordinal() - length + 1, 1)
    return [date.fromordinal(number) for number in range(first, as_of.toordinal() + 1)]


def key_statements(
    days: Iterable[date],
    *,
    as_of: date | None,
    rules: AnalyticsRules,
    changed: Mapping[str, str],
    touched: Touched,
    refreshed: int,
    moved: bool,
) -> list[Statement]:
    """The statements that recompute user_analytics and product_performance.

    `moved`: there are rows that were computed with another `as_of` or other `rules`.
    """
    return [
        statement(
            f"rollups/{name}",
            literals={
                "dates": frozenset(days),
                "user_buckets": touched.users | touched.changed_users,
                "product_buckets": touched.products | touched.changed_products,
                "changed_product_buckets": touched.changed_products,
                "window_dates": window_days(as_of, rules) if moved else (),
            },
            tables=changed,
            parameters={
                **rule_parameters(rules),
                "as_of": Scalar("DATE", as_of),
                "basis": Scalar("STRING", basis_of(as_of, rules)),
                "refreshed": Scalar("INT64", refreshed),
            },
        )
        for name in ("user_analytics", "product_performance")
    ]


def changed_statement(name: str, *, changed: Mapping[str, str], touched: Touched) -> Statement:
    """A query for what changed users or products reach: `buyers` or `changed_dates`."""
    return statement(
        f"queries/{name}",
        literals={
            "changed_user_buckets": touched.changed_users,
            "changed_product_buckets": touched.changed_products,
        },
        tables=changed,
    )


class Rollups:
    """Runs the statements in order, as far as possible at the same time."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def refresh(
        self,
        groups: Sequence[LoadGroup],
        rules: AnalyticsRules,
        *,
        refreshed: int,
        everything: bool,
        all_periods: bool,
        oldest: date,
    ) -> Refreshed:
        """Recompute what the groups touched; see `WarehouseSink.refresh`.

        `refreshed` is the number of the last refresh that came to its end; this one is the next.
        Partials and daily summaries of days before `oldest` stay as they are: the facts and
        rejections that they come from have expired.
        """
        started = time.monotonic()
        own = _dates(groups, LoadTable.TRANSACTIONS)
        if everything:
            own |= await self._fact_dates() | await self._days(statement("queries/as_of"))
        expired = frozenset(day for day in own if day < oldest)
        own -= expired
        await self._run_all(partial_statements(own, refreshed=refreshed, again=everything))
        days = await self._days(statement("queries/as_of"))
        as_of = max(days, default=None)
        changed = changed_keys(groups)
        # Days whose facts have expired are still there in the partial of orders.
        marked = own | days if everything else own
        touched = await self._touched(
            marked, refreshed, changed, has_changed=_has_dimension(groups)
        )
        await self._run_all(order_statements(marked, refreshed=refreshed, touched=touched))
        of_changed = frozenset[date]()
        if touched.changed_users or touched.changed_products:
            touched, of_changed = await both(
                ("find the buyers", "find the days of changed keys"),
                self._with_buyers(touched, changed),
                self._days(changed_statement("changed_dates", changed=changed, touched=touched)),
            )
        named = marked | _dates(groups, LoadTable.REJECTED_TRANSACTIONS) | of_changed
        summaries = frozenset(day for day in named if day >= oldest)
        reported = marked | of_changed | (days if all_periods else frozenset())
        await self._run_all(
            [
                *key_statements(
                    marked,
                    as_of=as_of,
                    rules=rules,
                    changed=changed,
                    touched=touched,
                    refreshed=refreshed,
                    moved=await self._has_moved(basis_of(as_of, rules)),
                ),
                *daily_statements(summaries),
            ],
            [*finance_statements(marked | of_changed), *financial_statements(reported, rules)],
        )
        return Refreshed(
            as_of=as_of,
            dates=len(marked),
            days=len(summaries),
            periods=period_count(reported),
            seconds=time.monotonic() - started,
            expired=len(expired),
        )

    async def _touched(
        self,
        days: frozenset[date],
        refreshed: int,
        changed: Mapping[str, str],
        *,
        has_changed: bool,
    ) -> Touched:
        if not days and not has_changed:
            return Touched()
        found: dict[str, set[int]] = {}
        for query in touched_statements(days, refreshed=refreshed, changed=changed):
            for row in (await self._jobs.table(query)).to_pylist():
                found.setdefault(row["kind"], set()).add(row["bucket"])
        return Touched(
            users=frozenset(found.get("user", ())),
            products=frozenset(found.get("product", ())),
            changed_users=frozenset(found.get("changed_user", ())),
            changed_products=frozenset(found.get("changed_product", ())),
        )

    async def _with_buyers(self, touched: Touched, changed: Mapping[str, str]) -> Touched:
        """The same, with those who ordered changed products: a category of theirs may be new."""
        if not touched.changed_products:
            return touched
        query = changed_statement("buyers", changed=changed, touched=touched)
        buyers = (await self._jobs.table(query))["bucket"].to_pylist()
        return replace(touched, users=touched.users | frozenset(buyers))

    async def _has_moved(self, basis: str) -> bool:
        rows = await self._jobs.table(statement("queries/bases"))
        return bool(set(rows["basis"].to_pylist()) - {basis})

    async def _fact_dates(self) -> frozenset[date]:
        query = statement(
            "queries/daily_sums",
            parameters={"since": Scalar("DATE", date.min), "until": Scalar("DATE", date.max)},
        )
        return await self._days(query)

    async def _days(self, query: Statement) -> frozenset[date]:
        rows = await self._jobs.table(query)
        return frozenset(rows["transaction_date"].to_pylist())

    async def _run_all(
        self, statements: Sequence[Statement], in_turn: Sequence[Statement] = ()
    ) -> None:
        """Run statements of different tables at the same time, those of one table in turn.

        So are all of `in_turn`, beside the others: each may read what the one before it wrote.
        """
        queues: dict[str, list[Statement]] = {}
        for one in statements:
            queues.setdefault(f"refresh {one.subject}", []).append(one)
        if in_turn:
            queues[f"refresh {in_turn[-1].subject}"] = [*in_turn]
        await together({name: self._run_queue(queue) for name, queue in queues.items()})

    async def _run_queue(self, queue: Sequence[Statement]) -> None:
        for one in queue:
            await self._jobs.run(one)


def _has_dimension(groups: Iterable[LoadGroup]) -> bool:
    return any(group.table in {LoadTable.USERS, LoadTable.PRODUCTS} for group in groups)


def _dates(groups: Iterable[LoadGroup], table: LoadTable) -> frozenset[date]:
    return frozenset(day for group in groups if group.table is table for day in group.dates)
