"""Captures that wait to be loaded: kept with their checkpoint until all their rows are committed.

A run that ends before that leaves them, and the next run loads the same file instead of fetching it
again: what is committed of it already is not committed twice.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from techmart_fast.sources.api.checkpoint import Checkpoint
from techmart_fast.sources.api.private_files import told, write_whole
from techmart_fast.sources.api.result import Fetched

_NOTE, _CAPTURE = ".kept.json", ".ndjson"


class KeptCapture(BaseModel):
    """A capture and what goes with it. `contract_version` is of the contract it was fetched for."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    fetch_id: str
    file: str
    sha256: str
    size_bytes: int
    records: int
    complete: bool
    contract_version: str
    fetched_at: datetime
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Captures:
    """The captures of one feed in one folder. Only the holder of the database's lease uses it."""

    folder: Path

    def path_of(self, kept: KeptCapture) -> Path:
        """Where the capture itself is."""
        return self.folder / kept.file

    def keep(self, fetched: Fetched, *, contract_version: str, now: datetime) -> KeptCapture:
        """Store, durably, what a fetch gave.

        Raises:
            SpoolError: it can't be written.
            ValueError: the fetch gave no file.
        """
        if fetched.path is None:
            raise ValueError("an unchanged list has no capture")
        kept = KeptCapture(
            fetch_id=fetched.fetch_id,
            file=fetched.path.name,
            sha256=fetched.sha256,
            size_bytes=fetched.size_bytes,
            records=fetched.records,
            complete=fetched.complete,
            contract_version=contract_version,
            fetched_at=now,
            checkpoint=fetched.checkpoint,
        )
        with told(self.folder):
            write_whole(self._note(kept), kept.model_dump_json().encode())
        return kept

    def waiting(
        self, selection: str, *, contract_version: str, newest: timedelta, now: datetime
    ) -> KeptCapture | None:
        """The capture of this selection that an earlier run left; all others are removed.

        One that is older than `newest`, or was fetched for another contract, is not worth loading.
        """
        chosen: KeptCapture | None = None
        with told(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for note in self.folder.glob(f"*{_NOTE}"):
                kept = self._read(note)
                fits = (
                    kept is not None
                    and kept.checkpoint.selection == selection
                    and kept.contract_version == contract_version
                    and now - newest <= kept.fetched_at <= now
                )
                if fits and kept is not None and self._is_whole(kept):
                    chosen = kept
                else:
                    note.unlink(missing_ok=True)
            for partial in self.folder.glob(f".*{_NOTE}.partial"):
                partial.unlink(missing_ok=True)
            for capture in self.folder.glob(f"*{_CAPTURE}"):
                if chosen is None or capture.name != chosen.file:
                    capture.unlink(missing_ok=True)
        return chosen

    def drop(self, kept: KeptCapture) -> None:
        """Remove a capture whose rows are committed."""
        with told(self.folder):
            self._note(kept).unlink(missing_ok=True)
            self.path_of(kept).unlink(missing_ok=True)

    def _note(self, kept: KeptCapture) -> Path:
        return self.folder / f"{kept.fetch_id}{_NOTE}"

    def _read(self, note: Path) -> KeptCapture | None:
        try:
            return KeptCapture.model_validate_json(note.read_bytes())
        except (OSError, ValidationError):
            return None

    def _is_whole(self, kept: KeptCapture) -> bool:
        try:
            with self.path_of(kept).open("rb") as capture:
                return hashlib.file_digest(capture, "sha256").hexdigest() == kept.sha256
        except OSError:
            return False
