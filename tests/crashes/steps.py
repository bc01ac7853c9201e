"""The named steps of the protocol: at each of them a run is killed, and one is stopped.

A step is a call of the loader that is a step of the protocol, and the moment just before or just
after it. The victim's process wraps these calls; the loader itself knows nothing of it.
"""

import importlib
import inspect
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from techmart_fast.postgres.indexes import BUILDING, PUTTING_OFF

Call = Callable[..., Any]
BEFORE, AFTER = "before", "after"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its sentence says what is, and what is not, when a run dies there.

    `where` is `module:attribute` below `techmart_fast`. `chosen` tells which of its calls are
    meant, by their arguments. `needs`: the target or source that brings a run there. `once`: a
    rerun does not come there any more, as the killed run had that done.
    """

    name: str
    sentence: str
    moment: str
    where: str
    chosen: Call | None = None
    needs: str = ""
    once: bool = False


def _statement(name: str) -> Call:
    """Calls that run or submit the statement of this name."""
    return lambda _self, statement, *_, **__: statement.name == name


def _commit(_self: object, sql: str, *, doing: str) -> bool:
    return sql == "COMMIT" and doing == "committing a batch"


def _commit_of(index: str) -> Call:
    """The COMMIT of what is done about the index."""
    return lambda _self, sql, *, doing: (sql, doing) == ("COMMIT", index)


def _partial(path: Any, *_: object) -> bool:
    return str(path).endswith(".partial")


def _spooled(path: Any, *_: object, **__: object) -> bool:
    return str(path).endswith(".parquet")


_SINK, _WAREHOUSE = "postgres.sink:PostgresSink", "warehouse.sink:WarehouseSink"
_FRAME, _JOBS = "postgres.frame:Frame", "warehouse.jobs:Jobs"
_CLIENT = "warehouse.client:GoogleService"

STEPS = (
    # --- opening -----------------------------------------------------------------------------
    Step(
        "schema made",
        "PostgreSQL has its tables, the warehouse was not looked at.",
        AFTER,
        f"{_SINK}.migrate",
    ),
    Step(
        "dataset made",
        "The dataset is there, none of its tables is.",
        AFTER,
        f"{_CLIENT}.create_dataset",
        needs="empty",
        once=True,
    ),
    Step(
        "tables half made",
        "Some of the warehouse's tables are there.",
        AFTER,
        f"{_WAREHOUSE}._bring",
        needs="empty",
    ),
    Step(
        "lease not taken",
        "Both sinks are ready, the run is not known.",
        BEFORE,
        f"{_SINK}.start_run",
    ),
    Step(
        "lease taken",
        "The run holds the lease; its row says that it runs.",
        AFTER,
        f"{_SINK}.start_run",
    ),
    Step(
        "spool folder made",
        "The run's folder in the spool is there, and empty.",
        AFTER,
        "pipeline.following:make_run_folder",
    ),
    Step(
        "leftovers looked up",
        "What earlier runs left in the spool is known, and still there.",
        AFTER,
        f"{_SINK}.owed_files",
    ),
    # --- files and API -----------------------------------------------------------------------
    Step(
        "files not registered",
        "The feed's files have no ordinals.",
        BEFORE,
        f"{_SINK}.register_files",
    ),
    Step(
        "files registered",
        "The feed's files have ordinals, and nothing of them is loaded.",
        AFTER,
        f"{_SINK}.register_files",
    ),
    Step(
        "page fetched",
        "One page of the API is on disk.",
        AFTER,
        "sources.api.fetch_folder:FetchFolder.add",
        needs="api",
    ),
    Step(
        "capture kept",
        "All that the API has is in a file, which is noted as waiting.",
        AFTER,
        "sources.api.captures:Captures.keep",
        needs="api",
        once=True,
    ),
    Step(
        "checkpoint not stored",
        "All rows of the API are committed, how far it was read is not stored.",
        BEFORE,
        f"{_SINK}.store_api_checkpoint",
        needs="api",
    ),
    Step(
        "checkpoint stored",
        "How far the API was read is stored, its file is still noted as waiting.",
        AFTER,
        f"{_SINK}.store_api_checkpoint",
        needs="api",
    ),
    Step(
        "capture dropped",
        "The API's file is gone.",
        AFTER,
        "pipeline.fetching:forget",
        needs="api",
    ),
    # --- one batch, one transaction ----------------------------------------------------------
    Step(
        "batch begun",
        "A transaction is open, the batch is not claimed.",
        BEFORE,
        f"{_FRAME}.claim",
    ),
    Step(
        "batch claimed",
        "The transaction holds the lease's row and the batch's id.",
        AFTER,
        f"{_FRAME}.claim",
    ),
    Step(
        "parents locked",
        "The transaction holds the batch's users and products.",
        AFTER,
        "postgres.load:lock_parents",
    ),
    Step(
        "rows staged",
        "The records are in the staging table, and judged; no table is changed.",
        AFTER,
        "postgres.load:make_plan",
    ),
    Step(
        "rows copied",
        "New rows are copied in; corrections, held rows and quarantine are not.",
        AFTER,
        "postgres.load:_Writer._copy",
    ),
    Step(
        "rows written",
        "All rows, held rows and the quarantine are written, uncommitted.",
        AFTER,
        "postgres.load:_Writer.write",
    ),
    Step(
        "spool file under another name",
        "The batch's Parquet is on disk under a temporary name.",
        BEFORE,
        "warehouse.spool:Path.replace",
        _partial,
    ),
    Step(
        "spool file renamed",
        "The batch's Parquet has its name, which is not synced.",
        AFTER,
        "warehouse.spool:Path.replace",
        _partial,
    ),
    Step(
        "spool file durable",
        "The batch's Parquet is durable, the transaction does not name it yet.",
        AFTER,
        "warehouse.spool:_write_durably",
    ),
    Step(
        "outbox written",
        "The transaction owes the file to the warehouse.",
        AFTER,
        f"{_FRAME}.owe",
    ),
    Step(
        "batch closed",
        "Counts, lineage and audit are written, the checkpoint is not.",
        AFTER,
        f"{_FRAME}.close",
    ),
    Step(
        "batch not committed",
        "All of the batch is written, COMMIT is not sent.",
        BEFORE,
        "postgres.session:Session.script",
        _commit,
    ),
    Step(
        "batch committed",
        "COMMIT was answered, and nobody has counted the batch.",
        AFTER,
        "postgres.session:Session.script",
        _commit,
    ),
    Step(
        "batch counted",
        "The run knows that the batch is committed, the warehouse's side does not.",
        AFTER,
        f"{_SINK}.write",
    ),
    Step(
        "rejections of a known batch written",
        "A batch that was committed before wrote its rejections to the spool once more.",
        BEFORE,
        "pipeline.load:FeedLoad._count",
        lambda _self, share, outcome: outcome.skipped and share.write.rejected_file is not None,
        needs="again",
    ),
    # --- catalogue and held rows -------------------------------------------------------------
    Step(
        "catalogue loaded",
        "All products of the catalogue are in; those that it does not name are still active.",
        BEFORE,
        f"{_SINK}.deactivate_products",
    ),
    Step(
        "products deactivated",
        "Products are inactive in an open transaction, and their file is durable.",
        AFTER,
        "postgres.catalogue:spool_rows",
        needs="live",
    ),
    Step(
        "catalogue known",
        "Which products are sold is committed.",
        AFTER,
        f"{_SINK}.deactivate_products",
    ),
    Step(
        "held rows not released",
        "The parents of held rows are committed, the rows are still held.",
        BEFORE,
        f"{_SINK}.release_held",
    ),
    Step(
        "held rows released",
        "Held rows are in their table, in an open transaction, and their file is durable.",
        AFTER,
        "postgres.release:spool_rows",
        needs="live",
    ),
    Step(
        "release committed",
        "Held rows are in their table, committed.",
        AFTER,
        f"{_SINK}.release_held",
        needs="live",
        once=True,
    ),
    # --- index of a first load ---------------------------------------------------------------
    Step(
        "index not put off",
        "That the index of users is owed is written, and it is dropped, uncommitted.",
        BEFORE,
        "postgres.session:Session.script",
        _commit_of(PUTTING_OFF),
        needs="empty",
    ),
    Step(
        "index put off",
        "The index of users is gone and owed; no transaction is loaded.",
        AFTER,
        "postgres.session:Session.script",
        _commit_of(PUTTING_OFF),
        needs="empty",
        once=True,
    ),
    Step(
        "index owed",
        "All rows are committed, their index is not begun.",
        BEFORE,
        f"{_SINK}.build_index",
        needs="empty",
    ),
    Step(
        "index not committed",
        "The index is built, and not owed any more, uncommitted.",
        BEFORE,
        "postgres.session:Session.script",
        _commit_of(BUILDING),
        needs="empty",
    ),
    Step(
        "index built",
        "The index is there; the warehouse may be at any of its steps.",
        AFTER,
        "postgres.session:Session.script",
        _commit_of(BUILDING),
        needs="empty",
        once=True,
    ),
    # --- load groups and jobs ----------------------------------------------------------------
    Step(
        "groups taken over",
        "The groups that an earlier run left are known, and nothing is done about them.",
        AFTER,
        f"{_SINK}.open_groups",
    ),
    Step(
        "group not stored",
        "Outbox entries were chosen for a load job, and are not bound.",
        BEFORE,
        f"{_SINK}.store_group",
    ),
    Step(
        "group stored",
        "Entries are bound into a group, which has no job.",
        AFTER,
        f"{_SINK}.store_group",
    ),
    Step(
        "job id stored",
        "The group has the id of a job that was not submitted.",
        AFTER,
        f"{_SINK}.store_attempt",
    ),
    Step(
        "staging table made",
        "The staging table is there, and empty.",
        AFTER,
        f"{_CLIENT}.create_staging",
    ),
    Step(
        "load job not submitted",
        "The staging table is there, the load job is about to be sent.",
        BEFORE,
        f"{_CLIENT}.submit_load",
    ),
    Step(
        "load job submitted",
        "The load job was accepted; whether it ends well, nobody has asked.",
        AFTER,
        f"{_CLIENT}.submit_load",
    ),
    Step(
        "part loaded",
        "The load job's rows are in the staging table, counted.",
        AFTER,
        f"{_WAREHOUSE}.load",
    ),
    # --- merge -------------------------------------------------------------------------------
    Step(
        "staging checked",
        "The staging table holds the group's rows, and nothing is merged.",
        AFTER,
        "warehouse.staging:Staging.check",
    ),
    Step(
        "merge not submitted",
        "The MERGE of transactions is about to be sent.",
        BEFORE,
        f"{_CLIENT}.submit_query",
        _statement("merge/transactions"),
    ),
    Step(
        "merge submitted",
        "The MERGE of transactions was accepted; it runs, or has ended.",
        AFTER,
        f"{_CLIENT}.submit_query",
        _statement("merge/transactions"),
    ),
    Step(
        "facts merged",
        "Transactions are in the facts; other tables may not be merged.",
        AFTER,
        f"{_JOBS}.run",
        _statement("merge/transactions"),
    ),
    Step(
        "all merged",
        "All tables are merged, nothing is computed.",
        BEFORE,
        f"{_WAREHOUSE}.refresh",
    ),
    # --- rollups -----------------------------------------------------------------------------
    *(
        Step(
            f"computed {name}",
            f"{name} is computed; the tables after it have the figures of before.",
            AFTER,
            f"{_JOBS}.run",
            _statement(f"{folder}/{name.removeprefix('partial_')}"),
        )
        for folder, name in (
            ("partials", "partial_totals"),
            ("partials", "partial_orders"),
            ("partials", "partial_users"),
            ("partials", "partial_products"),
            ("partials", "orders_by_user"),
            ("partials", "orders_by_product"),
            ("rollups", "user_analytics"),
            ("rollups", "product_performance"),
            ("rollups", "daily_sales_summary"),
            ("partials", "partial_finances"),
            ("rollups", "financial_reports"),
        )
    ),
    Step(
        "rollups computed",
        "All rollups are computed, the refresh is not counted.",
        BEFORE,
        f"{_WAREHOUSE}._set_label",
        lambda _self, _table, name, _value: name == "refreshes",
    ),
    Step(
        "refresh counted",
        "The refresh is counted, the rules that it went by are not noted.",
        AFTER,
        f"{_WAREHOUSE}._set_label",
        lambda _self, _table, name, _value: name == "refreshes",
    ),
    # --- publishing --------------------------------------------------------------------------
    Step(
        "not marked",
        "The warehouse has everything, and PostgreSQL does not know.",
        BEFORE,
        f"{_SINK}.mark_published",
    ),
    Step(
        "marked",
        "PostgreSQL knows that the warehouse has everything; the spool files are still there.",
        AFTER,
        f"{_SINK}.mark_published",
        once=True,
    ),
    Step(
        "spool half removed",
        "Some spool files of published groups are gone, or of what runs before left.",
        AFTER,
        "pipeline.publish:Path.unlink",
        _spooled,
    ),
    Step(
        "staging half dropped",
        "Some of the staging tables are gone; the others expire by themselves.",
        AFTER,
        f"{_CLIENT}.drop_table",
        once=True,
    ),
    Step(
        "leftovers removed",
        "Nothing of the run is left in the spool.",
        AFTER,
        "pipeline.leftovers:_remove",
    ),
    # --- the run's end -----------------------------------------------------------------------
    Step(
        "run not finished",
        "Both sinks are up to date; the run's row says that it runs.",
        BEFORE,
        f"{_SINK}.finish_run",
    ),
    Step(
        "run's end begun",
        "The lease is given back in an open transaction; the run's row says that it runs.",
        AFTER,
        "postgres.lease:give_back",
    ),
    Step(
        "run's row written",
        "The run's row says how it ended, its metrics are not there; nothing of it is committed.",
        AFTER,
        "postgres.session:Session.execute",
        lambda _self, _sql, *_, doing, **__: doing == "finishing the run",
    ),
    Step(
        "lease given back",
        "The run's end is committed, its connection still holds the lease's lock.",
        BEFORE,
        "postgres.lease:let_go",
    ),
    Step(
        "run finished",
        "The lease is given back, the warehouse was not told of the run.",
        AFTER,
        f"{_SINK}.finish_run",
    ),
    Step(
        "run half told",
        "The warehouse has the run's row or its metrics, maybe not both.",
        AFTER,
        f"{_JOBS}.run",
        _statement("queries/record_run"),
    ),
    Step(
        "run told",
        "The warehouse has the run's row and metrics, and PostgreSQL does not know.",
        BEFORE,
        f"{_SINK}.mark_told",
    ),
    Step(
        "run marked as told",
        "PostgreSQL knows that the warehouse was told; what the run cost is not stored.",
        AFTER,
        f"{_SINK}.mark_told",
    ),
)

BY_NAME = {step.name: step for step in STEPS}


def arm(step: Step, act: Callable[[], None], *, call: int) -> None:
    """Have `act` called at the call number `call` (from 1) of a step; for good, in this process."""
    owner, name = _found(step.where)
    whole = inspect.getattr_static(owner, name)
    left = call

    def met(moment: str, *given: Any, **named: Any) -> None:
        nonlocal left
        if moment != step.moment or (step.chosen and not step.chosen(*given, **named)):
            return
        left -= 1
        if left == 0:
            act()

    if inspect.isasyncgenfunction(whole):

        @wraps(whole)
        async def wrapped(*given: Any, **named: Any) -> AsyncGenerator[Any, None]:
            met(BEFORE, *given, **named)
            async for item in whole(*given, **named):
                met(AFTER, *given, **named)
                yield item

    elif inspect.iscoroutinefunction(whole):

        @wraps(whole)
        async def wrapped(*given: Any, **named: Any) -> Any:
            met(BEFORE, *given, **named)
            result = await whole(*given, **named)
            met(AFTER, *given, **named)
            return result

    else:

        @wraps(whole)
        def wrapped(*given: Any, **named: Any) -> Any:
            met(BEFORE, *given, **named)
            result = whole(*given, **named)
            met(AFTER, *given, **named)
            return result

    setattr(owner, name, wrapped)


def record(steps: Iterable[Step]) -> set[str]:
    """Arm steps so that their names come into the set, which is returned, when they are met."""
    met: set[str] = set()
    for step in steps:
        arm(step, partial(met.add, step.name), call=1)
    return met


def _found(where: str) -> tuple[Any, str]:
    module, _, path = where.partition(":")
    owner: Any = importlib.import_module(f"techmart_fast.{module}")
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    return owner, name
