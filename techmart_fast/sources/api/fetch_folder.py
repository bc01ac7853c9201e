"""The folder of a fetch: its pages as they come, what is known of them, and the capture in the end.

    .fetch-IDENTITY/lock          held (flock) while a fetch works; it dies with its process
    .fetch-IDENTITY/state.json    what is fetched since when: replaced as a whole
    .fetch-IDENTITY/pages.ndjson  the pages' lines, in the order in which they came
    .fetch-IDENTITY/pages.log     an `Entry` for each of them, appended
    api-IDENTITY-FETCH.ndjson     the capture

A page counts if its entry is whole and its lines have the entry's hash, so what a crash tore costs
a page, never an error. The power may fail, too: both files are synced every `_SYNC_BYTES`.
"""

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Self
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from techmart_fast.sources.api.entry import Entry
from techmart_fast.sources.api.private_files import (
    locked,
    private,
    sync_folder,
    told,
    write_whole,
)

_VERSION = 1
_MIB = 1 << 20
_SYNC_BYTES = 8 * _MIB
_COPY_BYTES = _MIB
_SHORT = 16


class FetchState(BaseModel):
    """What a fetch is about; pages of another one are of no use to it.

    Attributes:
        identity: of the endpoint's description.
        since: what the incremental parameter was, or empty.
        started: when its first attempt began.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = _VERSION
    fetch_id: str
    identity: str
    since: str
    started: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Where a page's lines are in the spool."""

    page: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """The finished file."""

    path: Path
    sha256: str
    size_bytes: int


class FetchFolder:
    """Stores the pages of one fetch. All methods block: use them in one thread, one at a time.

    `with FetchFolder.open(…) as folder:` gives an interrupted fetch's pages in `entries`.
    """

    def __init__(self, place: Path, lock: io.FileIO, state: FetchState) -> None:
        self._place = place
        self._lock = lock
        self.state = state
        self._spool: BinaryIO
        self._journal: BinaryIO
        self._stored: dict[int, Stored] = {}
        self._size = 0
        self._unsynced = 0

    @classmethod
    def open(
        cls, folder: Path, *, identity: str, since: str, now: datetime, resume_seconds: float
    ) -> "tuple[Self, list[Entry]]":
        """The folder of a fetch, and the entries of the pages that are in it, by page.

        Pages of another query, or older than `resume_seconds`, are removed.

        Raises:
            SourceError: another process fetches the same.
            SpoolError: the folder can't be used.
        """
        place = folder / f".fetch-{identity[:_SHORT]}"
        with told(place):
            lock = locked(place)
            try:
                state = _read_state(place)
                fits = (
                    state is not None
                    and (state.identity, state.since) == (identity, since)
                    and 0 <= (now - state.started).total_seconds() <= resume_seconds
                )
                if state is None or not fits:
                    for name in ("pages.log", "pages.ndjson"):
                        (place / name).unlink(missing_ok=True)
                    state = FetchState(
                        fetch_id=uuid4().hex, identity=identity, since=since, started=now
                    )
                    write_whole(place / "state.json", state.model_dump_json().encode())
                opened = cls(place, lock, state)
                return opened, opened._open_pages()
            except BaseException:
                lock.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()
        self._journal.close()
        self._lock.close()

    @property
    def next_offset(self) -> int:
        """Where the next page's lines go: the bytes that are stored."""
        return self._size

    @property
    def is_sync_due(self) -> bool:
        """Whether the next page may wait for the disk."""
        return self._unsynced >= _SYNC_BYTES - _MIB

    def add(self, entry: Entry, lines: bytes) -> None:
        """Store a page.

        Raises:
            SpoolError: it can't be written.
        """
        with told(self._place):
            self._spool.write(lines)
            self._spool.flush()
            self._journal.write(entry.model_dump_json().encode() + b"\n")
            self._journal.flush()
            self._remember(entry)
            self._unsynced += len(lines)
            if self._unsynced >= _SYNC_BYTES:
                os.fsync(self._spool.fileno())
                os.fsync(self._journal.fileno())
                self._unsynced = 0

    def capture(
        self, folder: Path, *, pages: int, is_stopped: Callable[[], bool]
    ) -> Capture | None:
        """Write the first `pages`, in their order, as a file (0600); durable when this returns.

        None if `is_stopped` says so meanwhile; then nothing is left of it.

        Raises:
            SpoolError: it can't be written.
        """
        name = f"api-{self.state.identity[:_SHORT]}-{self.state.fetch_id}.ndjson"
        path, partial = folder / name, folder / f".{name}.partial"
        digest, size_bytes = hashlib.sha256(), 0
        with told(folder):
            try:
                with private(partial, "wb") as file:
                    for piece in self._pieces(pages):
                        if is_stopped():
                            partial.unlink()
                            return None
                        digest.update(piece)
                        size_bytes += len(piece)
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
                sync_folder(folder)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
        return Capture(path=path, sha256=digest.hexdigest(), size_bytes=size_bytes)

    def remove(self) -> None:
        """Remove the folder: its pages are captured, or not wanted."""
        shutil.rmtree(self._place, ignore_errors=True)

    def _remember(self, entry: Entry) -> None:
        self._stored[entry.page] = Stored(
            page=entry.page, offset=entry.offset, size_bytes=entry.size_bytes
        )
        self._size = entry.offset + entry.size_bytes

    def _open_pages(self) -> list[Entry]:
        self._spool = private(self._place / "pages.ndjson", "a+b")
        try:
            self._journal = private(self._place / "pages.log", "a+b")
        except BaseException:
            self._spool.close()
            raise
        try:
            entries = list(self._whole_entries())
            for entry in entries:
                self._remember(entry)
            # What follows the last whole page is torn.
            self._spool.truncate(self._size)
            self._spool.seek(self._size)
            kept = b"".join(entry.model_dump_json().encode() + b"\n" for entry in entries)
            self._journal.seek(0)
            if self._journal.read() != kept:
                self._journal.truncate(0)
                self._journal.write(kept)
                self._journal.flush()
        except BaseException:
            self._spool.close()
            self._journal.close()
            raise
        return sorted(entries, key=lambda entry: entry.page)

    def _whole_entries(self) -> Iterator[Entry]:
        self._journal.seek(0)
        self._spool.seek(0)
        place, pages = 0, set[int]()
        for line in self._journal:
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError:
                return
            if not line.endswith(b"\n") or entry.offset != place or entry.page in pages:
                return
            lines = self._spool.read(entry.size_bytes)
            if hashlib.sha256(lines).hexdigest() != entry.sha256:
                return
            place += entry.size_bytes
            pages.add(entry.page)
            yield entry

    def _pieces(self, pages: int) -> Iterator[bytes]:
        for page in range(1, pages + 1):
            stored = self._stored[page]
            self._spool.seek(stored.offset)
            left = stored.size_bytes
            while left:
                piece = self._spool.read(min(left, _COPY_BYTES))
                if not piece:
                    raise OSError("the stored pages are shorter than they were")
                left -= len(piece)
                yield piece


def _read_state(place: Path) -> FetchState | None:
    try:
        state = FetchState.model_validate_json((place / "state.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return state if state.version == _VERSION else None
