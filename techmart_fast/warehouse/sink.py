"""The warehouse as the pipeline sees it: an async resource with one method per step."""

import importlib
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import Self, cast
from uuid import uuid4

import pyarrow as pa

from techmart_fast.contract.model import AnalyticsRules
from techmart_fast.errors import WarehouseAccessError, WarehouseError, WrongWarehouseError
from techmart_fast.fingerprints import Part
from techmart_fast.together import both, together
from techmart_fast.warehouse.buckets import Touched
from techmart_fast.warehouse.clock import Clock, SystemClock
from techmart_fast.warehouse.estimate import Estimates, QueryEstimate
from techmart_fast.warehouse.faults import service_error
from techmart_fast.warehouse.fingerprints import WarehouseFingerprints
from techmart_fast.warehouse.groups import (
    Ensured,
    JobCost,
    LoadedPart,
    LoadGroup,
    LoadPart,
    LoadTable,
    MergedGroup,
    Owner,
    Refreshed,
)
from techmart_fast.warehouse.jobs import Confirm, Jobs
from techmart_fast.warehouse.periods import MAX_PARTITIONS, chunks
from techmart_fast.warehouse.repairs import forget_statements, replace_statements
from techmart_fast.warehouse.reports import ReportKind, report_statement, typed_report
from techmart_fast.warehouse.rollups import (
    REFRESHES_LABEL,
    RULES_LABEL,
    UNFINISHED,
    Rollups,
    rules_digest,
)
from techmart_fast.warehouse.runs import MetricRow, RunRow, run_statements
from techmart_fast.warehouse.schema import (
    APP,
    APP_LABEL,
    DATABASE_LABEL,
    EXPIRY_LABEL,
    VERSION_LABEL,
    Relation,
    declared,
)
from techmart_fast.warehouse.service import Connect, Service
from techmart_fast.warehouse.staging import Staging
from techmart_fast.warehouse.statements import Scalar, Statement, statement
from techmart_fast.warehouse.target import WarehouseTarget

_FINANCIALS = "financial_reports"
_ORDERS = "partial_orders"
_OWNED = "users"


def connect_google(target: WarehouseTarget) -> Service:
    """Build the official client. Importing it takes half a second, so this runs in a thread."""
    module = importlib.import_module("techmart_fast.warehouse.client")
    return cast("Service", module.connect(target))


