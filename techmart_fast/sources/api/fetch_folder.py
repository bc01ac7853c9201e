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
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from techmart_fast.sources.api.entry import Entry
from techmart_fast.sources.api.private_files import (
    append,
    locked,
    private,
    sync_folder,
    told,
    try_lock,
    write_all,
    write_whole,
)
from techmart_fast.sources.api.shape import Shape

_MOST_SHAPES = 16
_VERSION = 2
_MIB = 1 << 20
_SYNC_BYTES = 8 * _MIB
_COPY_BYTES = _MIB
_PREFIX = ".fetch-"
_SHORT = 16
_STATE, _PAGES, _LOG = "state.json", "pages.ndjson", "pages.log"


class FetchState(BaseModel):
    """What a fetch is about; pages of another one are of no use to it.

    Attributes:
        identity: of the endpoint's description.
        since: what the incremental parameter was, or empty.
        started: when its first attempt began.
        kept_until: when its pages are too old to be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = _VERSION
    fetch_id: str
    identity: str
    since: str
    started: datetime
    kept_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Where a page's lines are in the spool."""

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

    It is a context manager: when it ends, a folder without pages goes, and one with pages stays.
    """

    def __init__(
        self, place: Path, state: FetchState, *, lock: io.FileIO, spool: io.FileIO, log: io.FileIO
    ) -> None:
        self._place = place
        self.state = state
        self._lock = lock
        self._spool = spool
        self._log = log
        self._stored: dict[int, Stored] = {}
        self._size = 0
        self._unsynced = 0
        # Nearly all pages have the same shape: it is written, read and kept once.
        self._shapes: dict[int, Shape] = {}

    @classmethod
    def open(
        cls, folder: Path, *, identity: str, since: str, now: datetime, resume_seconds: float
    ) -> "tuple[Self, list[Entry]]":
        """The folder of a fetch, and the entries of the pages that are in it, by page.

        Pages of another query, or older than `resume_seconds`, are removed; so are other fetches'
        that nobody works at, if they are too old.

        Raises:
            SourceError: another process fetches the same.
            SpoolError: the folder can't be used.
        """
        place = folder / f"{_PREFIX}{identity[:_SHORT]}"
        with told(place):
            lock = locked(place)
            opened = [lock]
            try:
                _remove_expired(folder, now, but=place)
                state = _read_state(place)
                too_old = timedelta(seconds=resume_seconds)
                if (
                    state is None
                    or (state.identity, state.since) != (identity, since)
                    or not state.started <= now <= state.started + too_old
                ):
                    for name in (_LOG, _PAGES):
                        (place / name).unlink(missing_ok=True)
                    state = FetchState(
                        fetch_id=uuid4().hex,
                        identity=identity,
                        since=since,
                        started=now,
                        kept_until=now + too_old,
                    )
                    write_whole(place / _STATE, state.model_dump_json().encode())
                opened.append(append(place / _PAGES))
                opened.append(append(place / _LOG))
                found = cls(place, state, lock=lock, spool=opened[1], log=opened[2])
                return found, found._read_pages()
            except BaseException:
                for file in opened:
                    file.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._stored:
            self.remove()
        for file in (self._spool, self._log, self._lock):
            file.close()

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
            write_all(self._spool, lines)
            write_all(self._log, self._abridged(entry).model_dump_json().encode() + b"\n")
            self._remember(entry)
            self._unsynced += len(lines)
            if self._unsynced >= _SYNC_BYTES:
                os.fsync(self._spool.fileno())
                os.fsync(self._log.fileno())
                self._unsynced = 0

    def capture(
        self, folder: Path, *, pages: int, is_stopped: Callable[[], bool]
    ) -> Capture | None:
        """Write the first `pages`, in their order, as a file (0600); durable when this returns.

        None if `is_stopped` says so meanwhile.

        Raises:
            SpoolError: it can't be written.
        """
        path = folder / f"api-{self.state.identity[:_SHORT]}-{self.state.fetch_id}.ndjson"
        # In the fetch's folder: whatever removes that removes this, too.
        partial = self._place / "capture"
        digest, size_bytes = hashlib.sha256(), 0
        with told(folder):
            with private(partial, "wb") as file:
                for piece in self._pieces(pages):
                    if is_stopped():
                        return None
                    digest.update(piece)
                    size_bytes += len(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            sync_folder(folder)
        return Capture(path=path, sha256=digest.hexdigest(), size_bytes=size_bytes)

    def remove(self) -> None:
        """Remove the folder: its pages are captured, or not wanted."""
        shutil.rmtree(self._place, ignore_errors=True)

    def _abridged(self, entry: Entry) -> Entry:
        """The entry as the journal has it: a shape that a page before had, too, is not repeated."""
        for page, shape in self._shapes.items():
            if shape == entry.shape:
                return entry.model_copy(update={"shape": Shape(), "like": page})
        return entry

    def _whole(self, entry: Entry) -> Entry | None:
        """An entry of the journal with its shape; None if that is of no page before."""
        if entry.like is None:
            return entry
        if entry.like not in self._shapes:
            return None
        return entry.model_copy(update={"shape": self._shapes[entry.like], "like": None})

    def _remember(self, entry: Entry) -> None:
        self._stored[entry.page] = Stored(offset=entry.offset, size_bytes=entry.size_bytes)
        self._size = entry.offset + entry.size_bytes
        if len(self._shapes) < _MOST_SHAPES and entry.shape not in self._shapes.values():
            self._shapes[entry.page] = entry.shape

    def _read_pages(self) -> list[Entry]:
        entries, log_bytes = [], 0
        with (self._place / _LOG).open("rb") as log, (self._place / _PAGES).open("rb") as spool:
            for line in log:
                entry = self._whole_entry(line)
                if entry is None:
                    break
                lines = spool.read(entry.size_bytes)
                if hashlib.sha256(lines).hexdigest() != entry.sha256:
                    break
                entries.append(entry)
                self._remember(entry)
                log_bytes += len(line)
        # What follows the last whole page is torn.
        self._spool.truncate(self._size)
        self._log.truncate(log_bytes)
        return sorted(entries, key=lambda entry: entry.page)

    def _whole_entry(self, line: bytes) -> Entry | None:
        try:
            entry = Entry.model_validate_json(line)
        except ValidationError:
            return None
        fits = entry.offset == self._size and entry.page not in self._stored
        return self._whole(entry) if fits and line.endswith(b"\n") else None

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
        state = FetchState.model_validate_json((place / _STATE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    return state if state.version == _VERSION else None


def _remove_expired(folder: Path, now: datetime, *, but: Path) -> None:
    """Remove what interrupted fetches left that nobody will resume: their endpoint has changed."""
    for place in folder.glob(f"{_PREFIX}*"):
        lock = try_lock(place) if place != but else None
        if lock is None:
            continue
        with lock:
            state = _read_state(place)
            if state is None or state.kept_until < now:
                shutil.rmtree(place, ignore_errors=True)
