"""Files and their ordinals: the first half of every record's position."""

import re
from collections.abc import Container, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import PurePath
from typing import TypedDict

from techmart_fast.contract.model import OrdinalPolicy
from techmart_fast.errors import SinkError
from techmart_fast.postgres import lease as leases
from techmart_fast.postgres.model import FileProgress, Lease
from techmart_fast.postgres.quarantine import storable_text
from techmart_fast.postgres.session import Session
from techmart_fast.postgres.statements import statement
from techmart_fast.records import Cut, SourceFile

_DOING = "registering files"
_DAY = re.compile(
    r"(?<!\d)(\d{4})[-_.]?(\d{2})[-_.]?(\d{2})(?:[-_.T]?(\d{2})[-_.:]?(\d{2})(?:[-_.:]?(\d{2}))?)?(?!\d)"
)
_LARGEST_ORDINAL = 2**62


class _Known(TypedDict):
    """What registration adds to a file."""

    ordinal: int
    cut: Cut


async def register(
    session: Session,
    lease: Lease,
    files: Sequence[SourceFile],
    *,
    policy: OrdinalPolicy,
    explicit: int | None,
    cut: Cut,
) -> list[SourceFile]:
    """Give files their ordinals, in one transaction; see `PostgresSink.register_files`."""
    if not files:
        return []
    try:
        await session.script("BEGIN", doing=_DOING)
        if not await session.fetchrow(statement("runs", "lock_lease"), lease.epoch, doing=_DOING):
            raise leases.lost()
        known = await _register(session, lease, files, policy=policy, explicit=explicit, cut=cut)
        await session.script("COMMIT", doing=_DOING)
    except SinkError:
        await session.rollback()
        raise
    return [replace(file, **known[file.fingerprint]) for file in files]


async def changed(session: Session, files: Sequence[SourceFile]) -> dict[str, datetime]:
    """Names of new files that are those of known ones, and since when; see `changed_files`."""
    if not files:
        return {}
    rows = await session.fetch(
        statement("runs", "changed"),
        files[0].feed.value,
        [storable_text(file.name) for file in files],
        [file.fingerprint for file in files],
        doing=_DOING,
    )
    return {row["name"]: row["since"] for row in rows}


async def progress(session: Session, lease: Lease, file: SourceFile) -> list[FileProgress]:
    """How far each lane of a file is committed under the lease's contract."""
    rows = await session.fetch(
        statement("runs", "progress"),
        file.feed.value,
        file.fingerprint,
        lease.contract_version,
        doing="reading checkpoints",
    )
    return [FileProgress(**row) for row in rows]


def ordinal_in_name(name: str) -> int | None:
    """The number by which a file's name orders it: its date (and time), or its last number.

    `orders-2025-01-31.json` → 20250131; `part_0007.csv.gz` → 7; no digits → `None`.
    """
    stem = PurePath(name).name.partition(".")[0] or PurePath(name).name
    if day := _DAY.search(stem):
        return int("".join(group for group in day.groups() if group))
    numbers = re.findall(r"\d+", stem)
    return int(numbers[-1]) if numbers else None


async def _register(
    session: Session,
    lease: Lease,
    files: Sequence[SourceFile],
    *,
    policy: OrdinalPolicy,
    explicit: int | None,
    cut: Cut,
) -> dict[str, _Known]:
    feed = files[0].feed.value
    fingerprints = [file.fingerprint for file in files]
    rows = await session.fetch(
        statement("runs", "known_files"),
        feed,
        fingerprints,
        cut.block_bytes,
        cut.lanes,
        doing=_DOING,
    )
    known: dict[str, _Known] = {
        row["fingerprint"]: _Known(
            ordinal=row["ordinal"], cut=Cut(block_bytes=row["block_bytes"], lanes=row["lanes"])
        )
        for row in rows
    }
    await _add_headers(session, files, known)
    following = explicit
    if following is None:
        row = await session.fetchrow(statement("runs", "next_ordinal"), feed, doing=_DOING)
        following = int(row["ordinal"]) if row else 1
    for file in sorted(files, key=lambda file: file.name):
        if file.fingerprint in known:
            continue
        ordinal = following
        if policy == "name" and explicit is None:
            ordinal = _named(file)
        following += 1
        await _add(session, lease, file, ordinal, cut)
        known[file.fingerprint] = _Known(ordinal=ordinal, cut=cut)
    return known


async def _add_headers(
    session: Session, files: Sequence[SourceFile], known: Container[str]
) -> None:
    """Store the headers of CSV files that are known from before headers were stored."""
    for file in files:
        if file.fingerprint in known and file.header:
            await session.execute(
                statement("runs", "add_header"),
                file.feed.value,
                file.fingerprint,
                _header(file),
                doing=_DOING,
            )


async def _add(session: Session, lease: Lease, file: SourceFile, ordinal: int, cut: Cut) -> None:
    taken = await session.fetchrow(
        statement("runs", "owner_of_ordinal"), file.feed.value, ordinal, doing=_DOING
    )
    if taken is not None:
        raise SinkError(
            f"Ordinal {ordinal} of the {file.feed} feed belongs to {taken['name']} already, so "
            f"that {storable_text(file.name)} can't have it.",
            hint="Ordinals order the files of a feed: give another one, or rename the file.",
        )
    await session.execute(
        statement("runs", "add_file"),
        file.feed.value,
        file.fingerprint,
        ordinal,
        storable_text(file.name),
        file.size_bytes,
        file.compression,
        file.format,
        lease.run_id,
        cut.block_bytes,
        cut.lanes,
        _header(file),
        doing=_DOING,
    )


def _header(file: SourceFile) -> list[str] | None:
    return [storable_text(name) for name in file.header] or None


def _named(file: SourceFile) -> int:
    ordinal = ordinal_in_name(file.name)
    if ordinal is None or ordinal > _LARGEST_ORDINAL:
        raise SinkError(
            f"The name of {storable_text(file.name)} holds no number that could order it.",
            hint='Rename it, or set ordinal = "run" in the contract.',
        )
    return ordinal