class WarehouseSink:
    """BigQuery (or the stand-in) behind its official client.

    An async context manager: entering starts a bounded thread pool of its own and imports and
    builds the client there (0.6 s; it overlaps with whatever the caller does meanwhile); nothing is
    sent until the first call. Leaving waits for the requests under way, each bounded by
    `request_timeout_seconds`. Every method may be called concurrently and repeated after any
    failure; a cancelled call cancels its job in the warehouse.

    Every method raises:
        WarehouseAccessError: credentials, project, dataset or a permission (the role is named).
        WarehouseError: anything else; `transient` says whether the same call may succeed later.
    """

    def __init__(
        self,
        target: WarehouseTarget,
        *,
        threads: int = 6,
        connect: Connect = connect_google,
        clock: Clock | None = None,
    ) -> None:
        """Remember where the warehouse is. `connect` and `clock` are there to be replaced.

        `threads` bounds the requests at one time; the client keeps ten connections open.
        """
        self._target = target
        self._jobs = Jobs(target, threads=threads, connect=connect, clock=clock or SystemClock())
        self._staging = Staging(self._jobs, has_bucket=target.staging_bucket is not None)
        self._rollups = Rollups(self._jobs)
        self._labels: Mapping[str, Mapping[str, str]] = {}
        self._is_new = False

    def __repr__(self) -> str:
        return f"<WarehouseSink {self._target.project}.{self._target.dataset}>"

    async def __aenter__(self) -> Self:
        self._jobs.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._jobs.stop()

    def fenced(self, confirm: Confirm) -> AbstractContextManager[None]:
        """Within, `confirm` is awaited right before whatever changes the warehouse is sent.

        It raises when the caller's time is over: a run that was paused and replaced.
        """
        return self._jobs.fenced(confirm)

    @property
    def cost(self) -> JobCost:
        """What all jobs of this sink took so far."""
        return self._jobs.cost

    @property
    def fingerprints(self) -> WarehouseFingerprints:
        """What the warehouse's rows come to, for comparing them with PostgreSQL's."""
        return WarehouseFingerprints(self._jobs)

    @property
    def oldest_day(self) -> date:
        """The oldest day whose facts are there for sure; `date.min` where they never expire."""
        days = self._target.partition_expiration_days
        return date.min if days is None else datetime.now(UTC).date() - timedelta(days=days - 1)

    async def ensure(self, owner: Owner | None = None, *, anew: bool = False) -> Ensured:
        """Make the dataset, tables and views that are missing; bring older tables up to date.

        A dataset belongs to the first `owner` that comes, and is nobody else's then. `anew`: it
        will be filled anew, so that it does not matter which of the owner's rows it lacks.

        Two requests, sent together, when nothing is missing. They are also the probe: an endpoint
        that does not answer is an error at once, not after the client's ten minutes of retries.

        Raises:
            WrongWarehouseError: the dataset belongs to another database, or it is empty, or a table
                of loaded rows is missing, although rows of the owner were published: they are in
                another dataset, or were deleted. Nothing was made.
        """
        found = await self._look()
        if owner is not None:
            await self._check_owner(owner, found or {}, anew=anew)
        if found is None:
            await self._jobs.call(lambda service: service.create_dataset())
            found = {}
        self._labels = found
        self._is_new = LoadTable.TRANSACTIONS not in found
        created = [one for name, one in declared().items() if name not in found]
        older = [
            one
            for name, one in declared().items()
            if name in found and _version(found[name]) < one.version
        ]
        if _ORDERS in found and any(not one.is_view for one in created):
            # What is computed is computed again, even if this run ends before it comes to that.
            await self._set_label(_ORDERS, REFRESHES_LABEL, UNFINISHED)
        changed = [*created, *older]
        for views in (False, True):  # a view needs its tables
            await together(
                {
                    f"bring {one.name}": self._bring(one, missing=one in created)
                    for one in changed
                    if one.is_view is views
                }
            )
        await together({f"expire {one.name}": self._expire(one) for one in _facts()})
        if owner is not None and DATABASE_LABEL not in found.get(_OWNED, {}):
            await self._jobs.call(
                lambda service: service.set_label(_OWNED, DATABASE_LABEL, owner.database_id.hex)
            )
        return Ensured(
            created=tuple(one.name for one in created), migrated=tuple(one.name for one in older)
        )

    async def probe(self) -> bool:
        """Whether the dataset is there; makes and changes nothing, and costs nothing.

        It also asks whether queries may be run, by a dry run.
        """
        found = await self._look()
        await self._jobs.call(lambda service: service.dry_run(statement("queries/probe")))
        return found is not None

    async def present(self, owner: Owner) -> frozenset[str]:
        """Names of the tables and views that are there; makes and changes nothing.

        Raises:
            WrongWarehouseError: the dataset is not the owner's, as `ensure` says.
        """
        found = await self._look() or {}
        await self._check_owner(owner, found)
        return frozenset(found)

    async def try_bucket(self) -> str | None:
        """Put an object into the staging bucket and delete it; its name, None without a bucket."""
        bucket = self._target.staging_bucket
        if bucket is not None:
            name = f"techmart/try/{uuid4().hex}"
            await self._jobs.call(lambda service: service.put_object(name, b"techmart"))
            await self._jobs.call(lambda service: service.delete_objects([name]))
        return bucket

    async def load(self, part: LoadPart) -> LoadedPart:
        """Append a part's rows to its group's staging table, by one load job.

        A part that was loaded before is found by its job id and verified, not loaded again. Parts
        of one group may be loaded at the same time.

        Raises:
            SpoolError: a member is gone or is not what was written.
            WarehouseError: with reason `jobFailed`: this attempt's job failed for good; store the
                group with the next `attempt` and load all its parts again.
        """
        return await self._staging.load(part)

    async def pause(self, attempt: int) -> None:
        """Wait before a group is loaded again after a passing error: 4 s, then 16 s, and so on.

        `attempt` counts the failed ones, from 1.
        """
        await self._jobs.pause(attempt)

    async def merge(self, group: LoadGroup) -> MergedGroup:
        """Merge a sealed group: newest position per id, written only if newer than what is there.

        Raises:
            WarehouseError: with reason `stagingRows`: the staging table does not hold exactly the
                group's rows (expired, or not all parts loaded); go on with the next `attempt`.
        """
        started = time.monotonic()
        await self._staging.check(group)
        written = 0
        for merging in merge_statements(group):
            written += (await self._jobs.run(merging)).rows
        return MergedGroup(
            group_id=group.group_id,
            table=group.table,
            rows=group.rows,
            written=written,
            seconds=time.monotonic() - started,
        )

    async def refresh(
        self, groups: Sequence[LoadGroup], rules: AnalyticsRules, *, everything: bool = False
    ) -> Refreshed:
        """Recompute partials and rollups touched by merged groups (their staging tables are read).

        Pass all merged groups of a run at once, and their dimensions' groups with them. Without
        groups nothing is sent, unless the contract's analytics parameters are others than those of
        the last refresh: then all periods, users and products are recomputed. `everything` also
        recomputes the partials of all days; so does a refresh after tables that are computed were
        missing.
        """
        digest = rules_digest(rules)
        other_rules = self._label(_FINANCIALS, RULES_LABEL) != digest
        incomplete = not self._is_new and self._refreshes() is None
        if not groups and not everything and not other_rules and not incomplete:
            return Refreshed(as_of=None, dates=0, days=0, periods=0, seconds=0.0)
        everything = everything or incomplete
        if other_rules:
            # A refresh that ends in the middle leaves figures of both: the next one must know.
            await self._set_label(_FINANCIALS, RULES_LABEL, UNFINISHED)
        number = self._refreshes() or 0
        refreshed = await self._rollups.refresh(
            groups,
            rules,
            refreshed=number,
            everything=everything,
            all_periods=everything or other_rules,
            oldest=self.oldest_day,
        )
        await self._set_label(_ORDERS, REFRESHES_LABEL, str(number + 1))
        if other_rules:
            await self._set_label(_FINANCIALS, RULES_LABEL, digest)
        return refreshed

    async def estimate(
        self,
        tables: Collection[LoadTable],
        days: Collection[date],
        touched: Touched,
        rules: AnalyticsRules,
    ) -> tuple[QueryEstimate, ...]:
        """What the queries of a run would read of what is there now, by dry runs.

        `tables` are those that get new rows, `days` those of new transactions, `touched` the
        buckets of the new rows' keys. Nothing is made, changed or billed; a dataset that is not
        there yet is read as empty.
        """
        present = await self._look()
        return await Estimates(self._jobs, present or {}).of_run(tables, days, touched, rules)

    async def replace(self, group: LoadGroup, parts: Collection[Part]) -> int:
        """Replace days or buckets of a table by a group's rows of them; returns rows changed.

        Whatever is there goes, newer or not: hold the lease, and have nothing else to publish.

        Raises:
            WarehouseError: with reason `stagingRows`, as `merge`.
        """
        await self._staging.check(group)
        changed = 0
        for replacing in replace_statements(group, parts):
            changed += (await self._jobs.run(replacing)).rows
        return changed

    async def forget(self, tables: Collection[LoadTable]) -> None:
        """Take users and products out of the rollups that a repair of `tables` took out there."""
        await together({one.name: self._jobs.run(one) for one in forget_statements(tables)})

    async def abandon(self, staging_tables: Collection[str]) -> None:
        """See to it that repairs of another run change nothing any more.

        What one has replaced may be missing in what is computed: the next refresh computes all.
        """
        if staging_tables:
            await self.shut_out(staging_tables)
            await self._set_label(_ORDERS, REFRESHES_LABEL, UNFINISHED)

    async def shut_out(self, staging_tables: Collection[str]) -> None:
        """Drop staging tables: jobs of another run that read them change nothing any more.

        However late they come to it, as a table of that name is empty from now on.
        """

        async def drop(table: str) -> None:
            await self._jobs.change(lambda service: service.drop_table(table))

        await together({f"drop {table}": drop(table) for table in staging_tables})

    async def discard(self, groups: Sequence[LoadGroup]) -> None:
        """Drop the staging tables of published groups. One that stays expires by itself."""

        async def drop(group: LoadGroup) -> None:
            with suppress(WarehouseError):
                await self._staging.drop(group)

        await together({f"drop {one.staging_table}": drop(one) for one in groups})

    async def record_run(self, run: RunRow, metrics: Sequence[MetricRow]) -> None:
        """Write a run and its quality metrics, replacing what was written of the same run."""
        statements = run_statements(run, metrics)
        await together({one.name: self._jobs.run(one) for one in statements})

    async def report(
        self,
        kind: ReportKind,
        *,
        limit: int | None = None,
        since: date | None = None,
        until: date | None = None,
        report_type: str | None = None,
    ) -> pa.Table:
        """A standard report with the domain's columns, in their order.

        `since` and `until` (inclusive) bound the day of `daily-sales` and the period's start of
        `financials`; `report_type` picks one length of period. `daily-sales` and `financials` come
        in order of time (with `limit`: the newest), `users` by total_spent, `products` by
        total_revenue, highest first, ties by id. Types are the declared ones (money: decimal128).
        """
        query = report_statement(
            kind, limit=limit, since=since, until=until, report_type=report_type
        )
        return typed_report(kind, await self._jobs.table(query))

    async def daily_sums(self, *, since: date | None = None, until: date | None = None) -> pa.Table:
        """Rows and Σ amount_usd of the facts by day, from the facts themselves.

        Columns `transaction_date`, `transactions` (int64), `amount_usd` (decimal128), by day.
        """
        return await self._jobs.table(
            statement(
                "queries/daily_sums",
                parameters={
                    "since": Scalar("DATE", since or date.min),
                    "until": Scalar("DATE", until or date.max),
                },
            )
        )

    async def _look(self) -> Mapping[str, Mapping[str, str]] | None:
        """Labels of what is there by name, None without the dataset; refuses what can't be ours."""
        found, place = await both(
            ("list the tables", "look at the dataset"),
            self._jobs.call(lambda service: service.tables()),
            self._jobs.call(lambda service: service.place()),
        )
        if place is not None and place.location.lower() != self._target.location.lower():
            raise WarehouseAccessError(
                f"The dataset {self._target.dataset} is in {place.location}, not in "
                f"{self._target.location}.",
                hint=f"Set BIGQUERY_LOCATION={place.location}.",
                reason="notFound",
            )
        if place is not None and place.tables_expire:
            self._check_lasts(found or {})
        for name in declared():
            if found and name in found and found[name].get(APP_LABEL) != APP:
                raise WarehouseError(
                    f"The dataset {self._target.dataset} has a {name} that this project did not "
                    f"make (it has no label {APP_LABEL}={APP}).",
                    hint="Set BIGQUERY_DATASET_ID to a dataset of its own; it is created when "
                    "absent.",
                    reason="invalid",
                )
        return found

    def _check_lasts(self, found: Mapping[str, object]) -> None:
        if declared().keys() <= found.keys():
            return
        raise WarehouseError(
            f"Tables that are made in the dataset {self._target.dataset} expire after a while (a "
            "default of the dataset), and what was loaded with them.",
            hint="Turn that off: bq update --default_table_expiration 0 "
            f"--default_partition_expiration 0 {self._target.project}:{self._target.dataset} "
            "(a project without billing can't).",
            reason="invalid",
        )

    async def _check_owner(
        self, owner: Owner, found: Mapping[str, Mapping[str, str]], *, anew: bool = False
    ) -> None:
        where = f"{self._target.project}.{self._target.dataset}"
        labelled = found.get(_OWNED, {}).get(DATABASE_LABEL)
        if labelled not in (None, owner.database_id.hex):
            raise WrongWarehouseError(
                f"The dataset {where} holds the rows of another PostgreSQL database.",
                hint="Set BIGQUERY_DATASET_ID to a dataset for this database alone, or POSTGRES_* "
                "to the database that the dataset belongs to. If that database is gone for good, "
                f"remove the label {DATABASE_LABEL!r} of the table {_OWNED}: the dataset is then "
                "this database's.",
            )
        if anew:
            return
        if labelled is None and owner.has_published and not await self._holds_rows():
            raise WrongWarehouseError(
                f"The dataset {where} is empty, but rows of this PostgreSQL database were "
                "published: they are in another dataset, or were deleted.",
                hint="Set BIGQUERY_PROJECT_ID and BIGQUERY_DATASET_ID to where they are, or fill "
                "this dataset from PostgreSQL: techmart-fast sync --republish --all.",
            )

        lost = [table.value for table in LoadTable if table not in found]
        if lost and (labelled is not None or owner.has_published):
            raise WrongWarehouseError(
                f"The dataset {where} has no table {', '.join(lost)} any more, whose rows were "
                "published.",
                hint="Bring it back as it was, within the dataset's time travel window "
                f"(`bq cp DATASET.{lost[0]}@-3600000 DATASET.{lost[0]}` for an hour ago), or fill "
                "it from PostgreSQL: techmart-fast sync --republish --all.",
            )

    async def _holds_rows(self) -> bool:
        async def rows(table: LoadTable) -> int:
            return await self._jobs.call(lambda service: service.row_count(table)) or 0

        return any([await rows(table) for table in LoadTable])

    async def _bring(self, relation: Relation, *, missing: bool) -> None:
        if missing or relation.is_view:
            await self._define(relation, relation.create(self._target.dataset))
            return
        present = await self._jobs.call(lambda service: service.column_names(relation.name))
        try:
            steps = list(relation.migrate(present))
        except ValueError as error:
            raise service_error(
                reason="invalid",
                message=f"{error}; the table is not one of this project",
                doing=f"migrate {relation.name}",
            ) from None
        for step in steps:
            await self._define(relation, step)
        await self._jobs.call(
            lambda service: service.set_label(relation.name, VERSION_LABEL, str(relation.version))
        )

    def _label(self, table: str, name: str) -> str | None:
        return self._labels.get(table, {}).get(name)

    def _refreshes(self) -> int | None:
        """How many refreshes came to their end; None where what is computed is not complete."""
        number = self._label(_ORDERS, REFRESHES_LABEL)
        return None if number in (None, UNFINISHED) else int(number)

    async def _set_label(self, table: str, name: str, value: str) -> None:
        await self._jobs.change(lambda service: service.set_label(table, name, value))
        labels = {**self._labels.get(table, {}), name: value}
        self._labels = {**self._labels, table: labels}

    async def _expire(self, relation: Relation) -> None:
        days = self._target.partition_expiration_days
        wanted = "" if days is None else str(days)
        if self._labels.get(relation.name, {}).get(EXPIRY_LABEL, "") != wanted:
            await self._define(relation, relation.expire(days))
            await self._jobs.call(
                lambda service: service.set_label(relation.name, EXPIRY_LABEL, wanted)
            )

    async def _define(self, relation: Relation, sql: str) -> None:
        await self._jobs.run(Statement(name=f"ddl/{relation.name}", sql=sql))


def _version(labels: Mapping[str, str]) -> int:
    """The version that a table says it has; 0 if it says none, or somebody changed the label."""
    label = labels.get(VERSION_LABEL, "")
    return int(label) if label.isdecimal() else 0


def _facts() -> list[Relation]:
    return [one for one in declared().values() if one.requires_partition_filter]


def merge_statements(group: LoadGroup) -> list[Statement]:
    """The MERGE of a group: one statement, unless it spans too many partitions for one job."""
    dates = group.dates
    pieces: list[Sequence[date] | None] = [None]
    if len(dates) > MAX_PARTITIONS:
        pieces = list(chunks(dates))
    return [
        statement(
            f"merge/{group.table.value}",
            literals={"dates": dates, "new_dates": piece},
            tables={f"staging_{group.table.value}": group.staging_table},
        )
        for piece in pieces
    ]
