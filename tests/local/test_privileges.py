"""PostgreSQL refuses root: what the server runs as, for root, in containers, for ordinary users."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from techmart_fast.local import LocalHome
from techmart_fast.local.binaries import find_binaries
from techmart_fast.local.guarded import lives

NOBODY = 65534
NAMELESS = 54321

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed"),
]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are closed to all but root."""
    with tempfile.TemporaryDirectory(prefix="techmart-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_user(uid: int) -> list[str]:
    """Become `uid`, and still be able to read this checkout and Python, wherever they lie."""
    ids = ["--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
    return ["setpriv", *ids, "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]


def contained() -> list[str]:
    prefix = [sys.executable, str(Path(__file__).with_name("contained.py"))]
    works = subprocess.run([*prefix, "true"], check=False, capture_output=True, timeout=60)
    if works.returncode != 0:
        pytest.skip("this machine does not let root make user namespaces")
    return prefix


def home_of(uid: int, folder: Path) -> LocalHome:
    home = LocalHome(folder / "home")
    home.path.mkdir(mode=0o700)
    os.chown(home.path, uid, uid)
    return home


def owner(path: Path) -> int:
    return path.stat().st_uid


def test_as_root_the_data_stays_roots_and_no_folder_above_is_opened(
    techmart_home: LocalHome, command: Callable[..., Any]
) -> None:
    above = [techmart_home.path.parent, *techmart_home.path.parent.parents]
    before = [stat.S_IMODE(folder.stat().st_mode) for folder in above]
    used = command(techmart_home)
    answer = used.answer()
    assert psutil.Process(answer["pid"]).uids().real == 0
    assert used.finish() == 0
    assert owner(techmart_home.postgres / "cluster" / "data" / "PG_VERSION") == 0
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in above] == before


def test_an_ordinary_user_runs_the_server_as_itself(
    open_folder: Path, command: Callable[..., Any]
) -> None:
    home = home_of(NOBODY, open_folder)
    used = command(home, as_user(NOBODY))
    answer = used.answer()
    assert psutil.Process(answer["pid"]).uids().real == NOBODY
    assert used.finish() == 0
    assert owner(home.postgres / "cluster" / "data" / "PG_VERSION") == NOBODY
    assert not lives(home.postgres)


def test_a_user_without_a_name_runs_the_server_as_itself(
    open_folder: Path, command: Callable[..., Any]
) -> None:
    folders = [find_binaries(None).folder, *find_binaries(None).folder.parents]
    if not all(folder.stat().st_mode & stat.S_IXOTH for folder in folders):
        pytest.skip("the PostgreSQL binaries lie in a folder that is closed to other users")
    home = home_of(NAMELESS, open_folder)
    used = command(home, as_user(NAMELESS))
    assert psutil.Process(used.answer()["pid"]).uids().real == NAMELESS
    assert used.finish() == 0


def test_root_in_a_container_runs_the_server_as_nobody(
    techmart_home: LocalHome, command: Callable[..., Any]
) -> None:
    used = command(techmart_home, contained())
    answer = used.answer()
    assert psutil.Process(answer["pid"]).uids().real == NOBODY
    assert used.finish() == 0
    assert owner(techmart_home.postgres / "cluster" / "data" / "PG_VERSION") == NOBODY
    assert owner(techmart_home.path) == 0
    assert not lives(techmart_home.postgres)


def test_data_made_in_a_container_is_used_outside_and_back(
    home: LocalHome, command: Callable[..., Any]
) -> None:
    for prefix, uid in ((contained(), NOBODY), ([], 0), (contained(), NOBODY)):
        used = command(home, prefix)
        assert psutil.Process(used.answer()["pid"]).uids().real == uid
        assert used.finish() == 0


@pytest.mark.parametrize("size", ["1m", "45m"])
def test_a_full_disk_is_explained_and_leaves_no_half_made_database(
    tmp_path: Path, command: Callable[..., Any], size: str
) -> None:
    script = f'mount -t tmpfs -o size={size} tmpfs "{tmp_path}" && exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", script, "sh"]
    if subprocess.run([*prefix, "true"], check=False, timeout=60).returncode != 0:
        pytest.skip("this machine does not let root mount a small disk")
    used = command(LocalHome(tmp_path / "home"), prefix)
    answer = used.answer()
    assert answer["kind"] == "LocalError"
    assert "No space left on device. Free some space" in answer["error"]
    left = Path(f"/proc/{used.process.pid}/root{tmp_path}/home/postgres")
    assert [path.name for path in left.glob("cluster*")] == []
    assert used.finish() == 1


def test_root_that_may_become_nobody_else_is_told_what_to_do(
    techmart_home: LocalHome, command: Callable[..., Any]
) -> None:
    powerless = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]
    used = command(techmart_home, [*contained(), *powerless])
    answer = used.answer()
    assert answer["kind"] == "LocalError"
    assert "ordinary user" in answer["error"]
    assert "POSTGRES_HOST" in answer["error"]
    assert used.finish() == 1
    assert list(techmart_home.postgres.glob("cluster*")) == []
