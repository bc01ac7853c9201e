"""One machine with its disk, a PostgreSQL and a BigQuery elsewhere, and processes that run."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from unittest import mock

from techmart_fast.errors import TechmartError
from techmart_fast.local import LocalEndpoints, LocalHome
from techmart_fast.pipeline.prepare import Stages
from techmart_fast.pipeline.progress import SilentObserver
from techmart_fast.pipeline.run import RunRequest, run_pipeline
from techmart_fast.pipeline.sinks import Sinks
from techmart_fast.pipeline.sync import SyncRequest, sync_sinks
from techmart_fast.records import Feed
from techmart_fast.settings import (
    BigQuerySettings,
    PipelineSettings,
    PostgresSettings,
    Settings,
)
from techmart_fast.warehouse import WarehouseSink
from tests.properties.fake_bigquery import BigQuery
from tests.properties.fake_disk import FakeDisk
from tests.properties.fake_postgres import Server
from tests.properties.histories import STRICT, History
from tests.properties.simulation import Killed, Loop, Process
from tests.warehouse.fakes import TARGET, FakeClock

LEASE_SECONDS = 60.0


class World:
    """Everything that a run meets. Use it in `opened`."""

    def __init__(self, folder: Path) -> None:
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.home = LocalHome(folder / "home").create()
        self.disk = FakeDisk(self.home.spool)
        self.disk.on_death = self._power_is_gone
        self.postgres = Server()
        self.bigquery = BigQuery()
        self.processes: list[Process] = []
        self.files: dict[Feed, list[Path]] = {feed: [] for feed in Feed}
        self.loop = Loop()
        self._started = 0

    @contextmanager
    def opened(self) -> Iterator["World"]:
        """The world, with the pipeline's way to its sinks led here."""
        with ExitStack() as stack:
            for module in ("run", "sync", "write_down"):
                name = f"techmart_fast.pipeline.{module}.open_sinks"
                stack.enter_context(mock.patch(name, self._open_sinks))
            # Names of files and jobs are random: the same ones in each replay.
            stack.enter_context(mock.patch("os.urandom", Random(1).randbytes))
            stack.enter_context(self.disk.watched())
            try:
                yield self
            finally:
                for process in self.processes:
                    process.kill()
                self.loop.settle()
                self.loop.close()

    @asynccontextmanager
    async def _open_sinks(self, settings: Settings) -> AsyncIterator[Sinks]:
        async with WarehouseSink(
            TARGET, connect=self.bigquery.connect, clock=FakeClock()
        ) as warehouse:
            yield Sinks(
                home=self.home,
                local=LocalEndpoints(),
                postgres_sink=self.postgres.sink,
                warehouse_sink=warehouse,
                destinations=(),
                price_per_tib=Decimal("6.25"),
            )

    # --- what is there to load ----------------------------------------------------------------
    def receive(self, history: History) -> None:
        """A file comes in."""
        lines = history.lines if history.lines[0].startswith('{"') else ("{}", *history.lines)
        number = sum(map(len, self.files.values()))
        path = self.inbox / f"{history.feed}-{number:03}.ndjson"
        path.write_text("".join(line + "\n" for line in lines))
        self.files[history.feed].append(path)

    # --- processes ----------------------------------------------------------------------------
    def run(self, files: Mapping[Feed, Sequence[Path]], *, load_job_bytes: int) -> Process:
        """Begin to load files."""
        sources = {feed: [str(path) for path in paths] for feed, paths in files.items() if paths}
        request = RunRequest(
            sources=sources,
            settings=self._settings(load_job_bytes),
            contract=STRICT,
            observer=SilentObserver(),
            stages=Stages(),
        )
        return self._start("run", lambda: run_pipeline(request))

    def sync(self, *, load_job_bytes: int) -> Process:
        """Begin to publish without loading."""
        request = SyncRequest(
            settings=self._settings(load_job_bytes), observer=SilentObserver(), contract=STRICT
        )
        return self._start("sync", lambda: sync_sinks(request))

    def _start(self, kind: str, work: object) -> Process:
        self._started += 1
        process = self.loop.start(f"{kind} {self._started}", work)  # type: ignore[arg-type]  # a coroutine function
        self.processes.append(process)
        return process

    def _settings(self, load_job_bytes: int) -> Settings:
        return Settings(
            pipeline=PipelineSettings(home=self.home.path, lease_seconds=LEASE_SECONDS),
            postgres=PostgresSettings(host="nowhere", writers=1),
            bigquery=BigQuerySettings(project_id="p-12345", load_job_bytes=load_job_bytes),
        )

    @property
    def living(self) -> list[Process]:
        """Processes that have not come to their end."""
        return [one for one in self.processes if one.alive and not one.ended]

    def let_go_on(self, process: Process, turns: int | None, *, newest_first: bool = False) -> None:
        """Give a process turns, and see what comes of it; then it stands still again."""
        process.give(turns, newest_first=newest_first)
        self.loop.settle()
        process.turns = 0
        if self.disk.died:
            self.loop.settle()
            self.disk.lose_power()
        self._look_at_ends()

    def kill(self, process: Process) -> None:
        """A process ends without a word, and leaves what it wrote, synced or not."""
        left = self.disk.image()
        process.kill()
        self.loop.settle()
        self.disk.restore(left)

    def lose_power(self) -> None:
        """Every process ends, and what was not synced is gone."""
        self._power_is_gone()
        self.loop.settle()
        self.disk.lose_power()

    def _power_is_gone(self) -> None:
        for process in self.living:
            process.kill()

    def pass_time(self, seconds: float) -> None:
        """Time passes everywhere; who is not standing still gives a sign of life."""
        self.postgres.now += seconds
        self.loop.pass_time(seconds)
        self._look_at_ends()

    def _look_at_ends(self) -> None:
        """A process may end by itself, by an error on purpose, or killed."""
        for process in self.processes:
            if process.ended and process.alive and not process.task.cancelled():
                error = process.task.exception()
                if error is not None and not isinstance(error, TechmartError | Killed):
                    raise error
