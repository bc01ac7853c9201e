"""Files of killed runs go, those that the outbox needs stay, and so do other databases' files."""

from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import pytest

from techmart_fast.errors import SpoolError
from techmart_fast.pipeline.leftovers import make_run_folder, remove_leftovers
from techmart_fast.postgres import Lease, OwedFiles, PostgresSink

LEASE = Lease(run_id=uuid4(), epoch=1, contract_version="v", lease_seconds=60)


class Outbox:
    """What PostgreSQL would say."""

    def __init__(self, runs: set[UUID], paths: set[str]) -> None:
        self._runs = runs
        self._paths = paths

    async def owed_files(self, _lease: Lease, runs: dict[UUID, Path]) -> OwedFiles:
        return OwedFiles(runs=frozenset(self._runs & set(runs)), paths=frozenset(self._paths))


async def left_after(spool: Path, *, runs: set[UUID], paths: set[str]) -> set[str]:
    await remove_leftovers(cast("PostgresSink", Outbox(runs, paths)), LEASE, spool)
    return {str(path.relative_to(spool)) for path in spool.rglob("*")}


async def test_only_what_nobody_needs_is_removed(tmp_path: Path) -> None:
    known, empty, foreign = uuid4(), uuid4(), uuid4()
    for run_id in (known, empty, foreign):
        (make_run_folder(tmp_path, run_id) / f"{run_id.hex}.parquet").touch()
        (tmp_path / str(run_id) / ".cut.partial").touch()
    (tmp_path / "stdin-copy").touch()
    # The path is another one than now, as the home was reached by a link then.
    left = await left_after(tmp_path, runs={known, empty}, paths={f"/link/{known.hex}.parquet"})
    assert left == {
        str(known),
        f"{known}/{known.hex}.parquet",
        str(foreign),
        f"{foreign}/{foreign.hex}.parquet",
        f"{foreign}/.cut.partial",
        "stdin-copy",
    }


async def test_without_folders_nobody_is_asked(tmp_path: Path) -> None:
    await remove_leftovers(cast("PostgresSink", None), LEASE, tmp_path)


def test_a_folder_that_can_not_be_made_is_an_error_of_the_spool(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="TECHMART_HOME"):
        make_run_folder(tmp_path / "absent", uuid4())
