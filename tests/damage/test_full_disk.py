"""Disks that are full: the run ends with one error, and the next one carries on."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import asyncpg
import pytest

from techmart_fast.dev import ShopSpec, generate
from techmart_fast.errors import ExitCode
from techmart_fast.results import RunStatus
from tests.processes import all_feeds, started
from tests.shops import Shop, sources_in

SMALL = 64 * 1024
SOON = 100
"""Seconds for a short run on a machine that is busy."""

ROWS = "SELECT count(*), sum(amount_usd) FROM transactions"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    generate(ShopSpec(out=folder, transactions=2500, users=20, products=10, days=2, seed=7))
    return folder


def on_a_full_disk(folder: Path, *, kib: int) -> tuple[Sequence[str], str]:
    """What a command is run by, so that it finds a disk of this size at a folder; what it hears.

    Where mounting is not allowed, no file may be larger than half of it instead.
    """
    mount = ["unshare", "-m", "sh", "-c"]
    script = f'mount -t tmpfs -o size={kib}k none "{folder}" && exec "$@"'
    if shutil.which("unshare"):
        tried = subprocess.run([*mount, script, "sh", "true"], check=False, capture_output=True)
        if tried.returncode == 0:
            return [*mount, script, "sh"], "No space left on device"
    return ["sh", "-c", f'ulimit -f {kib} && exec "$@"', "sh"], "File too large"


async def test_a_full_spool_ends_the_run_and_the_next_one_carries_on(
    make_shop: Callable[..., Shop], generated: Path
) -> None:
    shop, quiet = make_shop(block_bytes=SMALL, channel_bytes=SMALL), make_shop()
    within, words = on_a_full_disk(shop.settings.home / "spool", kib=48)
    with started(
        shop.settings, "run", "--json", "--quiet", *all_feeds(generated), within=within
    ) as child:
        out, err = await asyncio.to_thread(child.communicate, timeout=SOON)
    failed = json.loads(out)
    assert (child.returncode, failed["status"]) == (ExitCode.FAILED, "failed"), err
    assert f"Can't write the spool file {shop.settings.home / 'spool'}" in failed["error"]
    assert words in failed["error"]
    assert "Check the disk's free space" in failed["error"]
    # What is committed has a file; it is gone with that disk, and written again.
    [stored] = await shop.rows("SELECT count(*) FROM transactions")
    # A batch that was being committed when another one failed may not be counted.
    told = failed["feeds"]["transactions"]
    assert told["loaded"] - told["corrected"] <= stored["count"] < 2500
    await shop.load(generated)
    await quiet.load(generated)
    assert await shop.state() == await quiet.state()


async def test_standard_input_that_does_not_fit_is_told_and_leaves_nothing(
    shop: Shop, tmp_path: Path
) -> None:
    spool = shop.settings.home / "spool"
    spool.mkdir(exist_ok=True)
    within, words = on_a_full_disk(spool, kib=48)
    child = started(
        shop.settings, "run", "--json", "--users", "-", within=within, stdin=subprocess.PIPE
    )
    with child:
        piped = '{"user_id": "u1"}\n' * 20_000
        out, _ = await asyncio.to_thread(child.communicate, piped, timeout=SOON)
    failed = json.loads(out)
    assert (child.returncode, failed["status"]) == (ExitCode.FAILED, "failed")
    assert f"Can't copy standard input to {spool}" in failed["error"]
    assert words in failed["error"]
    assert not list(spool.glob("stdin-*"))


async def test_a_full_disk_of_the_server_is_told_and_what_is_committed_stays(
    make_shop: Callable[..., Shop], generated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = make_shop(block_bytes=SMALL, channel_bytes=SMALL)
    whole, copies = asyncpg.Connection.copy_to_table, 0

    async def filling(self: asyncpg.Connection, name: str, **named: object) -> str:
        nonlocal copies
        copies += name == "transactions"
        if copies > 3:
            raise asyncpg.DiskFullError("could not extend file: No space left on device")
        status: str = await whole(self, name, **named)
        return status

    with monkeypatch.context() as broken:
        broken.setattr(asyncpg.Connection, "copy_to_table", filling)
        failed = await shop.run(await asyncio.to_thread(sources_in, generated))
    assert (failed.status, failed.exit_code) == (RunStatus.FAILED, ExitCode.FAILED)
    assert "The disk of the PostgreSQL server is full" in str(failed.error)
    assert "Free space there. Run again: committed batches are kept." in str(failed.error)
    [stored] = await shop.rows("SELECT count(*) FROM transactions")
    assert 0 < stored["count"] < 2500
    result = await shop.load(generated)
    assert all(counts.adds_up for counts in result.feeds.values())
    [stored] = await shop.rows(ROWS)
    assert await shop.warehouse_sums() == tuple(stored.values())
