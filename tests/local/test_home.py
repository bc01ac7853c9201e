"""The home folder: private, one's own, and clear words when it can't be used."""

import errno
import os
import shutil
import stat
from pathlib import Path

import pytest

from techmart_fast.errors import ExitCode, LocalError, WrongHomeError
from techmart_fast.local import LocalHome
from techmart_fast.local.home import clear_errors


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_and_its_subfolders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        home = LocalHome(tmp_path / "parent" / "home").create()
    finally:
        os.umask(before)
    folders = (home.path, home.postgres, home.standin, home.spool, home.reports, home.logs)
    assert {mode(folder) for folder in folders} == {0o700}


def test_naming_a_home_makes_nothing(tmp_path: Path) -> None:
    home = LocalHome(tmp_path / "home")
    assert not home.path.exists()


def test_a_home_is_absolute_and_knows_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert LocalHome(Path("~/.techmart")).path == Path("/somewhere/.techmart")
    assert LocalHome(Path("here")).path == Path.cwd() / "here"


@pytest.mark.parametrize("before", [0o755, 0o775, 0o777])
def test_an_empty_folder_is_made_private(tmp_path: Path, before: int) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(before)
    LocalHome(folder).create()
    assert mode(folder) == 0o700


def test_an_opened_home_is_made_private_again(tmp_path: Path) -> None:
    home = LocalHome(tmp_path / "home").create()
    home.control_lock.touch()
    home.path.chmod(0o777)
    home.create()
    assert mode(home.path) == 0o700


def test_a_folder_with_other_things_in_it_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "note").touch()
    tmp_path.chmod(0o755)
    home = LocalHome(tmp_path).create()
    assert mode(tmp_path) == 0o755
    assert mode(home.postgres) == 0o700


@pytest.mark.parametrize("before", [0o775, 0o757])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, before: int) -> None:
    (tmp_path / "note").touch()
    tmp_path.chmod(before)
    with pytest.raises(WrongHomeError, match="chmod 700"):
        LocalHome(tmp_path).create()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["note"]


def test_a_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(WrongHomeError, match="another user"):
        LocalHome(tmp_path).create()


def test_a_file_in_the_way_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "home"):
        with pytest.raises(WrongHomeError, match="not a folder"):
            LocalHome(path).create()


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "Free some space"), (errno.EROFS, "may write to"), (errno.EIO, "")],
)
def test_a_failing_disk_is_explained(number: int, advice: str) -> None:
    with pytest.raises(LocalError, match="Can't do this") as caught, clear_errors("Can't do this"):
        raise OSError(number, os.strerror(number))
    assert os.strerror(number) in str(caught.value)
    assert advice in str(caught.value)


def test_a_home_may_be_removed_and_made_again(tmp_path: Path) -> None:
    home = LocalHome(tmp_path / "home").create()
    shutil.rmtree(home.path)
    home.create()
    assert mode(home.path) == 0o700


def test_a_wrong_home_is_a_mistake_of_the_settings_and_a_full_disk_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WrongHomeError) as wrong:
        LocalHome(tmp_path / "file").create()
    assert wrong.value.exit_code is ExitCode.USAGE
    with pytest.raises(LocalError) as full, clear_errors("Can't do this"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert full.value.exit_code is ExitCode.FAILED
