"""Where a load job's Parquet is while it is sent: on the disk, without a name."""

import errno
import io
import os
from pathlib import Path

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
        assert there.st_nlink == 0 or sorted(tmp_path.iterdir()) == before
    assert sorted(tmp_path.iterdir()) == before


def test_where_the_folder_is_gone_so_are_the_spool_files(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir()
    part = part_in(folder)
    for member in part.members:
        member.path.unlink()
    folder.rmdir()
    with pytest.raises(SpoolDamagedError, match=r"The folder .*spool is gone"):
        scratch_file(part)


class _Full(io.BytesIO):
    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = part_in(tmp_path)
    with pytest.raises(SpoolError, match=r"Can't write what .*No space left") as caught:
        packed(part, _Full())
    assert caught.value.transient
    assert "Check the disk's free space" in caught.value.hint

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(packing, "TemporaryFile", full)
    with pytest.raises(SpoolError, match=r"Can't write what .*No space left"):
        scratch_file(part)
