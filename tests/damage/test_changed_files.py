"""Files that change: while they are read, between two runs, and what the contract says of it."""

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from techmart_fast.api import DataSources, run
from techmart_fast.contract import parse_contract
from techmart_fast.errors import ExitCode
from techmart_fast.pipeline.progress import FeedProgress, SilentObserver
from techmart_fast.records import Feed
from techmart_fast.results import RunStatus
from tests.odd_shop import feeds, sale
from tests.shops import Shop

SMALL = 64 * 1024
ROWS = 1000
PADDING = {"note": "long enough that a file is not read in one go: " * 100}


def _lines(rows: int, status: str) -> str:
    some = (sale(number, status=status, **PADDING) for number in range(rows))
    return "".join(json.dumps(row) + "\n" for row in some)


MANY, OTHER = _lines(ROWS, "completed"), _lines(ROWS // 2, "failed")
REFUSING = parse_contract('[transactions]\nchanged_file = "refuse"\n', name="refusing")


class Meddling(SilentObserver):
    """Does something to a file at the first batch of transactions, or before it is opened."""

    def __init__(self, meddle: Callable[[], None], *, early: bool) -> None:
        self._meddle = meddle
        self._early = early
        self.done = False

    def phase(self, name: str) -> None:
        if self._early and name == "Loading transactions":
            self._once()

    def progress(self, progress: FeedProgress) -> None:
        if not self._early and progress.feed is Feed.TRANSACTIONS:
            self._once()

    def _once(self) -> None:
        if not self.done:
            self.done = True
            self._meddle()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 9 // 10)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n")


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b" ")


def rewrite(path: Path) -> None:
    path.write_bytes(_stored(OTHER, path.suffix == ".gz"))


def put_in_place(path: Path) -> None:
    another = path.with_name("another")
    another.write_bytes(_stored(OTHER, path.suffix == ".gz"))
    another.replace(path)


def _stored(text: str, compressed: bool) -> bytes:
    return gzip.compress(text.encode(), 0) if compressed else text.encode()


def _sources(folder: Path, *, compressed: bool) -> tuple[DataSources, Path]:
    path = folder / ("sales.ndjson.gz" if compressed else "sales.ndjson")
    path.write_bytes(_stored(MANY, compressed))
    return replace(feeds(folder), transactions=(str(path),)), path


CASES = [
    pytest.param(change, compressed, early, marks=marks)
    for change, compressed, early, marks in (
        (truncate, False, False, ()),
        (put_in_place, True, True, pytest.mark.torture),
        (grow, False, False, pytest.mark.torture),
        (overwrite, False, True, pytest.mark.torture),
        (rewrite, True, False, pytest.mark.torture),
        (grow, False, True, pytest.mark.torture),
    )
]


@pytest.mark.parametrize(("change", "compressed", "early"), CASES)
async def test_a_source_that_changes_under_the_reader_is_named_and_the_next_run_takes_it_as_it_is(
    change: Callable[[Path], None],
    compressed: bool,
    early: bool,
    make_shop: Callable[..., Shop],
    tmp_path: Path,
) -> None:
    shop = make_shop(block_bytes=SMALL, channel_bytes=SMALL)
    sources, path = _sources(tmp_path, compressed=compressed)
    observer = Meddling(lambda: change(path), early=early)
    failed = await run(sources, settings=shop.settings, observer=observer)
    assert (failed.status, failed.exit_code) == (RunStatus.FAILED, ExitCode.FAILED)
    assert f"{path} was changed while it was being read" in str(failed.error)
    [stored] = await shop.rows("SELECT count(*) FROM transactions")
    # A batch that was being committed when the reader failed may not be counted.
    assert stored["count"] >= failed.feeds[Feed.TRANSACTIONS].loaded
    assert (stored["count"] == 0) is early
    again = await shop.run(sources)
    counts = again.feeds[Feed.TRANSACTIONS]
    assert again.error is None
    # A cut line is one rejected record; what was loaded before is a duplicate, or was corrected.
    assert counts.rejected <= 1
    assert counts.loaded + counts.duplicate == counts.read - counts.rejected
    [now] = await shop.rows("SELECT count(*), sum(amount_usd) FROM transactions")
    assert await shop.warehouse_sums() == tuple(now.values())
    assert now["count"] == max(counts.read - counts.rejected, stored["count"])


@pytest.mark.torture
async def test_a_file_that_is_replaced_by_another_while_it_is_open_is_read_to_its_end(
    make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    shop = make_shop(block_bytes=SMALL, channel_bytes=SMALL)
    sources, path = _sources(tmp_path, compressed=False)
    observer = Meddling(lambda: put_in_place(path), early=False)
    result = await run(sources, settings=shop.settings, observer=observer)
    assert result.error is None
    assert observer.done
    assert result.feeds[Feed.TRANSACTIONS].loaded == ROWS
    again = await shop.run(sources)
    assert again.feeds[Feed.TRANSACTIONS].corrected == ROWS // 2


async def test_a_changed_file_is_refused_before_anything_is_loaded_if_the_contract_says_so(
    shop: Shop, tmp_path: Path
) -> None:
    rows = [sale(number) for number in range(5)]
    sources = feeds(tmp_path, *rows)
    assert (await shop.run(sources, contract=REFUSING)).error is None
    [known] = await shop.rows(
        "SELECT to_char(registered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS since "
        "FROM techmart_loader.files WHERE feed = 'transactions'"
    )
    # The same file again, and the same under another name, are no changed ones.
    assert (await shop.run(sources, contract=REFUSING)).error is None
    assert (await shop.run(feeds(tmp_path, *rows, name="copy"), contract=REFUSING)).error is None
    changed = feeds(tmp_path, *rows, sale(5))
    users = tmp_path / "users.csv"
    users.write_text(users.read_text(encoding="utf-8") + "new,n@example.com,2023-01-01,DE,,\n")
    refused = await shop.run(changed, contract=REFUSING)
    assert (refused.status, refused.exit_code) == (RunStatus.FAILED, ExitCode.USAGE)
    assert str(tmp_path / "sales.json") in str(refused.error)
    assert f"{known['since']} UTC" in str(refused.error)
    assert 'changed_file = "reload"' in str(refused.error)
    assert await shop.rows("SELECT 1 FROM users WHERE user_id = 'new'") == []
    # Without that policy a file that has grown brings its new records.
    grown = await shop.run(changed)
    counts = grown.feeds[Feed.TRANSACTIONS]
    assert (counts.read, counts.loaded, counts.duplicate) == (6, 1, 5)


def test_how_changed_files_are_treated_is_no_part_of_a_contracts_version() -> None:
    assert REFUSING.version == parse_contract("", name="default").version
