"""The Parquet that a load job carries: the spool files of its part, as one file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import pyarrow as pa

from techmart_fast.errors import SpoolDamagedError, SpoolError
from techmart_fast.records import SpooledFile
from techmart_fast.warehouse.groups import LoadPart, LoadTable
from techmart_fast.warehouse.spool import (
    LOAD_SCHEMAS,
    WRITTEN_AGAIN,
    parquet_writer,
    read_spool,
    spooled_bytes,
)

ROW_GROUP_BYTES = 16 << 20
"""Of Arrow, which are some 3 MiB of Parquet, where files that can't be joined are encoded again."""


@contextmanager
def scratch_file(part: LoadPart) -> Iterator[IO[bytes]]:
    """An empty file beside those of a part, for as long as the block. It has no name.

    On the disk, not in memory: the client has all of it in memory while it sends it.

    Raises:
        SpoolDamagedError: the folder is gone, and the part's files with it.
        SpoolError: nothing can be written there.
    """
    folder = part.members[0].path.parent
    try:
        file = TemporaryFile(dir=folder)  # noqa: SIM115 - closed below, whatever it says to that
    except FileNotFoundError:
        raise SpoolDamagedError(f"The folder {folder} is gone.", hint=WRITTEN_AGAIN) from None
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        yield file
    finally:
        # What could not be written is tried once more, and fails again: it was told by then.
        with suppress(OSError):
            file.close()


def packed(part: LoadPart, into: IO[bytes]) -> int:
    """Write the Parquet of a part's load job: its one member as it is, or all members as one.

    Their rows are encoded already, so they are joined; only members that don't fit to each other
    (an upgrade came between them) are encoded again. `into` is an empty file that can be read, too.
    Returns its size in bytes. Blocking: a thread.

    Raises:
        SpoolDamagedError: a member is gone or is not what was written.
        SpoolError: a member has other columns than the table, joining went wrong, or the disk is
            full.
    """
    try:
        _pack(part, into)
        into.flush()
        return into.seek(0, os.SEEK_END)
    except OSError as error:
        raise _unwritable(part.members[0].path.parent, error) from None


def _unwritable(folder: Path, error: OSError) -> SpoolError:
    return SpoolError(
        f"Can't write what a load job sends into {folder}: {error.strerror or error}.",
        hint="Check the disk's free space and the folder, then run again.",
        transient=True,
    )


def _pack(part: LoadPart, into: IO[bytes]) -> None:
    if len(part.members) == 1:
        into.write(spooled_bytes(part.members[0]))
        return
    # What reads footers takes a tenth of a second to load, and small runs join nothing.
    from techmart_fast.warehouse.joining import joined  # noqa: PLC0415

    members = map(spooled_bytes, part.members)
    if not joined(members, LOAD_SCHEMAS[part.table], rows=part.rows, into=into):
        into.seek(0)
        into.truncate()
        _encode_again(part, into)


def _encode_again(part: LoadPart, into: IO[bytes]) -> None:
    with parquet_writer(into, LOAD_SCHEMAS[part.table]) as writer:
        # Some members at a time: the whole part as Arrow would be several times its Parquet.
        gathered: list[pa.Table] = []
        for member in part.members:
            gathered.append(_declared_columns(member, part.table))
            if sum(one.nbytes for one in gathered) >= ROW_GROUP_BYTES:
                writer.write_table(pa.concat_tables(gathered))
                gathered.clear()
        if gathered:
            writer.write_table(pa.concat_tables(gathered))


def _declared_columns(member: SpooledFile, table: LoadTable) -> pa.Table:
    schema = LOAD_SCHEMAS[table]
    try:
        return read_spool(member).select(schema.names).cast(schema)
    except (LookupError, OSError, ValueError, pa.ArrowException):
        raise SpoolError(
            f"The spool file {member.path} does not have the columns of {table}: another version "
            "wrote it.",
            hint="Delete it and run again: its rows are written again from PostgreSQL.",
        ) from None
