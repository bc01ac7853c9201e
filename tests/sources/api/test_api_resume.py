"""An interrupted fetch goes on where it stopped, and leaves no task, socket or file open."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from api_support import (
    STYLES,
    Notes,
    QuickClock,
    endpoint,
    ids_of,
    ids_up_to,
    left_in,
    open_files,
    raw_server,
    reply,
)

from techmart_fast.contract.endpoint import Endpoint, NextAddresses
from techmart_fast.dev.catalog_server import CatalogOptions, CatalogServer, Faults, Pages
from techmart_fast.errors import SourceAnswerError, SourceError, SourceUnavailableError
from techmart_fast.sources.api import Checkpoint, PageFetched, Resumed, fetch

OPTIONS = CatalogOptions(products=95, pages=Pages(size=10), faults=Faults(latency_ms=1))


async def cancelled_at(page: int, asked: Endpoint, folder: Path, **words: Any) -> None:
    """Fetch until so many pages are there."""
    notes = Notes()
    task = asyncio.create_task(fetch(asked, folder=folder, observer=notes, **words))

    def cancel(_event: object) -> None:
        if len(notes.of(PageFetched)) == page:
            task.cancel()

    notes.on_event = cancel
    with pytest.raises(asyncio.CancelledError):
        await task


def fetch_folder(folder: Path) -> Path:
    (found,) = folder.glob(".fetch-*")
    return found


@pytest.mark.parametrize("style", [style for style in STYLES if style != "all"])
async def test_a_cancelled_fetch_resumes_at_its_page(style: str, tmp_path: Path) -> None:
    before = open_files()
    async with CatalogServer(OPTIONS) as server:
        path = f"/{style}/products"
        asked = endpoint(server.address, path, page_size=10, **STYLES[style])
        whole = await fetch(asked, folder=tmp_path / "whole")
        while_serving = len(open_files())
        await cancelled_at(4, asked, tmp_path)
        assert not [task for task in asyncio.all_tasks() if "techmart-api" in task.get_name()]
        assert len(open_files()) <= while_serving
        requests = server.stats.requests
        notes = Notes()
        got = await fetch(asked, folder=tmp_path, observer=notes)
        assert server.stats.requests - requests <= 10 - 4
    assert (got.sha256, got.complete, got.records) == (whole.sha256, True, 95)
    assert got.resumed_pages >= 4
    assert [event.pages for event in notes.of(Resumed)] == [got.resumed_pages]
    assert got.path is not None
    assert left_in(tmp_path) == sorted([got.path.name, "whole", *_in_whole(tmp_path)])
    assert open_files() == before


def _in_whole(folder: Path) -> list[str]:
    return [f"whole/{name}" for name in left_in(folder / "whole")]


async def test_cancelling_at_any_moment_leaves_nothing_behind(tmp_path: Path) -> None:
    async with CatalogServer(OPTIONS) as server:
        asked = endpoint(server.address, page_size=10)
        await fetch(asked, folder=tmp_path)
        tasks, files = len(asyncio.all_tasks()), len(open_files())
        for moment in range(30):
            task = asyncio.create_task(fetch(asked, folder=tmp_path / "cancelled"))
            for _ in range(moment):
                await asyncio.sleep(0.0005 if moment % 2 else 0)
            task.cancel()
            await asyncio.wait([task])
            # The server sees the connections end a little later.
            for _ in range(20):
                await asyncio.sleep(0.001)
                if len(asyncio.all_tasks()) <= tasks and len(open_files()) <= files:
                    break
            assert len(asyncio.all_tasks()) <= tasks
            assert len(open_files()) <= files
        got = await fetch(asked, folder=tmp_path / "cancelled")
    assert ids_of(got) == ids_up_to(95)


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from techmart_fast.contract.endpoint import Endpoint
from techmart_fast.sources.api import PageFetched, fetch

class Killer:
    pages = 0
    def saw(self, event):
        self.pages += isinstance(event, PageFetched)
        if self.pages == 5:
            os.kill(os.getpid(), signal.SIGKILL)

endpoint = Endpoint.model_validate_json(sys.argv[1])
asyncio.run(fetch(endpoint, folder=Path(sys.argv[2]), observer=Killer()))
"""


async def test_a_killed_fetch_resumes_at_its_page(tmp_path: Path) -> None:
    async with CatalogServer(OPTIONS) as server:
        asked = endpoint(server.address, "/cursor/products", page_size=10, **STYLES["cursor"])
        words = [sys.executable, "-c", KILLED, asked.model_dump_json(), str(tmp_path)]
        killed = await asyncio.create_subprocess_exec(*words, stderr=subprocess.PIPE)
        assert await killed.wait() == -9
        identity = (fetch_folder(tmp_path) / "state.json").read_text()
        got = await fetch(asked, folder=tmp_path)
    assert got.fetch_id in identity
    assert got.resumed_pages == 5
    assert ids_of(got) == ids_up_to(95)
    assert got.complete


@pytest.mark.parametrize(
    ("file", "torn", "kept"),
    [
        ("pages.log", lambda data: data[:-7], 3),
        ("pages.log", lambda data: data + b'{"page": 9', 4),
        ("pages.log", lambda _data: b"\x00\x00\n", 0),
        ("pages.ndjson", lambda data: data[:-1], 3),
        ("pages.ndjson", lambda data: data + b"more", 4),
        ("pages.ndjson", lambda data: b"X" + data[1:], 0),
        ("pages.ndjson", lambda _data: b"", 0),
    ],
)
async def test_what_a_crash_tore_costs_pages_and_no_more(
    file: str, torn: Any, kept: int, tmp_path: Path
) -> None:
    async with CatalogServer(OPTIONS) as server:
        asked = endpoint(server.address, page_size=10, limits={"concurrency": 1})
        await cancelled_at(4, asked, tmp_path)
        path = fetch_folder(tmp_path) / file
        path.write_bytes(torn(path.read_bytes()))
        for _attempt in range(2):
            await cancelled_at(1, asked, tmp_path)
        got = await fetch(asked, folder=tmp_path)
    assert got.resumed_pages == kept + 2
    assert ids_of(got) == ids_up_to(95)


