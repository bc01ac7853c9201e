"""Cuts a feed into several files while it is written."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from techmart_fast.dev.layout import Layout
from techmart_fast.dev.output import RecordFile, record_file
from techmart_fast.dev.spec import Compression


class Pieces:
    """The files of a feed, opened one after another; together they hold rows 0 to `rows`.

    A file never begins or ends with a broken record: such a cut moves on to a sound pair of rows.
    """

    def __init__(
        self, paths: Sequence[Path], layout: Layout, compression: Compression, *, rows: int
    ) -> None:
        self._paths = iter(paths)
        self._cuts = [rows * number // len(paths) for number in range(1, len(paths))]
        self._layout = layout
        self._compression = compression
        self._broken: set[int] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._file = self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            for _ in self._cuts:  # cuts that moved past the last row leave empty files
                self._file = self._open()
        self._stack.__exit__(kind, error, trace)

    def over(
        self, start: int, rows: int, broken: set[int]
    ) -> Iterator[tuple[int, int, RecordFile]]:
        """Cut rows [`start`, `start` + `rows`) by file: (first row, end row, open file) of each.

        The calls must follow one another without gaps; `broken` are the broken rows among these.
        """
        end = start + rows
        self._broken = broken | (self._broken & {start - 1})
        while self._cuts:
            self._cuts[0] = max(start, self._sound(self._cuts[0]))
            if self._cuts[0] >= end:
                break
            cut = self._cuts.pop(0)
            yield start, cut, self._file
            self._file = self._open()
            start = cut
        yield start, end, self._file

    def _sound(self, cut: int) -> int:
        while cut in self._broken or cut - 1 in self._broken:
            cut += 1
        return cut

    def _open(self) -> RecordFile:
        self._stack.close()
        return self._stack.enter_context(
            record_file(next(self._paths), self._layout, self._compression)
        )
