"""Finds the input files of a feed and says what each one is."""

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from techmart_fast.contract import Contract
from techmart_fast.errors import SourceChangedError, SourceNotFoundError
from techmart_fast.records import Feed, SourceFile
from techmart_fast.sources.header import HEAD_BYTES
from techmart_fast.sources.paths import expand
from techmart_fast.sources.sniff import EMPTY, sniff_compression, sniff_format
from techmart_fast.sources.standard_input import spool_standard_input
from techmart_fast.sources.stream import PLAIN, open_stream

STANDARD_INPUT = "-"
_STANDARD_INPUT_NAME = "<stdin>"
_SIGNATURE_BYTES = 16


def discover(
    feed: Feed,
    specs: Sequence[str],
    *,
    contract: Contract,
    spool: Path,
    stdin: BinaryIO | None = None,
) -> list[SourceFile]:
    """The files that `specs` name, sorted by name, each real file once.

    A spec is a file, a glob, a folder (all regular files below it that are not hidden) or `-`:
    standard input, copied once into the folder `spool` (0600; the caller removes it). Every file
    is read once, for its fingerprint. `stdin` replaces the process's standard input.

    Raises:
        SourceNotFoundError: a spec names nothing that can be read.
        SourceChangedError: a file was written to meanwhile.
        SourceError: its compressed data is damaged where it starts.
        DecodeError: a file is in no format that is known, or lacks columns.
        SpoolError: standard input can't be copied.
    """
    places = {str(path): path for path in expand([s for s in specs if s != STANDARD_INPUT])}
    if STANDARD_INPUT in specs:
        places[_STANDARD_INPUT_NAME] = spool_standard_input(stdin or sys.stdin.buffer, spool)
    try:
        return [_describe(feed, name, places[name], contract) for name in sorted(places)]
    except BaseException:
        if copy := places.get(_STANDARD_INPUT_NAME):
            copy.unlink(missing_ok=True)
        raise


def _describe(feed: Feed, name: str, path: Path, contract: Contract) -> SourceFile:
    try:
        with path.open("rb") as stored:
            before = os.fstat(stored.fileno())
            signature = stored.read(_SIGNATURE_BYTES)
            stored.seek(0)
            fingerprint = hashlib.file_digest(stored, "sha256").hexdigest()
            size_bytes = stored.tell()
    except OSError as error:
        raise SourceNotFoundError(f"Can't read {name}: {error.strerror}.") from None
    if size_bytes != before.st_size:
        raise SourceChangedError(
            f"{name} was changed while it was being read.", hint="Run again when it is complete."
        )
    file = SourceFile(
        feed=feed,
        name=name,
        path=path,
        fingerprint=fingerprint,
        size_bytes=size_bytes,
        compression=sniff_compression(signature),
        format=EMPTY,
        inode=before.st_ino,
        modified_ns=before.st_mtime_ns,
    )
    with open_stream(file) as stream:
        head = stream.read(HEAD_BYTES)
        complete = not stream.read(1)
    return replace(
        file,
        format=sniff_format(
            head,
            complete=complete,
            feed=feed,
            contract=contract,
            file=name,
            compressed=file.compression != PLAIN,
        ),
    )
