"""File locks: shared and alone, and gone with their owner."""

import os
import signal
import threading
from pathlib import Path

import pytest

from techmart_fast.local.locks import FileLock, is_free
from techmart_fast.local.waiting import Deadline, StoppedWaitingError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


def now() -> Deadline:
    return Deadline(0)


def test_many_share_and_only_the_last_may_take(path: Path) -> None:
    with FileLock(path) as one, FileLock(path) as two:
        assert one.share(now())
        assert two.share(now())
        assert not one.try_take()
        two.release()
        assert one.try_take()
        assert not two.share(now())


def test_a_lock_file_is_private(path: Path) -> None:
    with FileLock(path):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_lock_that_is_let_go_can_be_taken(path: Path) -> None:
    with FileLock(path) as waits:
        with FileLock(path) as held:
            assert held.take(now())
            assert not waits.take(now())
        assert waits.take(now())


def test_closing_twice_does_no_harm(path: Path) -> None:
    lock = FileLock(path)
    lock.close()
    lock.close()
    assert is_free(path)


def test_a_lock_ends_with_its_owner_even_if_a_child_has_a_copy_of_it(path: Path) -> None:
    lock = FileLock(path)
    assert lock.share(now())
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        lock.close()
        assert is_free(path)
        with FileLock(path) as other:
            assert other.try_take()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_file_that_is_not_there_is_free_and_is_not_made(path: Path) -> None:
    assert is_free(path)
    assert not path.exists()


def test_a_held_lock_is_not_free(path: Path) -> None:
    with FileLock(path) as held:
        assert is_free(path)
        held.take(now())
        assert not is_free(path)


def test_a_wait_ends_at_once_when_it_is_abandoned(path: Path) -> None:
    abandoned = threading.Event()
    abandoned.set()
    with FileLock(path) as held, FileLock(path) as waits:
        assert held.take(now())
        with pytest.raises(StoppedWaitingError):
            waits.take(Deadline(3600, abandoned))
