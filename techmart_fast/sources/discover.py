"""Finds the input files of a feed and says what each one is."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from techmart_fast.contract import Contract
from techmart_fast.errors import SourceNotFoundError
from techmart_fast.records import Feed, SourceFile
from techmart_fast.sources.header import HEAD_BYTES, read_header
from techmart_fast.sources.paths import expand
from techmart_fast.sources.sniff import CSV, EMPTY, sniff_compression, sniff_format
from techmart_fast.sources.standard_input import STANDARD_INPUT, STANDARD_INPUT_NAME
from techmart_fast.sources.stream import PLAIN, open_stream

_SIGNATURE_BYTES = 16
_PIECE_BYTES = 1 << 20


def discover(
    feed: Feed,
    specs: Sequence[str],
    *,
    contract: Contract,
    standard_input: Path | None = None,
    heartbeat: Callable[[], None] = lambda: None,
) -> list[SourceFile]:
    """The files that `specs` name, sorted by name, each real file once, with their fingerprints.

    Raises:
        SourceError, DecodeError, ValueError: as `look` and `fingerprinted`.
    """
    seen = look(feed, specs, contract=contract, standard_input=standard_input)
    return [fingerprinted(file, heartbeat=heartbeat) for file in seen]


def look(
    feed: Feed, specs: Sequence[str], *, contract: Contract, standard_input: Path | None = None
) -> list[SourceFile]:
    """The same, by the beginnings of the files alone: fingerprints are empty.

    A spec is a file, a glob, a folder (all regular files below it that are not hidden) or `-`:
    the copy of it at `standard_input`.

    Raises:
        SourceNotFoundError: a spec names nothing that can be read.
        SourceChangedError: a file was written to meanwhile.
        SourceError: its compressed data is damaged where it starts.
        DecodeError: a file is in no format that is known, or lacks columns.
        ValueError: `-` is among the specs, and there is no copy of it.
    """
    places = {str(path): path for path in expand([s for s in specs if s != STANDARD_INPUT])}
    if STANDARD_INPUT in specs:
        if standard_input is None:
            raise ValueError("Standard input was not copied.")
        places[STANDARD_INPUT_NAME] = standard_input
    return [_describe(feed, name, places[name], contract) for name in sorted(places)]


def fingerprinted(file: SourceFile, *, heartbeat: Callable[[], None] = lambda: None) -> SourceFile:
    """The file with its fingerprint, for which all of it is read: SHA-256 of its stored bytes.

    `heartbeat` is called at every MiB; what it raises ends the reading.

    Raises:
        SourceChangedError: it is not the file any more that was looked at.
        SourceError: it can't be read.
    """
    digest = hashlib.sha256()
    with open_stream(replace(file, compression=PLAIN)) as stored:
        while piece := stored.read(_PIECE_BYTES):
            digest.update(piece)
            heartbeat()
    return replace(file, fingerprint=digest.hexdigest())


def _describe(feed: Feed, name: str, path: Path, contract: Contract) -> SourceFile:
    try:
        with path.open("rb") as stored:
            stat = os.fstat(stored.fileno())
            signature = stored.read(_SIGNATURE_BYTES)
    except OSError as error:
        raise SourceNotFoundError(f"Can't read {name}: {error.strerror}.") from None
    file = SourceFile(
        feed=feed,
        name=name,
        path=path,
        fingerprint="",
        size_bytes=stat.st_size,
        compression=sniff_compression(signature),
        format=EMPTY,
        inode=stat.st_ino,
        modified_ns=stat.st_mtime_ns,
    )
    with open_stream(file) as stream:
        head = stream.read(HEAD_BYTES)
        complete = not stream.read(1)
    file_format = sniff_format(
        head,
        complete=complete,
        feed=feed,
        contract=contract,
        file=name,
        compressed=file.compression != PLAIN,
    )
    header = read_header(head) if file_format == CSV else None
    return replace(file, format=file_format, header=header.names if header else ())
