"""Prints what a run would take: `run --dry-run`."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from techmart_fast.cli.allocator import keep_memory_flat
from techmart_fast.cli.console import number, show, size, table
from techmart_fast.cli.output import to_json, write_out
from techmart_fast.cli.progress import observing
from techmart_fast.cli.runner import run_async
from techmart_fast.cli.running import RunRequest
from techmart_fast.contract import load_contract
from techmart_fast.errors import ExitCode
from techmart_fast.pipeline.rehearsal import RunPlan, rehearse
from techmart_fast.settings import Settings


def plan_and_tell(request: RunRequest, settings: Settings) -> int:
    """Make the plan of a run, print it, and return the exit code. Nothing is loaded.

    Raises:
        TechmartError: the input can't be read, or the warehouse does not answer.
    """
    contract = load_contract(request.contract)
    keep_memory_flat()
    with observing(quiet=request.quiet or request.as_json) as observer:

        async def make() -> RunPlan:
            async with request.sources(contract) as (sources, described):
                return await rehearse(
                    sources.by_feed(), settings=settings, contract=described, observer=observer
                )

        plan = run_async(make)
    if request.as_json:
        write_out(to_json(plan.to_dict()))
    else:
        show(*for_people(plan))
    return ExitCode.DONE


def for_people(plan: RunPlan) -> Iterator[RenderableType]:
    """The plan as parts to print below each other."""
    yield "[bold]Plan of a run[/]: nothing was loaded"
    yield Text()
    yield _input(plan)
    yield Text()
    yield _loads(plan)
    yield Text()
    yield _queries(plan)
    yield Text()
    cost = plan.cost
    whose = " Modelled by the stand-in: no bill." if cost.modelled else ""
    yield (
        f"[bold]USD {cost.usd:.4f}[/] for {size(cost.bytes_billed)} billed, at USD "
        f"{cost.price_per_tib} a TiB; load jobs are free.{whose}"
    )
    yield Text(
        "Valid records count as new: duplicates and held ones are known when they are loaded.",
        style="dim",
    )


def _input(plan: RunPlan) -> RenderableType:
    numeric = ("files", "size", "read", "valid", "rejected")
    made = table("input", *numeric, right=numeric)
    for feed, counts in plan.feeds.items():
        files = plan.files[feed]
        made.add_row(
            feed.value,
            number(len(files)),
            size(sum(file.size_bytes for file in files)),
            *(number(count) for count in (counts.read, counts.loaded, counts.rejected)),
        )
    return made


def _loads(plan: RunPlan) -> RenderableType:
    numeric = ("rows", "Parquet", "load jobs")
    made = table("to load", *numeric, right=numeric)
    for name, planned in plan.tables.items():
        made.add_row(
            name.value,
            number(planned.rows),
            size(planned.parquet_bytes),
            number(planned.load_jobs),
        )
    return made


def _queries(plan: RunPlan) -> RenderableType:
    made = table(
        f"queries (days touched: {number(plan.days)})", "read, about", right=["read, about"]
    )
    for one in plan.queries:
        made.add_row(one.name, size(one.bytes_read))
    return made
