"""Standard input: copied, private, gone with its run, and never waited for without end."""

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from techmart_fast.errors import SourceNotFoundError, SpoolError
from techmart_fast.sources import copied_standard_input, remove_abandoned_copies

DATA = b'{"transaction_id":"t-1"}\n' * 100_000


class GivenUpError(Exception):
    """What the heartbeat of a run that was stopped raises."""


def beat() -> None:
    """A run that goes on."""


def given_up() -> None:
    """A run that was stopped."""
    raise GivenUpError


@pytest.fixture
def pipe() -> Iterator[tuple[io.BufferedReader, io.BufferedWriter]]:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader, os.fdopen(write, "wb") as writer:
        yield reader, writer


def test_the_copy_is_whole_private_and_gone_at_the_end(tmp_path: Path) -> None:
    spool = tmp_path / "home" / "spool"
    with copied_standard_input(spool, heartbeat=beat, stream=io.BytesIO(DATA)) as path:
        assert path.read_bytes() == DATA
        assert list(spool.iterdir()) == [path]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(spool.stat().st_mode) == 0o700
    assert list(spool.iterdir()) == []


def test_what_a_pipe_brings_in_pieces_is_one_copy(
    tmp_path: Path, pipe: tuple[io.BufferedReader, io.BufferedWriter]
) -> None:
    reader, writer = pipe
    pieces = [b"one ", b"two ", b"three"]

    def more() -> None:
        if pieces:
            writer.write(pieces.pop(0))
            writer.flush()
        else:
            writer.close()

    with copied_standard_input(tmp_path, heartbeat=more, stream=reader) as path:
        assert path.read_bytes() == b"one two three"


def test_a_silent_pipe_does_not_keep_a_stopped_run(
    tmp_path: Path, pipe: tuple[io.BufferedReader, io.BufferedWriter]
) -> None:
    beats = iter([beat, beat, given_up])

    def heartbeat() -> None:
        next(beats)()

    copying = copied_standard_input(tmp_path, heartbeat=heartbeat, stream=pipe[0])
    with pytest.raises(GivenUpError), copying:
        pass
    assert list(tmp_path.iterdir()) == []


def test_only_the_copies_of_dead_processes_are_removed(tmp_path: Path) -> None:
    orphan = tmp_path / "stdin-0123"
    orphan.write_bytes(DATA)
    with copied_standard_input(tmp_path, heartbeat=beat, stream=io.BytesIO(b"1")) as first:
        assert not orphan.exists()
        with copied_standard_input(tmp_path, heartbeat=beat, stream=io.BytesIO(b"2")) as second:
            assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")


def test_a_command_that_reads_no_standard_input_removes_orphans_too(tmp_path: Path) -> None:
    (tmp_path / "stdin-0123").write_bytes(DATA)
    with copied_standard_input(tmp_path, heartbeat=beat, stream=io.BytesIO(b"1")) as living:
        remove_abandoned_copies(tmp_path)
        assert list(tmp_path.iterdir()) == [living]
    remove_abandoned_copies(tmp_path / "absent")


def test_what_can_not_be_copied_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            raise OSError(28, "No space left on device")

    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    def use(stream: io.BytesIO | None, folder: Path = tmp_path) -> None:
        with copied_standard_input(folder, heartbeat=beat, stream=stream):
            pass

    with pytest.raises(SpoolError, match="No space left"):
        use(Broken())
    with pytest.raises(SourceNotFoundError, match="nothing is piped"):
        use(Terminal())
    monkeypatch.setattr("sys.stdin", None)  # as with `<&-` in a shell
    with pytest.raises(SourceNotFoundError, match="nothing is piped"):
        use(None)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError):
        use(io.BytesIO(DATA), tmp_path / "file")