async def test_pages_of_another_query_are_not_used(tmp_path: Path) -> None:
    async with CatalogServer(OPTIONS) as server:
        asked = endpoint(
            server.address, page_size=10, incremental={"overlap_seconds": 0}, limits={"retries": 0}
        )
        await cancelled_at(4, asked, tmp_path)
        since = Checkpoint(selection=asked.selection, watermark="2024-12-01T00:00:00Z")  # type: ignore[arg-type]
        got = await fetch(asked, folder=tmp_path, since=since)
        assert (got.resumed_pages, got.complete) == (0, False)
        await cancelled_at(4, asked, tmp_path)
        other = endpoint(server.address, page_size=20, incremental={"overlap_seconds": 0})
        assert (await fetch(other, folder=tmp_path)).resumed_pages == 0


async def test_limits_and_policy_may_change_between_attempts(tmp_path: Path) -> None:
    async with CatalogServer(OPTIONS) as server:
        await cancelled_at(4, endpoint(server.address, page_size=10), tmp_path)
        again = endpoint(server.address, page_size=10, drift="report", limits={"concurrency": 9})
        assert (await fetch(again, folder=tmp_path)).resumed_pages >= 4


async def test_pages_that_are_too_old_are_fetched_again(tmp_path: Path) -> None:
    clock = QuickClock()
    async with CatalogServer(OPTIONS) as server:
        asked = endpoint(
            server.address, page_size=10, limits={"total_seconds": 500, "resume_seconds": 600}
        )
        await cancelled_at(4, asked, tmp_path, clocks=clock.clocks)
        clock.seconds += 500
        await cancelled_at(1, asked, tmp_path, clocks=clock.clocks)
        clock.seconds += 101
        assert (await fetch(asked, folder=tmp_path, clocks=clock.clocks)).resumed_pages == 0


async def test_a_fetch_goes_on_after_its_deadline(tmp_path: Path) -> None:
    clock = QuickClock()
    async with CatalogServer(OPTIONS) as server:
        asked = endpoint(
            server.address,
            page_size=10,
            limits={"requests_per_second": 2, "total_seconds": 3, "concurrency": 2},
        )
        with pytest.raises(SourceUnavailableError, match="not all pages came within 3 s") as late:
            await fetch(asked, folder=tmp_path, clocks=clock.clocks)
        assert late.value.transient
        got = await fetch(asked, folder=tmp_path, clocks=clock.clocks)
        assert server.stats.requests <= 10 + 1
    assert got.resumed_pages >= 5
    assert ids_of(got) == ids_up_to(95)


async def test_two_fetches_of_the_same_do_not_mix(tmp_path: Path) -> None:
    async with CatalogServer(OPTIONS) as server:
        asked = endpoint(server.address, page_size=10)
        begun, notes = asyncio.Event(), Notes()
        notes.on_event = lambda _event: begun.set()
        running = asyncio.create_task(fetch(asked, folder=tmp_path, observer=notes))
        await begun.wait()
        with pytest.raises(SourceError, match="Another process fetches from the same") as caught:
            await fetch(asked, folder=tmp_path)
        assert caught.value.transient
        other = endpoint(server.address, "/offset/products", **STYLES["offset"])
        assert (await fetch(other, folder=tmp_path)).records == 95
        assert (await running).records == 95


async def test_pages_that_make_no_sense_are_not_kept(tmp_path: Path) -> None:
    loop = '{"data": [{"id": 1}], "next": "/a"}', '{"data": [{"id": 2}], "next": "/a"}'
    async with raw_server(*map(reply, loop)) as server:
        with pytest.raises(SourceAnswerError, match="in a circle"):
            await fetch(endpoint(server.address, pagination=NextAddresses()), folder=tmp_path)
    assert left_in(tmp_path) == []


async def test_the_folder_is_nobody_elses(tmp_path: Path) -> None:
    async with CatalogServer(OPTIONS) as server:
        await cancelled_at(2, endpoint(server.address, page_size=10), tmp_path)
    folder = fetch_folder(tmp_path)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


async def test_a_fetch_without_any_page_leaves_nothing(tmp_path: Path) -> None:
    async with raw_server(reply("{}", status=404)) as server:
        with pytest.raises(SourceAnswerError):
            await fetch(endpoint(server.address), folder=tmp_path)
    assert left_in(tmp_path) == []


async def test_pages_that_nobody_will_resume_are_removed_in_the_end(tmp_path: Path) -> None:
    clock = QuickClock()
    async with CatalogServer(OPTIONS) as server:
        for size in (10, 11):
            limits = {"total_seconds": 50, "resume_seconds": 100}
            asked = endpoint(server.address, page_size=size, limits=limits)
            await cancelled_at(2, asked, tmp_path, clocks=clock.clocks)
        assert len(list(tmp_path.glob(".fetch-*"))) == 2
        clock.seconds += 101
        other = endpoint(server.address, "/offset/products", **STYLES["offset"])
        got = await fetch(other, folder=tmp_path, clocks=clock.clocks)
    assert got.path is not None
    assert left_in(tmp_path) == [got.path.name]
