"""Where a load job's Parquet is while it is sent: on the disk, without a name."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from techmart_fast.errors import SpoolDamagedError, SpoolError
from techmart_fast.warehouse import LoadPart, LoadTable, packing
from techmart_fast.warehouse.packing import packed, scratch_file
from tests.warehouse.values import group_of, spooled


def part_in(folder: Path) -> LoadPart:
    members = [
        spooled(folder, LoadTable.USERS, [{"user_id": name}], name=name) for name in ("a", "b")
    ]
    return group_of("g", LoadTable.USERS, *members).parts[0]


def test_a_scratch_file_is_beside_the_spools_and_nobody_sees_it(tmp_path: Path) -> None:
    part = part_in(tmp_path)
    before = sorted(tmp_path.iterdir())
    with scratch_file(part) as file:
        size = packed(part, file)
        there = os.fstat(file.fileno())
        assert (there.st_size, there.st_dev) == (size, tmp_path.stat().st_dev)
        assert there.st_mode & 0o077 == 0
        assert sorted(tmp_path.iterdir()) == before
    assert sorted(tmp_path.iterdir()) == before


def test_where_the_folder_is_gone_so_are_the_spool_files(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    part = part_in(folder)
    for member in part.members:
        member.path.unlink()
    folder.rmdir()
    with (
        pytest.raises(SpoolDamagedError, match=r"The folder .*spool is gone"),
        scratch_file(part),
    ):
        pass


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Within, no file of this process can grow beyond a size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 4_000, 20_000])
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("joined", [True, False])
def test_a_full_disk_is_told(
    members: int, size: int, joined: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"user_id": f"{uuid4()}{uuid4()}"} for _ in range(800)]
    files = [spooled(tmp_path, LoadTable.USERS, rows, name=f"{n}") for n in range(members)]
    part = group_of("g", LoadTable.USERS, *files).parts[0]
    assert sum(file.size_bytes for file in files) > 20_000
    if not joined:
        monkeypatch.setattr("techmart_fast.warehouse.joining.joined", lambda *_, **__: False)
    with (
        pytest.raises(SpoolError, match=r"Can't write what .*: File too large") as caught,
        scratch_file(part) as file,
        files_of_at_most(size),
    ):
        packed(part, file)
    assert caught.value.transient
    assert "Check the disk's free space" in caught.value.hint
    assert file.closed


def test_a_file_that_can_not_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packing, "TemporaryFile", full)
    with (
        pytest.raises(SpoolError, match=r"Can't write what .*No space left"),
        scratch_file(part_in(tmp_path)),
    ):
        pass
