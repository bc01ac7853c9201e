"""Shows past runs, what PostgreSQL holds, and whether the warehouse is behind."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rich.console import RenderableType
from rich.text import Text

from techmart_fast.cli.console import instant, number, seconds, show, size, styled, table
from techmart_fast.cli.embedded import never_used
from techmart_fast.cli.output import to_json, write_out
from techmart_fast.cli.runner import run_async
from techmart_fast.errors import ExitCode
from techmart_fast.pipeline.sinks import open_sinks
from techmart_fast.postgres import RunRow, SinkStatus
from techmart_fast.records import Feed, FeedCounts
from techmart_fast.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Past runs, the newest first, and what is stored; None before the first run."""

    runs: tuple[RunRow, ...] = ()
    stored: SinkStatus | None = None

    @property
    def is_behind(self) -> bool:
        """Whether committed rows wait for the warehouse."""
        return self.stored is not None and self.stored.outbox_pending > 0

    @property
    def is_running(self) -> bool:
        """Whether a run is at work (a paused one counts until another takes over)."""
        return self.stored is not None and self.stored.lease_held

    @property
    def exit_code(self) -> ExitCode:
        """5 if the warehouse is behind and nobody works on it."""
        behind = self.is_behind and not self.is_running
        return ExitCode.SINKS_DIFFER if behind else ExitCode.DONE


def print_status(settings: Settings, *, limit: int, as_json: bool) -> int:
    """Print the standing; returns the exit code.

    Raises:
        TechmartError: PostgreSQL can't be reached.
    """
    standing = run_async(lambda: _fetch(settings, limit))
    if as_json:
        write_out(to_json(as_object(standing)))
    else:
        show(*for_people(standing))
    return standing.exit_code


async def _fetch(settings: Settings, limit: int) -> Standing:
    if never_used(settings):
        return Standing()
    async with open_sinks(settings, warehouse=False) as sinks:
        await sinks.postgres.migrate()
        return Standing(
            runs=tuple(await sinks.postgres.runs(limit)), stored=await sinks.postgres.status()
        )


def as_object(standing: Standing) -> dict[str, object]:
    """The object that `status --json` prints."""
    stored = None
    if standing.stored is not None:
        stored = asdict(standing.stored)
    return {
        "runs": [
            {
                "run_id": run.run_id,
                "status": run.status,
                "started": run.started_at,
                "ended": run.ended_at,
                "seconds": run.seconds,
                "contract": run.contract_name,
                "contract_version": run.contract_version,
                "loader_version": run.loader_version,
                "feeds": {feed.value: asdict(run.feeds.get(feed, FeedCounts())) for feed in Feed},
                "bytes_read": run.bytes_read,
                "peak_memory_bytes": run.peak_memory_bytes,
                "warehouse_cost": None
                if run.warehouse_jobs is None
                else {
                    "jobs": run.warehouse_jobs,
                    "bytes_billed": run.warehouse_bytes_billed,
                    "usd": run.warehouse_usd,
                    "modelled": run.warehouse_modelled,
                },
                "error": run.error,
            }
            for run in standing.runs
        ],
        "stored": stored,
        "warehouse_behind": standing.is_behind,
        "running": standing.is_running,
    }


def for_people(standing: Standing) -> Iterator[RenderableType]:
    """The standing as parts to print below each other."""
    if not standing.runs:
        yield "No runs yet. Start with: techmart-fast run"
    else:
        yield _runs(standing)
        if any(run.warehouse_modelled for run in standing.runs):
            yield Text("billed, USD: modelled by the stand-in, no bill", style="dim")
        for run in standing.runs:
            if run.error:
                yield Text(f"{str(run.run_id)[:8]}: {run.error}", style="dim")
    if standing.stored is not None:
        yield Text()
        yield _stored(standing.stored)
        yield Text()
        yield _warehouse(standing, standing.stored)
        if standing.stored.owed_index is not None:
            yield (
                f"[yellow]The index {standing.stored.owed_index} is put off:[/] queries by user "
                "read the whole table. The next run of the table's owner builds it at its end; "
                "sync does not."
            )


def _runs(standing: Standing) -> RenderableType:
    numeric = ("took", "read", "loaded", "rejected", "held", "duplicate", "billed", "USD")
    made = table("run", "started", "status", *numeric, right=numeric)
    for run in standing.runs:
        total = sum(run.feeds.values(), FeedCounts())
        counts = (total.read, total.loaded, total.rejected, total.held, total.duplicate)
        made.add_row(
            str(run.run_id)[:8],
            instant(run.started_at).removesuffix(" UTC"),
            styled(run.status),
            seconds(run.seconds),
            *(number(count) for count in counts),
            "-" if run.warehouse_bytes_billed is None else size(run.warehouse_bytes_billed),
            "-" if run.warehouse_usd is None else f"{run.warehouse_usd:.4f}",
        )
    return made


def _stored(stored: SinkStatus) -> RenderableType:
    made = table("stored in PostgreSQL", "", right=[""])
    rows = (
        ("users", number(stored.users)),
        ("products", f"{number(stored.products)} ({number(stored.active_products)} active)"),
        ("transactions", f"{number(stored.transactions)} (USD {number(stored.amount_usd)})"),
        ("held, waiting for a user or product", number(stored.held)),
        ("quarantined", number(stored.quarantined)),
    )
    for name, value in rows:
        made.add_row(name, value)
    return made


def _warehouse(standing: Standing, stored: SinkStatus) -> str:
    if standing.is_running:
        return (
            f"[cyan]A run is at work[/] since {instant(stored.lease_since)}: {stored.lease_run_id}."
        )
    if stored.lease_run_id is not None:
        return (
            f"[yellow]Run {stored.lease_run_id} ended without finishing.[/] What it committed "
            "stays; the next run carries on: techmart-fast run"
        )
    if standing.is_behind:
        return (
            f"[yellow]The warehouse is behind:[/] {number(stored.outbox_pending_rows)} rows in "
            f"{number(stored.outbox_pending)} files wait. The next run publishes them, or: "
            "techmart-fast sync"
        )
    return "[green]All that PostgreSQL has committed was published to the warehouse.[/]"
