"""A folder whose power may fail: what was not synced is cut short, or was never there.

It is a real folder; only `os.fsync` and `os.open` are watched. What a file held when it was synced,
and what its folder named when that was synced, is what a power failure leaves.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from tests.properties.simulation import Killed

Tree = Mapping[Path, bytes | None]
"""Files with their bytes, folders with None."""


class FakeDisk:
    """The folder `root`. `full`: nothing more can be made; `dies_in`: syncs until power fails."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.full = False
        self.dies_in: int | None = None
        self.died = False
        self.on_death: Callable[[], None] = lambda: None
        self._synced: dict[int, bytes] = {}
        self._named: dict[Path, dict[str, bytes | None]] = {root: {}}
        self._rotten: dict[Path, bytes] = {}
        self._left: Tree | None = None
        self._real_fsync, self._real_open = os.fsync, os.open

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch what is synced."""
        with mock.patch("os.fsync", self._fsync), mock.patch("os.open", self._open):
            yield

    def _mine(self, path: Path) -> bool:
        return path == self.root or self.root in path.parents

    def _open(self, path: object, flags: int, *rest: object, **named: object) -> int:
        mine = isinstance(path, str | os.PathLike) and self._mine(Path(path))
        if mine and flags & os.O_CREAT and self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        handle = self._real_open(path, flags, *rest, **named)  # type: ignore[arg-type]  # as given
        if mine and flags & os.O_CREAT:
            self._synced.pop(os.fstat(handle).st_ino, None)
        return handle

    def _fsync(self, handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if not self._mine(path):
            return
        if self.dies_in is not None:
            if self.dies_in == 0:
                self.dies_in, self.died = None, True
                self._left = self._durable()
                self.on_death()
                raise Killed
            self.dies_in -= 1
        if path.is_dir():
            self._named[path] = {one.name: self._content(one) for one in path.iterdir()}
        else:
            self._synced[os.fstat(handle).st_ino] = path.read_bytes()

    def _content(self, path: Path) -> bytes | None:
        if path.is_dir():
            return None
        present = path.read_bytes()
        synced = self._synced.get(path.stat().st_ino, b"")
        # Of what was not synced, anything may be there: half of it, here.
        return present if synced == present else present[: len(present) // 2]

    def _durable(self) -> Tree:
        tree: dict[Path, bytes | None] = {}

        def add(folder: Path) -> None:
            for name, content in self._named.get(folder, {}).items():
                tree[folder / name] = content
                if content is None:
                    add(folder / name)

        add(self.root)
        return tree

    def lose_power(self) -> None:
        """Only what is durable is left; at a sync that did not come back, as it was then."""
        left = self._left if self._left is not None else self._durable()
        self._left, self.died, self.dies_in = None, False, None
        self._restore(left)

    def image(self) -> Tree:
        """All that is there now, durable or not: what a killed process leaves."""
        return {
            path: None if path.is_dir() else path.read_bytes()
            for path in sorted(self.root.rglob("*"))
        }

    def restore(self, tree: Tree) -> None:
        """As it was."""
        if tree != self.image():
            self._restore(tree)

    def _restore(self, tree: Tree) -> None:
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._rotten = {path: good for path, good in self._rotten.items() if path in tree}
        for path in sorted(tree):
            content = tree[path]
            if content is None:
                path.mkdir(mode=0o700)
            else:
                path.write_bytes(content)
                self._synced[path.stat().st_ino] = content

    # --- decay --------------------------------------------------------------------------------
    def rot(self, path: Path) -> None:
        """One byte of a file is another one from now on."""
        good = path.read_bytes()
        self._rotten.setdefault(path, good)
        middle = len(good) // 2
        path.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])

    @property
    def rotten(self) -> frozenset[Path]:
        """What has decayed."""
        return frozenset(self._rotten)

    def repair(self) -> None:
        """Somebody restores what has decayed."""
        for path, good in self._rotten.items():
            if path.exists():
                path.write_bytes(good)
                self._synced[path.stat().st_ino] = good
        self._rotten.clear()
