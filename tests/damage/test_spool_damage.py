"""Spool files that are damaged between two runs are never published; PostgreSQL has their rows."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from techmart_fast.api import sync
from techmart_fast.errors import ExitCode, SpoolError, WarehouseError
from techmart_fast.pipeline import mending, spooling
from techmart_fast.pipeline.reconciled import Standing
from techmart_fast.records import SpooledFile
from techmart_fast.warehouse import WarehouseSink
from tests.odd_shop import compared, feeds, loaded, sale
from tests.shops import Shop

__all__ = ["loaded"]  # a fixture

OWED = "SELECT path FROM techmart_loader.outbox WHERE published_at IS NULL ORDER BY entry_id"


async def refuse(*_: object, **__: object) -> None:
    raise WarehouseError("out of order")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: tuple[Callable[[Path], None], ...] = (flip, truncate, empty, Path.unlink)


async def damage_all(shop: Shop) -> list[Path]:
    """Damage every file that the outbox owes, each in the next way."""
    paths = [Path(str(row["path"])) for row in await shop.rows(OWED)]
    for number, path in enumerate(paths):
        DAMAGES[number % len(DAMAGES)](path)
    return paths


async def load_unpublished(
    shop: Shop, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Runs whose rows wait: new, corrected, moved to another day, rejected, and changed again."""
    users = folder / "users.csv"
    with monkeypatch.context() as broken:
        broken.setattr(WarehouseSink, step, refuse)
        rows = [sale(40), sale(41), sale(4, amount="77.70"), sale(42, status="odd")]
        sources = feeds(folder, *rows, name="later")
        users.write_text(users.read_text(encoding="utf-8").replace(",DE,", ",AT,"), "utf-8")
        assert (await shop.run(sources)).exit_code is ExitCode.SINKS_DIFFER
        moved = sale(40, timestamp="2024-03-09T01:00:00Z")
        again = feeds(folder, moved, sale(4, amount="1.10"), name="still-later")
        assert (await shop.run(again)).exit_code is ExitCode.SINKS_DIFFER


async def by_run(shop: Shop, folder: Path) -> tuple[str | None, tuple[str, ...]]:
    result = await shop.run(feeds(folder, sale(50), name="next"))
    return result.error, result.notes


async def by_sync(shop: Shop, _: Path) -> tuple[str | None, tuple[str, ...]]:
    result = await sync(settings=shop.settings)
    return result.run.error, result.run.notes


@pytest.mark.parametrize(
    ("step", "heal"),
    [
        # Its jobs have loaded the undamaged files, under names that can't be used again.
        ("merge", by_run),
        pytest.param("merge", by_sync, marks=pytest.mark.torture),
        pytest.param("load", by_sync, marks=pytest.mark.torture),
        pytest.param("load", by_run, marks=pytest.mark.torture),
    ],
)
async def test_damaged_files_are_named_and_written_again_from_postgresql(
    step: str,
    heal: Callable[[Shop, Path], Awaitable[tuple[str | None, tuple[str, ...]]]],
    loaded: Shop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await load_unpublished(loaded, tmp_path, monkeypatch, step)
    paths = await damage_all(loaded)
    assert len(paths) >= 5
    error, notes = await heal(loaded, tmp_path)
    assert error is None
    for path in paths:
        told = [note for note in notes if str(path) in note]
        assert len(told) == 1, path
        assert "written again from PostgreSQL" in told[0]
    assert (await compared(loaded)).standing is Standing.EQUAL
    assert await loaded.rows(OWED) == []
    assert not any(path.exists() for path in paths)


@pytest.mark.torture
async def test_a_disk_that_damages_what_is_written_again_ends_in_one_error(
    loaded: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await load_unpublished(loaded, tmp_path, monkeypatch, "load")
    paths = await damage_all(loaded)
    whole = mending.write_spool

    def damaging(*given: object, **named: object) -> SpooledFile:
        file = whole(*given, **named)  # type: ignore[arg-type]  # passed on
        flip(file.path)
        return file

    with monkeypatch.context() as broken:
        broken.setattr(mending, "write_spool", damaging)
        failed = await sync(settings=loaded.settings)
    assert failed.run.exit_code is ExitCode.SINKS_DIFFER
    assert "is not what was written" in str(failed.run.error)
    assert "check the disk" in str(failed.run.error)
    assert len(await loaded.rows(OWED)) == len(paths)
    assert (await sync(settings=loaded.settings)).run.error is None
    assert (await compared(loaded)).standing is Standing.EQUAL


async def test_a_replaced_run_whose_spool_was_cleared_says_that_it_was_replaced(
    loaded: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_over = "UPDATE techmart_loader.lease SET epoch = epoch + 1 RETURNING epoch"

    def cleared(*_: object, **__: object) -> SpooledFile:
        asyncio.run(loaded.rows(taken_over))  # it runs in a thread
        raise SpoolError("Can't write the spool file: No such file or directory.", transient=True)

    monkeypatch.setattr(spooling, "write_spool", cleared)
    result = await loaded.run(feeds(tmp_path, sale(40), name="later"))
    assert result.exit_code is ExitCode.LEASE_HELD
    assert "took the lease over" in str(result.error)
